"""How sure a difference is: an interval from drawing the prompts again, with replacement.

Efron, 1979; percentiles of the resampled differences, the prompts drawn in pairs: both models'
numbers on a prompt stay together. One prompt's luck is what it covers; it says nothing of other
kinds of prompts, nor of other seeds of the training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
# With fewer prompts resampling finds certainty where there is none: 5 of 5 is a draw of coins
# that one in 16 pairs of equal models has.
FEWEST = 10
_BLOCK = 100


@dataclass(frozen=True)
class Interval:
    """A number and how far it may be off.

    Attributes:
        value: The number itself.
        low: Lower end of the 95 % interval, None with fewer than FEWEST prompts.
        high: Its upper end.
        prompts: What it was taken from.
    """

    value: float
    low: float | None
    high: float | None
    prompts: int

    def told(self, against: float = 0.0) -> str:
        """Return `higher`, `lower`, `none` (no difference can be told) or `too_few` prompts.

        Args:
            against: What the number would be without a difference.
        """
        if self.low is None or self.high is None:
            return "too_few"
        if self.low > against:
            return "higher"
        return "lower" if self.high < against else "none"


def interval(
    rows: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    seed: int,
) -> Interval:
    """Return a statistic of sums over prompts, with its interval.

    Args:
        rows: (prompts, columns), a line a prompt.
        statistic: From sums over as many prompts, (resamples, columns), to (resamples,) numbers.
        seed: Of the draws; the same prompts are drawn for every statistic of as many prompts.

    Example:
        >>> interval(np.ones((20, 1)), lambda sums: sums[:, 0] / 20, 0)
        Interval(value=1.0, low=1.0, high=1.0, prompts=20)
    """
    count = len(rows)
    value = float(statistic(rows.sum(axis=0, keepdims=True))[0])
    if count < FEWEST:
        return Interval(value, None, None, count)
    drawn = np.concatenate([statistic(times @ rows) for times in _draws(count, seed)])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Interval(value, float(low), float(high), count)


def mean(values: NDArray[np.float64], seed: int) -> Interval:
    """Return the mean of a number a prompt, with its interval.

    Args:
        values: (prompts,), such as the differences of two models.
        seed: Of the draws.
    """
    return interval(values[:, None], lambda sums: sums[:, 0] / len(values), seed)


def _draws(count: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each prompt was drawn, (block, prompts); memory grows with prompts alone."""
    generator = np.random.default_rng(seed)
    chances = np.full(count, 1 / count)
    for _ in range(RESAMPLES // _BLOCK):
        yield generator.multinomial(count, chances, _BLOCK).astype(np.float64)
