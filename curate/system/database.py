"""An SQLite file that one run holds alone, and that is sound however the run ends."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def open_alone(
    path: Path, tables: str, *, threads: bool = False, anew: bool = False
) -> sqlite3.Connection:
    """Open a database for this run alone, its tables made by statements if need be.

    With `threads` several may use the connection, one at a time. Raises sqlite3.OperationalError
    where another run holds it, sqlite3.DatabaseError where it is damaged; `anew` begins it anew.
    """
    if anew:
        try:
            return open_alone(path, tables, threads=threads)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:  # what is in it can be computed again
            delete_database(path)
    connection = sqlite3.connect(
        path, timeout=0, isolation_level=None, check_same_thread=not threads
    )
    try:
        # One run alone: nobody else reads or writes it, and what a log needs beside it is kept in
        # memory, not in a shared map, which network file systems do not have.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(tables)
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError(f"{path.name} is damaged")
    except BaseException:
        connection.close()
        raise
    return connection


def delete_database(path: Path) -> None:
    for ending in ("", "-wal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
