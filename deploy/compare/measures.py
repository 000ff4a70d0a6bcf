"""Numbers of two models' answers, and how sure the difference of each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deploy.compare.answers import Answer
from deploy.compare.bootstrap import Interval, interval, mean
from deploy.compare.judging import Pair, Verdict
from deploy.compare.overlap import bleu, bleu_statistics, rouge_l, rouge_n
from deploy.compare.pieces import pieces, words
from deploy.compare.repetition import loops, repeated_share

ROUGE_L = "rouge_l"
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
    def told(self) -> str:
        """What the difference amounts to: `better`, `worse`, `higher`, `lower`, `none`, `too_few`.

        None means that with so many prompts no difference can be told.
        """
        said = self.difference.told()
        if said not in ("higher", "lower") or not self.better:
            return said
        return "better" if said == self.better else "worse"


def numbers_of(answer: Answer, reference: str) -> dict[str, float]:
    """Return the numbers of one answer.

    Args:
        answer: With or without text.
        reference: What a person answered, '' without one.

    Example:
        >>> numbers_of(Answer("多喝水"), "多休息")["rouge_1"]
        0.3333333333333333
    """
    said = pieces(answer.text)
    found = {
        "characters": float(len(answer.text)),
        "pieces": float(len(said)),
        "repeated": repeated_share(said),
        "loops": float(loops(said)),
        "cut": float(answer.cut),
        "empty": float(not answer.text.strip()),
    }
    if reference:
        ours, theirs = words(answer.text), words(reference)
        found["rouge_1"] = rouge_n(ours, theirs, 1)
        found["rouge_2"] = rouge_n(ours, theirs, 2)
        found[ROUGE_L] = rouge_l(ours, theirs)
    return found


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
    pairs: Sequence[Pair], numbers: Sequence[tuple[dict[str, float], dict[str, float]]], seed: int
) -> list[Measure]:
    """Return all measures over the pairs; those against references where there are some.

    Args:
        pairs: At least one.
        numbers: Of both answers of each pair, from numbers_of().
        seed: Of the intervals.
    """
    found = [_mean(*each, numbers, seed) for each in _ALL]
    with_reference = [at for at, pair in enumerate(pairs) if pair.prompt.reference]
    if with_reference:
        chosen = [numbers[at] for at in with_reference]
        found += [_mean(*each, chosen, seed) for each in _AGAINST_REFERENCE]
        found.append(_bleu([pairs[at] for at in with_reference], seed))
    return found


def _mean(
    name: str,
    title: str,
    better: str,
    numbers: Sequence[tuple[dict[str, float], dict[str, float]]],
    seed: int,
) -> Measure:
    base, tuned = (np.array([each[side][name] for each in numbers]) for side in (0, 1))
    return Measure(
        name, title, float(base.mean()), float(tuned.mean()), mean(tuned - base, seed), better
    )


def _bleu(pairs: Sequence[Pair], seed: int) -> Measure:
    base, tuned = (
        np.array([bleu_statistics(text, pair.prompt.reference) for pair, text in side], dtype=float)
        for side in (
            [(pair, pair.base.text) for pair in pairs],
            [(pair, pair.tuned.text) for pair in pairs],
        )
    )
    size = base.shape[1]

    def difference(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([bleu(line[size:]) - bleu(line[:size]) for line in sums])

    found = interval(np.hstack((base, tuned)), difference, seed)
    return Measure("bleu", "BLEU", bleu(base.sum(0)), bleu(tuned.sum(0)), found, "higher")


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
    def told(self) -> str:
        """`better`, `worse`, `none` (no difference can be told) or `too_few` pairs."""
        said = self.rate.told(0.5)
        return {"higher": "better", "lower": "worse"}.get(said, said)


def win_rate(
    judge: str, pairs: Sequence[Pair], verdicts: Sequence[Verdict], seed: int
) -> WinRate | None:
    """Return what the verdicts amount to, None if there is not one.

    Args:
        judge: Its name.
        pairs: That were judged.
        verdicts: On them.
        seed: Of the interval.
    """
    worth = np.array([_WORTH[each.better] for each in verdicts if each.better in _WORTH])
    if not len(worth):
        return None
    count = count_of([each.better for each in verdicts])
    longer = sum(
        _longer(pair) == verdict.better
        for pair, verdict in zip(pairs, verdicts, strict=True)
        if verdict.better in ("tuned", "base")
    )
    return WinRate(
        judge,
        count.get("tuned", 0),
        count.get("base", 0),
        count.get("tie", 0),
        count.get("unjudged", 0),
        count_of([each.how for each in verdicts]),
        mean(worth, seed),
        longer,
    )


def _longer(pair: Pair) -> str:
    base, tuned = len(pair.base.text), len(pair.tuned.text)
    return "tie" if base == tuned else "tuned" if tuned > base else "base"


def count_of(values: Sequence[str]) -> dict[str, int]:
    """Return how often each word occurs, in alphabetical order.

    Args:
        values: Words.
    """
    return {each: values.count(each) for each in sorted(set(values))}
