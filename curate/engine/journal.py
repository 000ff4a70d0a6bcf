"""What has been computed so far, on disk, one line a batch.

The first line says what the journal is of; a line is written whole and synced before the batch
counts as done. A line that was cut by a kill or a full disk is cut off again at the next start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from curate.errors import OutputError


@dataclass
class Journal:
    """An open journal.

    Attributes:
        path: Its file.
        done: Batch number to the values of its items, as read at the start.
    """

    path: Path
    stream: BinaryIO
    done: dict[int, list[float]] = field(default_factory=dict)

    def append(self, batch: int, values: list[float]) -> None:
        """Write one finished batch.

        Args:
            batch: Its number in the plan.
            values: Numbers of its items, in the plan's order.

        Raises:
            OutputError: The disk is full or gone; everything before stays.
        """
        line = json.dumps({"batch": batch, "values": values}) + "\n"
        try:
            self.stream.write(line.encode("ascii"))
            self.stream.flush()
            os.fsync(self.stream.fileno())
        except OSError as error:
            raise OutputError(_cannot_write(self.path, error)) from error


def _cannot_write(path: Path, error: OSError) -> str:
    return (
        f"scores cannot be written to {path.parent}: {error.strerror or error}. What was scored "
        "stays; make room, or set CURATRAIN_CACHE to another folder, and give the command again."
    )


@contextmanager
def open_journal(folder: Path, fingerprint: str) -> Iterator[Journal]:
    """Open the journal of that fingerprint, made if need be, for this run alone.

    Args:
        folder: Where journals are kept.
        fingerprint: sha256 of all that decides the numbers: scorer, model, parameters, plan.

    Raises:
        OutputError: The folder cannot be written, or another run holds the journal.
    """
    path = folder / f"{fingerprint[:32]}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{path}.lock", timeout=0)
        with lock:
            done, good = _read(path, fingerprint)
            with path.open("r+b" if good else "wb") as stream:
                stream.seek(good)
                stream.truncate()
                journal = Journal(path, stream, done)
                if not good:
                    header = json.dumps({"journal": 1, "of": fingerprint}) + "\n"
                    stream.write(header.encode("ascii"))
                    stream.flush()
                yield journal
    except Timeout as error:
        raise OutputError(
            f"another run is scoring these rows with this model right now ({path.name} is locked); "
            "wait for it to end, then this command continues from its scores."
        ) from error
    except OSError as error:
        raise OutputError(_cannot_write(path, error)) from error


def _read(path: Path, fingerprint: str) -> tuple[dict[int, list[float]], int]:
    """Return the finished batches and the length in bytes up to which the file is whole."""
    done: dict[int, list[float]] = {}
    good = 0
    if not path.is_file():
        return done, good
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
                done[record["batch"]] = record["values"]
            good += len(line)
    return done, good
