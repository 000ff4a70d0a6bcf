"""The runs that lie in a folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from curate.errors import DataError
from curate.system.run_record import RUN, RunRecord, read_run
from train.running.run import is_running

_DEEPEST = 3  # folders below the one that is listed


@dataclass(frozen=True)
class Listed:
    """A run, as its folder tells.

    Attributes:
        folder: Where it lies.
        age: Seconds since its record was last written.
        record: None if it cannot be read.
        state: `running` only if a process is training into it now.
        problem: Why it cannot be read.
    """

    folder: Path
    age: float
    record: RunRecord | None
    state: str
    problem: str = ""


def runs(folder: Path) -> list[Listed]:
    """Return the runs below a folder, the newest first."""
    found = [_listed(each) for each in _folders(folder, _DEEPEST)]
    return sorted(found, key=lambda each: each.age)


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / RUN).is_file():
        yield folder
    elif depth and folder.is_dir():
        for each in sorted(folder.iterdir()):
            if each.is_dir() and not each.name.startswith((".", "checkpoint-")):
                with suppress(PermissionError):
                    yield from _folders(each, depth - 1)


def _listed(folder: Path) -> Listed:
    age = max(0.0, time.time() - (folder / RUN).stat().st_mtime)
    try:
        made = read_run(folder)
    except DataError as error:
        return Listed(folder, age, None, "unreadable", str(error))
    assert made is not None
    state = made.state
    # Whoever is killed outright cannot say so any more.
    if state == "running" and not is_running(folder):
        state = "stopped"
    return Listed(folder, age, made, state)
