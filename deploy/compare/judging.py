"""Which of two answers is better, says a third: a ranker or reward model, or another model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from deploy.compare.answers import Answer
from deploy.compare.prompts import Prompt

Better = Literal["tuned", "base", "tie", "unjudged"]
# How a verdict came about.
IDENTICAL, EMPTY, REWARD, ALIKE = "identical", "empty", "reward", "equal_reward"
AGREED, POSITION, MALFORMED, FAILED = "agreed", "position", "malformed", "failed"


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt, both there.

    Attributes:
        prompt: What was asked.
        base: What the base model said.
        tuned: What the tuned model said.
    """

    prompt: Prompt
    base: Answer
    tuned: Answer


@dataclass(frozen=True)
class Verdict:
    """What the judge said of a pair.

    Attributes:
        better: `tuned`, `base`, `tie`, or `unjudged` where the judge failed.
        how: `reward`, `equal_reward`; `agreed` (the same in both orders, a tie too), `position`
            (the other way round in the other order: a tie), `malformed` (an answer that is no
            verdict: a tie), `failed`; or, without asking, `identical` and `empty` (an answer is
            better than none).
        scores: The rewards of base and tuned, where there are some.
    """

    better: Better
    how: str
    scores: tuple[float, float] | None = None


class Judge(Protocol):
    """Something that says which answers are better.

    Attributes:
        name: What the user called it.
        fingerprint: Of all that decides the verdicts and can be known.
    """

    name: str
    fingerprint: str

    def judge(self, pairs: Sequence[Pair], done: Callable[[int], Any]) -> list[Verdict]:
        """Return a verdict on each pair; `done` is told how many pairs were judged."""


def judged(
    judge: Judge, pairs: Sequence[Pair], done: Callable[[int], Any] = lambda count: None
) -> list[Verdict]:
    """Return a verdict on each pair; what needs no judge is not asked.

    Args:
        judge: Asked about two answers that differ, both with text.
        pairs: All.
        done: Told how many pairs were judged.
    """
    known = [_without_asking(each) for each in pairs]
    asked = [pair for pair, verdict in zip(pairs, known, strict=True) if verdict is None]
    said = iter(judge.judge(asked, done) if asked else [])
    return [verdict or next(said) for verdict in known]


def _without_asking(pair: Pair) -> Verdict | None:
    base, tuned = pair.base.text.strip(), pair.tuned.text.strip()
    if base == tuned:
        return Verdict("tie", IDENTICAL)
    if not base or not tuned:
        return Verdict("tuned" if tuned else "base", EMPTY)
    return None
