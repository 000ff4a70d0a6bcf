"""Files that are written whole or not at all, and what tells them apart."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from curate.errors import OutputError, UsageError


def at_home(path: str | os.PathLike[str]) -> Path:
    """Return a path with its ~ for what it is: no shell replaces it in `--output=~/data`."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UsageError(
            f"'{path}': no home is known of whom ~ names; give the path without it, or ./{path} "
            "for what is called so in this folder"
        ) from None


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_sha256(path: Path) -> str:
    """Return the sha256 of a file, or over the names and those of all files of a folder."""
    if path.is_file():
        return sha256_of(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = "".join(f"{file.relative_to(path)} {sha256_of(file)}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def sha256_of_all(paths: Sequence[Path]) -> str | None:
    """Return the content's sha256 of one place; over those of several; None if one is not here."""
    if not all(path.exists() for path in paths):
        return None
    hashes = [content_sha256(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def delete(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


@contextmanager
def whole_files(*paths: Path, shared: bool = False) -> Iterator[list[Path]]:
    """Give a name beside each path to write to; they take their places, in order, at the end.

    If the block fails, nothing is left. The names are always the same, so that what a killed run
    left is written over; where processes may write one file at once without a lock (`shared`),
    each has names of its own.
    """
    mark = f".{os.getpid()}.part" if shared else ".part"
    parts = [path.with_name(f".{path.name}{mark}") for path in paths]
    try:
        yield parts
        for part, path in zip(parts, paths, strict=True):
            os.replace(part, path)
    except BaseException:
        for part in parts:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str, *, shared: bool = False) -> None:
    """Write a text that a reader sees whole or not at all, even after a power cut."""
    with (
        whole_files(path, shared=shared) as (part,),
        part.open("w", encoding="utf-8", newline="\n") as stream,
    ):
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def writing_to(
    folder: Path, what: str = "", instead: str = "give another --output", more: str = ""
) -> Iterator[None]:
    """Tell in one line of a full disk or a closed folder, under which `what` was to be written.

    `instead` is what else the user can do, `more` a sentence of what is kept.
    """
    try:
        yield
    except OSError as error:
        start = f"{what} cannot be written to {folder}" if what else f"cannot write to {folder}"
        if isinstance(error, FileExistsError | NotADirectoryError):
            raise OutputError(
                f"{start}: a file is in the place of the folder; {instead}{more}"
            ) from error
        raise OutputError(
            f"{start}: {error.strerror or error}; make room, or {instead}{more}"
        ) from error
