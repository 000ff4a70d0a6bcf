"""Answers of one model to all prompts: a few at a time, kept as they come, failures by prompt."""

from __future__ import annotations

import hashlib
import json
import socket
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from curate.errors import ModelError, OutputError, UsageError
from curate.models.openai_server import is_address
from curate.models.protocols import CUT, TOO_LONG
from curate.system.cache import cache_dir

if TYPE_CHECKING:
    from curate.models.protocols import Generator, Reply

Conversation = Sequence[dict[str, str]]
# So many are lost when a run is killed. What they are is part of the answer: in a batch, float
# numbers are summed in another order, and a tie may go the other way.
AT_A_TIME = 8
_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """What a model said to one prompt.

    Attributes:
        text: The answer; '' is one, too.
        cut: Whether it was cut off at the limit of tokens.
        failure: Why there is no answer, '' if there is one.
    """

    text: str
    cut: bool = False
    failure: str = ""


def load_side(option: str, name: str) -> Generator:
    """Return one of the two models; its weights are loaded when it is first asked."""
    from curate.models.generate import load_generator

    check_reachable(name)
    folder = Path(name).expanduser()
    configs = ("config.json", "adapter_config.json")
    if folder.is_dir() and not any((folder / config).is_file() for config in configs):
        raise UsageError(
            f"{option} {name}: no model in this folder (neither config.json nor "
            "adapter_config.json); give the folder of a run, such as saves/NAME, or a merged model"
        )
    try:
        return load_generator(name)
    except ModelError as error:
        raise ModelError(f"{option}: {error}") from error


def check_reachable(name: str) -> None:
    """Refuse a server that nobody listens at, before minutes are spent on trying again."""
    if not is_address(name):
        return
    try:
        parts = urlsplit(name)
        port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
        socket.create_connection((parts.hostname or "", port), _SECONDS).close()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ModelError(
            f"no server answers at {name.partition('#')[0]} ({why}); start it (`deploy serve "
            "RUN`), or give another address: http://HOST:PORT/v1#MODEL"
        ) from error


class KeptAnswers:
    """Answers of one model on disk, by digest of the batch that was asked.

    Args:
        fingerprint: Of the model.
        mark: For a server, whose weights may change behind its address: of this comparison alone.
    """

    def __init__(self, fingerprint: str, mark: str = "") -> None:
        self._model = f"{fingerprint}|{mark}"
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
            raise OutputError(
                f"answers cannot be kept in {self.path.parent}: "
                f"{getattr(error, 'strerror', None) or error}; make room, or set CURATRAIN_CACHE "
                "to another folder, and give the command again"
            ) from error

    def digest(self, asked: Sequence[Conversation], most: int) -> str:
        """Return what a batch is known by, with answers of at most so many tokens."""
        whole = json.dumps([self._model, most, [list(each) for each in asked]], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()

    def get(self, digest: str) -> list[Answer] | None:
        """Return the answers of a batch, None if it is not there."""
        with self._table() as database:
            row = database.execute("SELECT j FROM answers WHERE of = ?", (digest,)).fetchone()
        return [Answer(**answer) for answer in json.loads(row[0])] if row else None

    def put(self, digest: str, answers: list[Answer]) -> None:
        """Keep a batch."""
        record = json.dumps([asdict(answer) for answer in answers])
        with self._table() as database:
            database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (digest, record))

    def forget(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def ask(
    model: Generator,
    conversations: Sequence[Conversation],
    most: int,
    kept: KeptAnswers,
    done: Callable[[int], Any] = lambda count: None,
) -> list[Answer]:
    """Return an answer to every conversation, or why there is none."""
    every: list[Answer] = []
    for start in range(0, len(conversations), AT_A_TIME):
        batch = conversations[start : start + AT_A_TIME]
        digest = kept.digest(batch, most)
        answers = kept.get(digest)
        if answers is None:
            answers = _batch(model, batch, most)
            # What failed is asked again by the next run: the reason may have gone.
            if all(not answer.failure or answer.failure == TOO_LONG for answer in answers):
                kept.put(digest, answers)
        every += answers
        done(len(batch))
    return every


def _batch(model: Generator, batch: Sequence[Conversation], most: int) -> list[Answer]:
    model.prepare()
    with model.worker():
        try:
            return [_answer(reply) for reply in model.replies(batch, most)]
        except ModelError as error:
            check_reachable(model.name)
            if len(batch) == 1:
                return [Answer("", failure=str(error))]
            answers = [_alone(model, conversation, most) for conversation in batch]
            if all(answer.failure for answer in answers):
                raise
            return answers


def _alone(model: Generator, conversation: Conversation, most: int) -> Answer:
    try:
        return _answer(model.replies([conversation], most)[0])
    except ModelError as error:
        check_reachable(model.name)
        return Answer("", failure=str(error))


def _answer(reply: Reply) -> Answer:
    if reply.end == TOO_LONG:
        return Answer("", failure=TOO_LONG)
    return Answer(reply.text.encode("utf-8", "replace").decode(), reply.end == CUT)
