"""What has been computed so far, in an SQLite file, one line a batch.

A batch is there whole or not at all, however the process ends: SQLite's write-ahead log sees to
that. Numbers of different machines are kept apart, since machines round differently.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from curate.errors import OutputError
from curate.system.database import delete_database, open_alone

_TABLES = (
    "CREATE TABLE IF NOT EXISTS batches (machine TEXT, number INTEGER, data BLOB, "
    "PRIMARY KEY (machine, number)) WITHOUT ROWID"
)


class Journal:
    """An open journal, for this run alone; `machine` says what computes now."""

    def __init__(self, connection: sqlite3.Connection, path: Path, machine: str) -> None:
        self._connection, self._path, self._machine = connection, path, machine

    def batches(self) -> Iterator[tuple[int, bytes]]:
        """Yield the number and the values of every batch that this machine has computed."""
        query = "SELECT number, data FROM batches WHERE machine = ? ORDER BY number"
        yield from self._connection.execute(query, (self._machine,))

    def of_others(self) -> dict[str, int]:
        query = "SELECT machine, count(*) FROM batches WHERE machine <> ? GROUP BY machine"
        return dict(self._connection.execute(query, (self._machine,)).fetchall())

    def append(self, number: int, data: bytes) -> None:
        line = (self._machine, number, data)
        with _failing(self._path):
            self._connection.execute("INSERT INTO batches VALUES (?, ?, ?)", line)


@contextmanager
def open_journal(folder: Path, name: str, machine: str, batches: int) -> Iterator[Journal]:
    path = _path(folder, name)
    with _failing(path):
        folder.mkdir(parents=True, exist_ok=True)
        path.touch()  # which says why it cannot, as SQLite does not
        tables = f"{_TABLES}; PRAGMA user_version = {batches:d}"
        connection = open_alone(path, tables, anew=True)
    with closing(connection):
        yield Journal(connection, path, machine)


def is_finished(path: Path) -> bool:
    """Tell whether a journal has all of its batches; one that cannot be told from here has not."""
    address = f"{path.absolute().as_uri()}?mode=rw"
    with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True, timeout=0)) as journal:
        journal.execute("PRAGMA locking_mode = EXCLUSIVE")  # with which no map is left beside it
        planned = journal.execute("PRAGMA user_version").fetchone()[0]
        by_machine = journal.execute("SELECT count(*) FROM batches GROUP BY machine").fetchall()
        return bool(planned) and any(done >= planned for (done,) in by_machine)
    return False


def delete_journal(folder: Path, name: str) -> None:
    delete_database(_path(folder, name))


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name[:32]}.sqlite"


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
            raise OutputError(
                f"another run is scoring these rows with this model right now ({path.name} is "
                "locked); wait for it to end, then this command continues from its scores"
            ) from error
        raise OutputError(
            f"scores cannot be written to {path.parent}: "
            f"{getattr(error, 'strerror', None) or error}. What was scored stays; make room, or "
            "set CURATRAIN_CACHE to another folder, and give the command again"
        ) from error
