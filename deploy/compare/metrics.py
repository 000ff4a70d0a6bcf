"""Numbers of texts: pieces, ROUGE and BLEU against a reference, loops, and bootstrap intervals.

Pieces, ROUGE-L and BLEU are those of `curate.scorers.overlap`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.scorers.overlap import bleu, bleu_statistics, pieces, rouge_l, words
from deploy.compare.asking import Answer

ROUGE_L = "rouge_l"
Numbers = dict[str, float]
Floats = NDArray[np.float64]
_LOOP_TIMES, _SHORTEST_LOOP = 3, 12
_RESAMPLES, _RESAMPLES_AT_ONCE = 2000, 100
# With fewer prompts resampling finds certainty where there is none: 5 of 5 is a draw of coins
# that one in 16 pairs of equal models has.
FEWEST = 10


def numbers_of(answer: Answer, reference: str) -> Numbers:
    """Return the numbers of one answer; without a reference ('') none against it."""
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


def _grams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[start:] for start in range(n)), strict=False))


def rouge_n(answer: Sequence[str], reference: Sequence[str], n: int) -> float:
    """Return the F1 of n-grams, 0 … 1; each counts as often as it stands in both."""
    ours, theirs = _grams(answer, n), _grams(reference, n)
    return 2 * (ours & theirs).total() / ((ours.total() + theirs.total()) or 1)


def repeated_share(answer: Sequence[str]) -> float:
    grams = _grams(answer, 4)
    return 1 - len(grams) / grams.total() if grams else 0.0


def loops(answer: Sequence[str]) -> bool:
    """Tell whether an answer ends in one stretch, three times and more, of 12 pieces at least."""
    for stretch in range(1, len(answer) // _LOOP_TIMES + 1):
        length = max(_LOOP_TIMES * stretch, -(-_SHORTEST_LOOP // stretch) * stretch)
        end = answer[len(answer) - length :]
        if length <= len(answer) and end[stretch:] == end[:-stretch]:
            return True
    return False


@dataclass(frozen=True)
class Interval:
    value: float
    low: float | None  # ends of the 95 % interval; None with fewer than FEWEST prompts
    high: float | None
    prompts: int

    def verdict(self, against: float = 0.0, better: str = "") -> str:
        """Return `too_few`, `none` (not told apart), `higher`, `lower`, or `better`, `worse`."""
        if self.low is None or self.high is None:
            return "too_few"
        if not (self.low > against or self.high < against):
            return "none"
        side = "higher" if self.low > against else "lower"
        return {"": side, side: "better"}.get(better, "worse")


def interval(rows: Floats, statistic: Callable[[Floats], Floats], seed: int) -> Interval:
    """Return a statistic of sums over prompts, with its bootstrap interval (Efron, 1979).

    Prompts are drawn with replacement, both models' numbers on one together. The interval covers
    the luck of prompts, not other kinds of prompts, nor other seeds of the training.
    """
    count = len(rows)
    value = float(statistic(rows.sum(axis=0, keepdims=True))[0])
    if count < FEWEST:
        return Interval(value, None, None, count)
    # How often each prompt is drawn, in blocks, so that memory grows with prompts alone.
    generator = np.random.default_rng(seed)
    chances = np.full(count, 1 / count)
    resampled = [
        statistic(generator.multinomial(count, chances, _RESAMPLES_AT_ONCE).astype(float) @ rows)
        for _ in range(_RESAMPLES // _RESAMPLES_AT_ONCE)
    ]
    low, high = np.quantile(np.concatenate(resampled), (0.025, 0.975))
    return Interval(value, float(low), float(high), count)


def mean(values: Floats, seed: int) -> Interval:
    return interval(values[:, None], lambda sums: sums[:, 0] / len(values), seed)


def bleu_of_both(texts: Sequence[tuple[str, str, str]], seed: int) -> tuple[float, float, Interval]:
    rows = np.array(
        [[*bleu_statistics(base, ref), *bleu_statistics(tuned, ref)] for base, tuned, ref in texts],
        dtype=float,
    )

    def both(sums: Floats) -> Floats:
        return np.array([[bleu(side) for side in line.reshape(2, -1)] for line in sums])

    base, tuned = both(rows.sum(axis=0, keepdims=True))[0].tolist()
    return base, tuned, interval(rows, lambda sums: np.diff(both(sums))[:, 0], seed)
