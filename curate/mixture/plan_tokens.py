"""How many rows of each heap make a ratio of tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from curate.errors import DataError
from curate.mixture.plan import Draw, Heap, Plan, ways_out
from curate.mixture.ratio import Ratio


def plan_tokens(
    domain: Sequence[Heap], general: Sequence[Heap], ratios: Sequence[Ratio], shortage: str
) -> list[Plan]:
    """Return how many rows of each heap come nearest to each ratio of tokens.

    All domain rows once; general rows are drawn until their tokens reach what the ratio asks
    for. The last row, with which they go past it, is taken if that comes nearer.

    Args:
        domain: Heaps of domain data, with tokens.
        general: Heaps of general data, with tokens.
        ratios: One or several.
        shortage: `error`, `shrink` or `repeat`.

    Raises:
        DataError: There are too few tokens.
    """
    totals = [_sums(heap) for heap in (*domain, *general)]
    ours, theirs = totals[: len(domain)], totals[len(domain) :]
    mixed = [ratio for ratio in ratios if ratio.domain]
    notes: list[str] = []
    wanted = _most(domain, ours)
    draws = _domain(domain, ours, wanted)
    used = _drawn(draws, ours)
    if mixed and not used:
        raise DataError("no domain row is left to use; give other data, or other weights")
    if len(domain) > 1:
        notes.append(f"with the weights of domain data, {used:,} of its tokens are used")
    have = _most(general, theirs)
    largest = max(mixed, key=lambda ratio: ratio.times, default=None)
    if largest and used * largest.times > have and shortage != "repeat":
        if shortage == "error" or not have:
            raise DataError(_missing(have, used, largest))
        draws = _domain(domain, ours, Fraction(have) / largest.times)
        fits = _drawn(draws, ours)
        if not fits:
            raise DataError(_missing(have, used, largest))
        notes.append(
            f"general data has {int(have):,} tokens, too few for {used:,} domain tokens: scaled "
            f"down to {fits:,} domain tokens (--shortage shrink)"
        )
        used = fits
    if largest and largest.general and not all(heap.rows for heap in general):
        raise DataError(_missing(Fraction(0), used, largest))
    plans = []
    for ratio in ratios:
        mine = draws if ratio.domain else tuple(Draw(0, 0) for _ in domain)
        target = used * ratio.times if ratio.domain else have
        pairs = zip(general, theirs, strict=True)
        yours = tuple(_nearest(sums, target * heap.share) for heap, sums in pairs)
        plans.append(Plan(mine, yours, tuple(notes)))
    return plans


def _sums(heap: Heap) -> NDArray[np.int64]:
    tokens = heap.tokens if heap.tokens is not None else np.zeros(0, dtype=np.int64)
    return np.cumsum(tokens, dtype=np.int64)


def _most(heaps: Sequence[Heap], sums: Sequence[NDArray[np.int64]]) -> Fraction:
    """Return the tokens that a side can give without repetition, with its shares kept."""
    pairs = zip(heaps, sums, strict=True)
    return min((Fraction(_total(each)) / heap.share for heap, each in pairs), default=Fraction(0))


def _total(sums: NDArray[np.int64]) -> int:
    return int(sums[-1]) if len(sums) else 0


def _domain(
    heaps: Sequence[Heap], sums: Sequence[NDArray[np.int64]], target: Fraction
) -> tuple[Draw, ...]:
    """Return the rows whose tokens stay within the target: there is never too little for them."""
    return tuple(
        Draw(0, int(np.searchsorted(each, int(target * heap.share), side="right")))
        for heap, each in zip(heaps, sums, strict=True)
    )


def _drawn(draws: Sequence[Draw], sums: Sequence[NDArray[np.int64]]) -> int:
    return sum(
        int(each[draw.more - 1]) for draw, each in zip(draws, sums, strict=True) if draw.more
    )


def _nearest(sums: NDArray[np.int64], target: Fraction) -> Draw:
    """Return the rows whose tokens come nearest to the target; of two equally near, the fewer."""
    whole = _total(sums)
    if not whole:
        return Draw(0, 0)
    passes, rest = divmod(target, whole)
    over = int(np.searchsorted(sums, math.ceil(rest), side="left"))
    before = int(sums[over - 1]) if over else 0
    takes_it = over < len(sums) and int(sums[over]) - rest < rest - before
    return Draw(int(passes), over + takes_it)


def _missing(have: Fraction, used: int, ratio: Ratio) -> str:
    need = int(used * ratio.times)
    told = (
        f"general data has {int(have):,} tokens that can be used; {ratio} with {used:,} domain "
        f"tokens needs {need:,}: {need - int(have):,} are missing."
    )
    return f"{told} {ways_out(int(have), used, ratio)}" if have else f"{told} Give more"
