"""Answers of one model to all prompts: a few at a time, kept as they come, failures by prompt."""

from __future__ import annotations

import hashlib
import json
import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from curate.errors import ModelError, OutputError
from curate.models.openai_server import is_address
from curate.models.protocols import CUT, TOO_LONG, Generator
from curate.system.cache import cache_dir
from deploy.compare.prompts import writable

Conversation = Sequence[dict[str, str]]
# So many are lost when a run is killed. What they are is part of the answer: in a batch, float
# numbers are summed in another order, and a tie may go the other way.
AT_A_TIME = 8
_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """What a model said to one prompt."""

    text: str  # '' is an answer, too
    cut: bool = False  # at the limit of tokens
    failure: str = ""  # why there is no answer


def load_model(option: str, name: str, mark: str) -> tuple[Generator, KeptAnswers]:
    """Return a model, whose weights are loaded when it is first asked, and its earlier answers."""
    from curate.models.generate import load_generator

    check_reachable(name)
    try:
        model = load_generator(name)
    except ModelError as error:
        raise ModelError(f"{option}: {error}") from error
    return model, KeptAnswers(model.fingerprint, f"{option} {mark}" if is_address(name) else "")


def check_reachable(name: str) -> None:
    """Refuse a server that nobody listens at, before minutes are spent on trying again."""
    if not is_address(name):
        return
    try:
        parts = urlsplit(name)
        port = parts.port or {"https": 443}.get(parts.scheme, 80)
        socket.create_connection((parts.hostname or "", port), _SECONDS).close()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        start = "start it (`deploy serve RUN`), or give another address: http://HOST:PORT/v1#MODEL"
        raise ModelError(
            f"no server answers at {name.partition('#')[0]} ({why}); {start}"
        ) from error


class KeptAnswers:
    """Answers of the model with a fingerprint, on disk, by digest of the batch that was asked."""

    # With a `mark` they are of one comparison alone: a server's weights may change behind it.
    def __init__(self, fingerprint: str, mark: str = "") -> None:
        self._model, self._passing = f"{fingerprint}|{mark}", bool(mark)
        name = hashlib.sha256(self._model.encode()).hexdigest()[:32]
        self.path = cache_dir() / "answers" / f"{name}.sqlite"

    @contextmanager
    def _table(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=60)) as database, database:
                database.execute("CREATE TABLE IF NOT EXISTS answers (of TEXT PRIMARY KEY, j TEXT)")
                yield database
        except (OSError, sqlite3.Error) as error:
            why = getattr(error, "strerror", None) or error
            raise OutputError(
                f"answers cannot be kept in {self.path.parent}: {why}; make room, or set "
                "CURATRAIN_CACHE to another folder, and give the command again"
            ) from error

    def batch(
        self, asked: Sequence[Conversation], max_tokens: int, compute: Callable[[], list[Answer]]
    ) -> list[Answer]:
        """Return what was answered earlier to a batch, else compute it, and keep it."""
        key = json.dumps([self._model, max_tokens, list(map(list, asked))], sort_keys=True)
        digest = hashlib.sha256(key.encode()).hexdigest()
        with self._table() as database:
            row = database.execute("SELECT j FROM answers WHERE of = ?", (digest,)).fetchone()
        if row:
            return [Answer(**values) for values in json.loads(row[0])]
        answers = compute()
        # What failed is asked again by the next run: the reason may have gone.
        if all(answer.failure in ("", TOO_LONG) for answer in answers):
            record = json.dumps([asdict(answer) for answer in answers])
            with self._table() as database:
                database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (digest, record))
        return answers

    def forget(self) -> None:
        """Delete what is of one comparison alone, once that is written."""
        if self._passing:
            self.path.unlink(missing_ok=True)


def ask(
    model: Generator,
    conversations: Sequence[Conversation],
    max_tokens: int,
    kept: KeptAnswers,
    done: Callable[[int], Any] = lambda count: None,
) -> list[Answer]:
    """Return an answer to every conversation, or why there is none."""
    answers: list[Answer] = []
    for start in range(0, len(conversations), AT_A_TIME):
        batch = conversations[start : start + AT_A_TIME]
        answers += kept.batch(batch, max_tokens, partial(_answer_batch, model, batch, max_tokens))
        done(len(batch))
    return answers


def _answer_batch(model: Generator, batch: Sequence[Conversation], max_tokens: int) -> list[Answer]:
    """Ask for a batch, and where that fails one by one; raise if not one is answered."""
    model.prepare()
    try:
        with model.worker():
            replies = model.replies(batch, max_tokens)
    except ModelError as error:
        check_reachable(model.name)
        if len(batch) == 1:
            return [Answer("", failure=str(error))]
        answers = [_answer_batch(model, [alone], max_tokens)[0] for alone in batch]
        if all(answer.failure for answer in answers):
            raise
        return answers
    return [
        Answer(writable(reply.text), reply.end == CUT, "" if reply.given else reply.end)
        for reply in replies
    ]
