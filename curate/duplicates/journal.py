"""What a run over many rows has worked out, until it ends well: a killed one goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.system.database import open_alone

_TABLE = "CREATE TABLE IF NOT EXISTS arrays (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID"


class Journal:
    """Arrays by key, in a file that one run holds alone.

    It only saves time: without a file, where another run holds it or the disk is full, they are
    worked out and nothing is said.

    Example:
        >>> journal = Journal(folder / "squares.sqlite")
        >>> journal.get("nine", np.int64, lambda: np.arange(9) ** 2)
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: sqlite3.Connection | None = None
        with suppress(sqlite3.OperationalError):  # another run holds it
            self._file = open_alone(path, _TABLE, anew=True) if path else None

    def __contains__(self, key: str) -> bool:
        return self._find("1", key) is not None

    def get(self, key: str, dtype: Any, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return the array of a key, flat; make and keep it if there is none."""
        if (known := self._find("value", key)) is not None:
            return np.frombuffer(known, dtype)
        values = np.ascontiguousarray(make(), dtype).reshape(-1)
        if self._file is not None:
            with suppress(sqlite3.Error):
                self._file.execute("INSERT INTO arrays VALUES (?, ?)", (key, values.tobytes()))
        return values

    def close(self, ended: bool) -> None:
        """Close the file, and delete it where a run has ended: the next begins anew."""
        if self._file is not None and self._path is not None:
            self._file.close()
            if ended:
                self._path.unlink(missing_ok=True)

    def _find(self, column: str, key: str) -> Any:
        if self._file is None:
            return None
        line = f"SELECT {column} FROM arrays WHERE key = ?"  # noqa: S608 - a word of ours
        return (self._file.execute(line, (key,)).fetchone() or [None])[0]
