"""Answers of one model to all prompts: a few at a time, kept as they come, failures by prompt."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from curate.errors import ModelError
from curate.models.openai_client import check_reachable, is_address
from curate.models.protocols import CUT, TOO_LONG, Generator
from curate.system.cache import cache_dir, kept_bytes
from deploy.compare.prompts import writable

Conversation = Sequence[dict[str, str]]
# So many are lost when a run is killed. What they are is part of the answer: in a batch, float
# numbers are summed in another order, and a tie may go the other way.
AT_A_TIME = 8


@dataclass(frozen=True)
class Answer:
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


class _NotKeptError(Exception):
    """What failed is asked again by the next run: the reason may have gone."""


class KeptAnswers:
    """Answers of the model with a fingerprint, on disk, by digest of the batch that was asked."""

    # With a `mark` they are of one comparison alone: a server's weights may change behind it.
    def __init__(self, fingerprint: str, mark: str = "") -> None:
        self._model, self._passing = f"{fingerprint}|{mark}", bool(mark)
        self._folder = f"answers/{hashlib.sha256(self._model.encode()).hexdigest()[:32]}"
        self.path = cache_dir() / self._folder

    def batch(
        self, asked: Sequence[Conversation], max_tokens: int, compute: Callable[[], list[Answer]]
    ) -> list[Answer]:
        """Return what was answered earlier to a batch, else compute it, and keep it."""
        answers: list[Answer] = []

        def record() -> bytes:
            answers.extend(compute())
            if any(answer.failure not in ("", TOO_LONG) for answer in answers):
                raise _NotKeptError
            return json.dumps([asdict(answer) for answer in answers]).encode()

        key = [self._model, max_tokens, list(map(list, asked))]
        with suppress(_NotKeptError):
            kept = kept_bytes(self._folder, "answers", key, record)
            return [Answer(**values) for values in json.loads(kept)]
        return answers

    def forget(self) -> None:
        if self._passing:
            shutil.rmtree(self.path, ignore_errors=True)


def ask(
    model: Generator,
    conversations: Sequence[Conversation],
    max_tokens: int,
    kept: KeptAnswers,
    done: Callable[[int], Any] = lambda count: None,
) -> list[Answer]:
    compute = partial(_answer_batch, model, max_tokens)
    return answered(compute, conversations, max_tokens, kept, done)


def answered(
    compute: Callable[[Sequence[Conversation]], list[Answer]],
    conversations: Sequence[Conversation],
    max_tokens: int,
    kept: KeptAnswers,
    done: Callable[[int], Any],
) -> list[Answer]:
    """Return what a function answers to a few conversations at a time, or has answered earlier."""
    answers: list[Answer] = []
    for start in range(0, len(conversations), AT_A_TIME):
        batch = conversations[start : start + AT_A_TIME]
        answers += kept.batch(batch, max_tokens, partial(compute, batch))
        done(len(batch))
    return answers


def _answer_batch(model: Generator, max_tokens: int, batch: Sequence[Conversation]) -> list[Answer]:
    """Ask for a batch, and where that fails one by one; raise if not one is answered."""
    model.prepare()
    try:
        with model.worker():
            replies = model.replies(batch, max_tokens)
    except ModelError as error:
        check_reachable(model.name)
        if len(batch) == 1:
            return [Answer("", failure=str(error))]
        answers = [_answer_batch(model, max_tokens, [alone])[0] for alone in batch]
        if all(answer.failure for answer in answers):
            raise
        return answers
    return [
        Answer(writable(reply.text), reply.end == CUT, "" if reply.given else reply.end)
        for reply in replies
    ]
