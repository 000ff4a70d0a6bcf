"""What has been computed so far, on disk, one line a batch.

The first line says what the journal is of; a line is written whole before the batch counts as
done. A line that was cut by a kill or a full disk is cut off again at the next start.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from curate.errors import OutputError

# A killed process loses nothing that was written; only a power cut asks for more.
_SYNC_EVERY = 5.0

# The numbers or texts of a batch: a list an item; or all as base64 of little-endian float32.
Values = list[list[float]] | list[list[str]] | str


@dataclass
class Journal:
    """An open journal.

    Attributes:
        path: Its file.
        stream: The file, open for appending.
        synced: When it was last forced to disk, on time.monotonic's clock.
    """

    path: Path
    stream: BinaryIO
    synced: float = field(default_factory=time.monotonic)

    def append(self, batch: int, values: Values) -> None:
        """Write one finished batch."""
        line = json.dumps({"batch": batch, "values": values}) + "\n"
        with _told(self.path):
            _write(self.stream, line)
        if time.monotonic() - self.synced > _SYNC_EVERY:
            self.sync()

    def sync(self) -> None:
        """Force what was written to the disk."""
        with _told(self.path):
            os.fsync(self.stream.fileno())
        self.synced = time.monotonic()


def delete_journal(folder: Path, fingerprint: str) -> None:
    """Delete the journal of that fingerprint, if there is one."""
    path = _path(folder, fingerprint)
    with _told(path):
        path.unlink(missing_ok=True)


def _path(folder: Path, fingerprint: str) -> Path:
    return folder / f"{fingerprint[:32]}.jsonl"


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"scores cannot be written to {path.parent}: {error.strerror or error}. What was "
            "scored stays; make room, or set CURATRAIN_CACHE to another folder, and give the "
            "command again"
        ) from error


@contextmanager
def open_journal(
    folder: Path, fingerprint: str, found: Callable[[int, Values], None]
) -> Iterator[Journal]:
    """Open the journal of that fingerprint, made if need be, for this run alone."""
    path = _path(folder, fingerprint)
    lock = FileLock(f"{path}.lock", timeout=0)
    with _told(path):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise OutputError(
                f"another run is scoring these rows with this model right now ({path.name} is "
                "locked); wait for it to end, then this command continues from its scores"
            ) from error
    try:
        with _opened(path, fingerprint, found) as stream:
            yield Journal(path, stream)
    finally:
        lock.release()


@contextmanager
def _opened(
    path: Path, fingerprint: str, found: Callable[[int, Values], None]
) -> Iterator[BinaryIO]:
    with _told(path):
        good = _read(path, fingerprint, found)
        # Unbuffered: a buffer that a full disk kept back would be tried again while closing.
        stream = path.open("r+b" if good else "wb", buffering=0)
    with stream:
        with _told(path):
            stream.seek(good)
            stream.truncate()
            if not good:
                _write(stream, json.dumps({"journal": 1, "of": fingerprint}) + "\n")
        yield stream


def _write(stream: BinaryIO, line: str) -> None:
    """Write the whole line: a raw file may take a part of it and say so only in its answer."""
    rest = memoryview(line.encode("ascii"))
    while rest:
        rest = rest[stream.write(rest) :]


def _read(path: Path, fingerprint: str, found: Callable[[int, Values], None]) -> int:
    """Hand over the finished batches; return the bytes up to which the file is whole."""
    good = 0
    if not path.is_file():
        return good
    with path.open("rb") as stream:
        for number, line in enumerate(stream):
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                record = None
            if not isinstance(record, dict):
                break
            if number == 0:
                if record.get("of") != fingerprint:
                    break
            else:
                found(record["batch"], record["values"])
            good += len(line)
    return good
