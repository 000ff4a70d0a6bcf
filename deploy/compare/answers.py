"""Answers of one model to all prompts: a few at a time, kept as they come, failures by prompt."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from filelock import FileLock

from curate.data.cache import cache_dir
from curate.errors import ModelError, OutputError
from curate.models.generation.server import is_address
from curate.models.protocols import CUT, TOO_LONG

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


def check_reachable(name: str) -> None:
    """Refuse a server that nobody listens at, before minutes are spent on trying again.

    Args:
        name: Of a model; nothing is done for one that is no server's.

    Raises:
        ModelError: Nothing listens at its address.
    """
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


class Kept:
    """Answers of one model on disk, a line a batch, by digest of what was asked.

    Args:
        fingerprint: Of the model.
        mark: For a server, whose weights may change behind its address: of this comparison alone.
    """

    def __init__(self, fingerprint: str, mark: str = "") -> None:
        self._of = f"{fingerprint}|{mark}"
        name = hashlib.sha256(self._of.encode()).hexdigest()[:32]
        self.path = cache_dir() / "answers" / f"{name}.jsonl"
        self._found = dict(self._lines())

    def _lines(self) -> Iterator[tuple[str, list[Answer]]]:
        if not self.path.is_file():
            return
        with self.path.open(encoding="ascii", errors="replace") as stream:
            for line in stream:
                try:
                    record = json.loads(line)
                    yield record["of"], [Answer(**each) for each in record["answers"]]
                except (ValueError, KeyError, TypeError):
                    continue  # the end of a run that was killed

    def digest(self, asked: Sequence[Conversation], most: int) -> str:
        """Return what a batch is known by.

        Args:
            asked: Its conversations.
            most: Tokens of the longest answer.
        """
        whole = json.dumps([self._of, most, [list(each) for each in asked]], sort_keys=True)
        return hashlib.sha256(whole.encode()).hexdigest()

    def get(self, digest: str) -> list[Answer] | None:
        """Return the answers of a batch, None if it is not there.

        Args:
            digest: Of the batch.
        """
        return self._found.get(digest)

    def put(self, digest: str, answers: list[Answer]) -> None:
        """Keep a batch.

        Args:
            digest: Of the batch.
            answers: To its conversations.

        Raises:
            OutputError: The disk is full, or the cache folder cannot be written.
        """
        line = json.dumps({"of": digest, "answers": [asdict(each) for each in answers]})
        with _told(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.path}.lock"), self.path.open("ab") as stream:
                # A line that was cut by a kill ends here, and is left to itself.
                stream.write(f"\n{line}\n".encode("ascii"))

    def forget(self) -> None:
        """Delete the file."""
        with _told(self.path):
            self.path.unlink(missing_ok=True)
            Path(f"{self.path}.lock").unlink(missing_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"answers cannot be kept in {path.parent}: {error.strerror or error}; make room, or "
            "set CURATRAIN_CACHE to another folder, and give the command again"
        ) from error


def ask(
    model: Generator,
    conversations: Sequence[Conversation],
    most: int,
    kept: Kept,
    done: Callable[[int], Any] = lambda count: None,
) -> list[Answer]:
    """Return an answer to every conversation, or why there is none.

    Args:
        model: Asked for what is not kept.
        conversations: Of {"role", "content"}.
        most: Tokens of the longest answer.
        kept: Answers of earlier runs; new ones are added.
        done: Told after each batch how many conversations it had.

    Raises:
        ModelError: The model cannot be loaded, the server is gone, or it answers none of a batch.
    """
    found: list[Answer] = []
    for start in range(0, len(conversations), AT_A_TIME):
        batch = conversations[start : start + AT_A_TIME]
        digest = kept.digest(batch, most)
        answers = kept.get(digest)
        if answers is None:
            answers = _batch(model, batch, most)
            # What failed is asked again by the next run: the reason may have gone.
            if all(not each.failure or each.failure == TOO_LONG for each in answers):
                kept.put(digest, answers)
        found += answers
        done(len(batch))
    return found


def _batch(model: Generator, batch: Sequence[Conversation], most: int) -> list[Answer]:
    model.prepare()
    with model.worker():
        try:
            return [_answer(each) for each in model.replies(batch, most)]
        except ModelError as error:
            check_reachable(model.name)
            if len(batch) == 1:
                return [Answer("", failure=str(error))]
            answers = [_alone(model, each, most) for each in batch]
            if all(each.failure for each in answers):
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
