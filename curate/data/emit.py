"""Write chosen rows where LLaMA-Factory finds them: data, scores, registry entry, manifest."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.data.manifest import read_manifest, sha256_of, to_json
from curate.data.registry import FILE, entry_for, locked, read_registry, register
from curate.data.rows import Rows
from curate.errors import OutputError, UsageError

_NAME = re.compile(r"[\w.-]+")


def default_name(path: Path, recipe: str) -> str:
    """Return the name of an output: the input's stem and the recipe.

    Args:
        path: The first input.
        recipe: Of the recipe.

    Example:
        >>> default_name(Path("raw/huatuo v1.json"), "ifd")
        'huatuo_v1_ifd'
    """
    stem = path.resolve().name if path.is_dir() else path.stem
    plain = re.sub(r"[^\w.-]+", "_", stem).strip("_.")
    return f"{plain or 'rows'}_{recipe}"


def check_target(folder: Path, name: str, recipe: str, overwrite: bool) -> None:
    """Make the folder and refuse what could not be written, before hours are spent on it.

    Args:
        folder: Where to write.
        name: Of the data set.
        recipe: That will make it.
        overwrite: Replace what another recipe, or the user, has put there.

    Raises:
        UsageError: The name cannot be one.
        OutputError: The folder cannot be written, or the name is another's.
    """
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise UsageError(
            f"--name {name}: allowed are letters, digits, _, - and . (LLaMA-Factory takes names "
            "separated by commas)"
        )
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b" ")
    if overwrite:
        return
    registered = name in read_registry(folder)
    made_by = (read_manifest(folder, name) or {}).get("recipe")
    if made_by == recipe:
        return
    if registered or (folder / f"{name}.jsonl").exists():
        by = f"the recipe {made_by}" if made_by else "something other than curate"
        raise OutputError(
            f"'{name}' is already in {folder} and was made by {by}; give another --name, or "
            "--overwrite to replace it"
        )


def write(
    folder: Path,
    name: str,
    rows: Rows,
    kept: NDArray[np.bool_],
    scores: pa.Table,
    manifest: dict[str, Any],
) -> list[str]:
    """Write the kept rows and all that belongs to them; return the names of the files.

    Each file is written under another name and renamed; the manifest comes last.

    Args:
        folder: Where to write.
        name: Of the data set.
        rows: All rows.
        kept: (n,) which to write, in input order.
        scores: n lines.
        manifest: What made them; sha256 and size of the output are added.

    Raises:
        OutputError: The disk is full or the folder cannot be written.
    """
    data, table = f"{name}.jsonl", f"{name}.scores.parquet"
    keys, as_text = _columns(rows, kept)
    with _told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            _replace(folder / data, lambda path: _write_rows(path, rows, kept, keys, as_text))
            _replace(folder / table, lambda path: pq.write_table(scores, path))
            register(folder, name, entry_for(rows.shape, data))
            output = {"file": data, "sha256": sha256_of(folder / data), "rows": int(kept.sum())}
            whole = {**manifest, "output": output, "columns_as_text": sorted(as_text)}
            text = to_json(whole)
            last = folder / f"{name}.manifest.json"
            _replace(last, lambda path: path.write_text(text, encoding="utf-8"))
    return [data, table, FILE, last.name]


def _replace(path: Path, fill: Callable[[Path], object]) -> None:
    unfinished = path.with_name(f".{path.name}.part")
    try:
        fill(unfinished)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {error.strerror or error}; make room, or give another "
            "--output. What was scored is kept, the same command goes on from there"
        ) from error


def _chosen(rows: Rows, kept: NDArray[np.bool_]) -> Iterator[dict[str, Any]]:
    return (row.value for row in rows if kept[row.position])


def _columns(rows: Rows, kept: NDArray[np.bool_]) -> tuple[list[str], set[str]]:
    """Return all keys in order, and those whose values are of more than one kind.

    A JSON Lines file is read as a table, where a column has one type: one odd value among a
    column of others, even in a column nobody uses, makes the whole file unreadable.
    """
    kinds: dict[str, set[str]] = {}
    for value in _chosen(rows, kept):
        for key, each in value.items():
            kinds.setdefault(key, set()).add(_kind(each))
    return list(kinds), {key for key, seen in kinds.items() if len(seen - {"null"}) > 1}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _write_rows(
    path: Path, rows: Rows, kept: NDArray[np.bool_], keys: list[str], as_text: set[str]
) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for value in _chosen(rows, kept):
            out.write(json.dumps(_even(value, keys, as_text), ensure_ascii=False) + "\n")


def _even(value: dict[str, Any], keys: Iterable[str], as_text: set[str]) -> dict[str, Any]:
    """Return the row with every key of the file, and with mixed columns as text."""
    if not as_text and len(value) == len(list(keys)):
        return value
    return {key: _text(value.get(key)) if key in as_text else value.get(key) for key in keys}


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
