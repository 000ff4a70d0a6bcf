"""Numbers of two models' answers, and how sure the difference of each is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.compare.answers import Answer
from deploy.compare.judge import Pair, Verdict
from deploy.compare.metrics import (
    Interval,
    bleu,
    bleu_statistics,
    interval,
    loops,
    mean,
    pieces,
    repeated_share,
    rouge_l,
    rouge_n,
    words,
)

ROUGE_L = "rouge_l"
Numbers = dict[str, float]
_WORTH = {"tuned": 1.0, "tie": 0.5, "base": 0.0}


@dataclass(frozen=True)
class Measure:
    """One number of each model over the prompts that both answered.

    Attributes:
        name: `characters`, `rouge_l` …
        title: For people.
        base: Of the base model.
        tuned: Of the tuned model.
        difference: Tuned minus base.
        better: `higher` or `lower` where one is better, '' where neither is.
    """

    name: str
    title: str
    base: float
    tuned: float
    difference: Interval
    better: str = ""

    @property
    def verdict(self) -> str:
        """What the difference amounts to: `better`, `worse`, `higher`, `lower`, `none`, `too_few`.

        `none` means that with so many prompts no difference can be told.
        """
        verdict = self.difference.verdict()
        if verdict not in ("higher", "lower") or not self.better:
            return verdict
        return "better" if verdict == self.better else "worse"


def numbers_of(answer: Answer, reference: str) -> Numbers:
    """Return the numbers of one answer; without a reference ('') none against it.

    Example:
        >>> numbers_of(Answer("多喝水"), "多休息")["rouge_1"]
        0.3333333333333333
    """
    tokens = pieces(answer.text)
    numbers = {
        "characters": float(len(answer.text)),
        "pieces": float(len(tokens)),
        "repeated": repeated_share(tokens),
        "loops": float(loops(tokens)),
        "cut": float(answer.cut),
        "empty": float(not answer.text.strip()),
    }
    if reference:
        ours, theirs = words(answer.text), words(reference)
        numbers["rouge_1"] = rouge_n(ours, theirs, 1)
        numbers["rouge_2"] = rouge_n(ours, theirs, 2)
        numbers[ROUGE_L] = rouge_l(ours, theirs)
    return numbers


# Name, title, which is better.
_ALL = (
    ("characters", "characters", ""),
    ("pieces", "characters of Chinese, words, marks", ""),
    ("cut", "share cut off at the limit", ""),
    ("empty", "share of empty answers", "lower"),
    ("repeated", "share of repeated 4-grams", "lower"),
    ("loops", "share that ends in a loop", "lower"),
)
_AGAINST_REFERENCE = (
    ("rouge_1", "ROUGE-1", "higher"),
    ("rouge_2", "ROUGE-2", "higher"),
    (ROUGE_L, "ROUGE-L", "higher"),
)


def measures(
    pairs: Sequence[Pair], numbers: Sequence[tuple[Numbers, Numbers]], seed: int
) -> list[Measure]:
    """Return all measures over the pairs; those against references where there are some."""
    places = [place for place, pair in enumerate(pairs) if pair.prompt.reference]
    referenced = [numbers[place] for place in places]
    every = [_mean(name, title, better, numbers, seed) for name, title, better in _ALL]
    if places:
        every += [_mean(*measure, referenced, seed) for measure in _AGAINST_REFERENCE]
        every.append(_bleu([pairs[place] for place in places], seed))
    return every


def _mean(
    name: str, title: str, better: str, numbers: Sequence[tuple[Numbers, Numbers]], seed: int
) -> Measure:
    base, tuned = (np.array([both[side][name] for both in numbers]) for side in (0, 1))
    difference = mean(tuned - base, seed)
    return Measure(name, title, float(base.mean()), float(tuned.mean()), difference, better)


def _bleu(pairs: Sequence[Pair], seed: int) -> Measure:
    base, tuned = (
        np.array([bleu_statistics(text, reference) for text, reference in side], dtype=float)
        for side in (
            [(pair.base.text, pair.prompt.reference) for pair in pairs],
            [(pair.tuned.text, pair.prompt.reference) for pair in pairs],
        )
    )
    size = base.shape[1]

    def difference(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([bleu(line[size:]) - bleu(line[:size]) for line in sums])

    resampled = interval(np.hstack((base, tuned)), difference, seed)
    return Measure("bleu", "BLEU", bleu(base.sum(0)), bleu(tuned.sum(0)), resampled, "higher")


@dataclass(frozen=True)
class WinRate:
    """How often the judge prefers the tuned model; a tie counts half.

    Attributes:
        judge: Its name.
        wins: Pairs of which the tuned model's answer is better.
        losses: Pairs of which the base model's is.
        ties: All other pairs that were judged.
        unjudged: Pairs that the judge failed at; they count nowhere else.
        how: How the verdicts came about, each to the pairs.
        rate: (wins + ties / 2) over all judged pairs.
        longer: Of wins and losses, how many went to the answer with more characters.
    """

    judge: str
    wins: int
    losses: int
    ties: int
    unjudged: int
    how: dict[str, int]
    rate: Interval
    longer: int

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `none` (no difference can be told) or `too_few` pairs."""
        verdict = self.rate.verdict(0.5)
        return {"higher": "better", "lower": "worse"}.get(verdict, verdict)


def win_rate(
    judge: str, pairs: Sequence[Pair], verdicts: Sequence[Verdict], seed: int
) -> WinRate | None:
    """Return what a judge's verdicts on pairs amount to, None if there is not one."""
    worth = np.array([_WORTH[verdict.better] for verdict in verdicts if verdict.better in _WORTH])
    if not len(worth):
        return None
    count = Counter(verdict.better for verdict in verdicts)
    longer = sum(
        _longer(pair) == verdict.better
        for pair, verdict in zip(pairs, verdicts, strict=True)
        if verdict.better in ("tuned", "base")
    )
    return WinRate(
        judge=judge,
        wins=count["tuned"],
        losses=count["base"],
        ties=count["tie"],
        unjudged=count["unjudged"],
        how=count_of([verdict.how for verdict in verdicts]),
        rate=mean(worth, seed),
        longer=longer,
    )


def _longer(pair: Pair) -> str:
    base, tuned = len(pair.base.text), len(pair.tuned.text)
    return "tie" if base == tuned else "tuned" if tuned > base else "base"


def count_of(values: Sequence[str]) -> dict[str, int]:
    """Return how often each word occurs, in alphabetical order."""
    return dict(sorted(Counter(values).items()))
