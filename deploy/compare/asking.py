"""What both models are asked, rows of a file or lines of a text, and what they answer.

Answers come a few at a time, and are kept as they come; failures are told by prompt.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from curate.data.read import read
from curate.data.rows import Row, Rows
from curate.data.schema import Turn
from curate.errors import DataError, ModelError
from curate.models.generate import load_generator
from curate.models.openai_client import check_reachable, is_address
from curate.models.protocols import CUT, TOO_LONG, Generator
from curate.models.row_templates import asked_turns
from curate.system.cache import cache_dir, kept_bytes


@dataclass(frozen=True)
class Prompt:
    id: str  # of its row
    source: str  # name of its file
    system: str  # '' without one
    turns: tuple[Turn, ...]  # the last one is the user's
    reference: str = ""  # the answer that the row has
    trained_on: bool | None = None  # whether the tuned model was; None if that is not known

    @property
    def messages(self) -> list[dict[str, str]]:
        system = [{"role": "system", "content": self.system}] if self.system else []
        return system + [{"role": turn.role, "content": turn.content} for turn in self.turns]


@dataclass(frozen=True)
class Prompts:
    """All that is asked, in the order of the rows, and what could not be."""

    prompts: tuple[Prompt, ...]
    read: int  # rows that were looked at
    left_out: dict[str, int]  # by reason: a flaw, tools, media, trained_on, beyond_limit
    sources: dict[str, str]  # name of a file to its sha256


def read_rows(path: Path) -> Rows:
    """Read a file of prompts; of a .txt that holds no rows, every line is a prompt."""
    try:
        return read(path)
    except DataError as error:
        if path.suffix.lower() != ".txt" or not path.is_file() or not path.stat().st_size:
            other = "Prompts without answers can be given as a .txt, a prompt a line"
            raise DataError(f"{error}. {other}") from error
    return read(path, "pretraining")


def prompts_of(
    *files: Rows,
    trained_on: Callable[[Row], bool | None] = lambda row: None,
    held_out: bool = False,
) -> Prompts:
    """Return what rows ask, each prompt with what `trained_on` says of its row.

    With `held_out`, rows that were trained on are left out, and one at least has to remain.
    """
    prompts: list[Prompt] = []
    reasons: Counter[str] = Counter()
    for rows in files:
        lines = all(source.container == "lines" for source in rows.sources)
        if rows.shape.kind == "pretraining" and not lines:
            names = ", ".join(source.name for source in rows.sources)
            give = "give rows with prompts, or a .txt with a prompt a line"
            raise DataError(f"{names} holds documents, which ask nothing; {give}")
        for row in rows:
            seen = trained_on(row)
            prompt = "trained_on" if held_out and seen else _prompt(row)
            if isinstance(prompt, str):
                reasons[prompt] += 1
            else:
                prompts.append(replace(prompt, trained_on=seen))
    asked = Prompts(
        prompts=tuple(prompts),
        read=sum(len(rows) for rows in files),
        left_out=dict(sorted(reasons.items())),
        sources={source.name: source.sha256 for rows in files for source in rows.sources},
    )
    if held_out:
        check_asked(asked)
    return asked


def _prompt(row: Row) -> Prompt | str:
    turns = asked_turns(row)
    if isinstance(turns, str):
        return turns
    if not turns[-1].content.strip():
        return "empty_prompt"
    answered = len(turns) < len(row.turns)
    reference = row.parsed.chosen or (row.turns[-1].content if answered else "")
    return Prompt(
        id=row.id,
        source=row.source,
        system=writable(row.system),
        turns=tuple(Turn(turn.role, writable(turn.content)) for turn in turns),
        reference=writable(reference).strip(),
    )


def writable(text: str) -> str:
    """Return a text without halves of characters, which no tokenizer and no file takes."""
    return text.encode("utf-8", "replace").decode()


def check_asked(prompts: Prompts) -> None:
    if not prompts.prompts:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in prompts.left_out.items())
        raise DataError(
            f"{', '.join(prompts.sources)}: none of {prompts.read:,} rows can be asked"
            f"{f': {reasons}' if reasons else ''}; give rows with prompts that the model was not "
            "trained on, or a .txt with a prompt a line, as --prompts"
        )


def counted(prompts: int) -> str:
    return "1 prompt" if prompts == 1 else f"{prompts:,} prompts"


def limited(prompts: Prompts, limit: int, seed: int) -> Prompts:
    over = len(prompts.prompts) - limit
    if over <= 0:
        return prompts
    drawn = np.random.default_rng(seed).choice(len(prompts.prompts), limit, replace=False)
    return replace(
        prompts,
        prompts=tuple(prompts.prompts[place] for place in sorted(drawn.tolist())),
        left_out={**prompts.left_out, "beyond_limit": over},
    )


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
    check_reachable(name)
    try:
        model = load_generator(name)
    except ModelError as error:
        raise ModelError(f"{option}: {error}") from error
    return model, KeptAnswers(model.fingerprint, f"{option} {mark}" if is_address(name) else "")


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
            # What failed is asked again by the next run: the reason may have gone.
            lasting = all(answer.failure in ("", TOO_LONG) for answer in answers)
            return json.dumps([asdict(answer) for answer in answers]).encode() if lasting else b""

        key = [self._model, max_tokens, list(map(list, asked))]
        kept = kept_bytes(self._folder, "answers", key, record)
        return [Answer(**values) for values in json.loads(kept)] if kept else answers

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
