"""Every request that was sent and every answer that came, in an SQLite file beside the data.

An attempt is written with the most that it can cost before it is sent, and with its outcome after:
where a run is killed in between, `sent` stays, and so does the cost. An answer is there whole or
not at all, and is never asked for again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

from curate.errors import OutputError
from curate.models.openai_request import Completion
from curate.system.database import open_alone

SENT, ANSWERED = "sent", "answered"
_VERSION = 1
_TABLES = f"""
PRAGMA user_version = {_VERSION};
CREATE TABLE IF NOT EXISTS answers (
  key TEXT PRIMARY KEY, text TEXT, end TEXT, thinking TEXT, finish_reason TEXT, model TEXT,
  prompt_tokens INTEGER, response_tokens INTEGER, cached_tokens INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
  number INTEGER PRIMARY KEY, key TEXT, at REAL, cost REAL, outcome TEXT, words TEXT
);
CREATE INDEX IF NOT EXISTS of_request ON attempts (key);
CREATE TABLE IF NOT EXISTS models (base TEXT PRIMARY KEY, name TEXT);
"""


class Ledger:
    """An open ledger, for this run alone."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.path, self._connection = path, connection
        # What all attempts have cost, those without an outcome at their most.
        self.spent = float(self._one("SELECT total(cost) FROM attempts")[0])

    def answer(self, key: str) -> Completion | None:
        row = self._one("SELECT * FROM answers WHERE key = ?", key)
        return Completion(*row[1:]) if row else None

    def answers(self) -> int:
        return int(self._one("SELECT count(*) FROM answers")[0])

    def lost(self) -> int:
        return int(self._one("SELECT count(*) FROM attempts WHERE outcome = ?", SENT)[0])

    def failure(self, key: str) -> tuple[str, str, int] | None:
        """Return outcome and words of a request's last attempt, and how many there were."""
        query = "SELECT outcome, words, count(*), max(number) FROM attempts WHERE key = ?"
        row = self._one(query, key)
        return (row[0], row[1] or "", row[2]) if row and row[2] else None

    def send(self, key: str, cost: float) -> int:
        """Write that a request is about to be sent; return the attempt's number."""
        line = (key, time.time(), cost, SENT)
        with _writing(self.path):
            query = "INSERT INTO attempts (key, at, cost, outcome) VALUES (?, ?, ?, ?)"
            number = self._connection.execute(query, line).lastrowid
        self.spent += cost
        return int(number or 0)

    def end(
        self,
        number: int,
        cost: float,
        outcome: str,
        words: str = "",
        answer: tuple[str, Completion] | None = None,
    ) -> None:
        """Write what became of an attempt, what it cost, and the key and answer if there is one."""
        with _writing(self.path), self._connection:
            self._connection.execute("BEGIN")
            (before,) = self._one("SELECT cost FROM attempts WHERE number = ?", number)
            query = "UPDATE attempts SET cost = ?, outcome = ?, words = ? WHERE number = ?"
            self._connection.execute(query, (cost, outcome, words, number))
            if answer:
                query = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                self._connection.execute(query, (answer[0], *astuple(answer[1])))
        self.spent += cost - before

    def model_at(self, base: str) -> str:
        """Return which model a server had when it was first asked, '' if it never was."""
        row = self._one("SELECT name FROM models WHERE base = ?", base)
        return str(row[0]) if row else ""

    def note_model(self, base: str, name: str) -> None:
        with _writing(self.path):
            self._connection.execute("INSERT OR REPLACE INTO models VALUES (?, ?)", (base, name))

    def _one(self, query: str, *values: object) -> Any:
        return self._connection.execute(query, values).fetchone()


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Open the ledger beside a data set, made if need be."""
    with _writing(path):
        path.touch()  # which says why it cannot, as SQLite does not
        with closing(sqlite3.connect(path, timeout=0)) as first:
            version = int(first.execute("PRAGMA user_version").fetchone()[0])
            others = first.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version > _VERSION:
            raise OutputError(
                f"{path} was written by a newer curatrain (version {version} of ledgers, and "
                f"{_VERSION} is known here); install that, or give another --name"
            )
        if others and not version:
            raise sqlite3.DatabaseError("it has tables of another program")
        connection = open_alone(path, _TABLES, threads=True)
    with closing(connection):
        yield Ledger(connection, path)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith("SQLITE_BUSY"):
            raise OutputError(
                f"another run is asking for '{path.name}' right now; wait for it to end, or give "
                "another --name"
            ) from error
        if type(error) is sqlite3.DatabaseError:
            raise OutputError(
                f"{path} is no ledger of answers ({error}); move it away, or give another --name"
            ) from error
        raise OutputError(
            f"answers cannot be written to {path}: {getattr(error, 'strerror', None) or error}. "
            "Nothing more is sent, and what was answered is kept; make room, and give the command "
            "again"
        ) from error
