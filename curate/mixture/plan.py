"""How many rows each heap gives: exact arithmetic over counts, no data in sight."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from curate.errors import DataError
from curate.mixture.ratio import Ratio


@dataclass(frozen=True)
class Heap:
    """Rows that are drawn from together: a whole side, or one weighted source of it.

    Attributes:
        name: For people.
        share: Its part of the side; the shares of a side add up to 1.
        rows: That can be used.
        tokens: (rows,) tokens of each in the order in which rows are drawn; None by rows.
    """

    name: str
    share: Fraction
    rows: int
    tokens: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Draw:
    """What is drawn from a heap.

    Attributes:
        passes: Times that every row is taken.
        more: Rows that are taken once more, the first in the order of drawing.
    """

    passes: int
    more: int


@dataclass(frozen=True)
class Plan:
    """One mixture, in numbers.

    Attributes:
        domain: What is drawn from each domain heap.
        general: What is drawn from each general heap.
        notes: What a user should be told, a sentence each.
    """

    domain: tuple[Draw, ...]
    general: tuple[Draw, ...]
    notes: tuple[str, ...] = ()


def apportion(total: int, shares: Sequence[Fraction]) -> list[int]:
    """Split rows among shares by Webster's method: a larger total never gives anybody less.

    Args:
        total: Rows.
        shares: Fractions that add up to 1.

    Returns:
        One number for each share; they add up to total.

    Example:
        >>> apportion(10, [Fraction(2, 3), Fraction(1, 3)])
        [7, 3]
    """
    # Nobody ends further below the exact share than this, so only the last seats are dealt out.
    short = Fraction(len(shares) + 1, 2)
    seats = [max(0, math.floor(total * share - short)) for share in shares]
    queue = [(-share / (2 * got + 1), at) for at, (share, got) in enumerate(zip(shares, seats))]  # noqa: B905
    heapq.heapify(queue)
    for _ in range(total - sum(seats)):
        _, at = heapq.heappop(queue)
        seats[at] += 1
        heapq.heappush(queue, (-shares[at] / (2 * seats[at] + 1), at))
    return seats


def most(heaps: Sequence[Heap]) -> int:
    """Return how many rows a side can give without repetition, with its shares kept.

    Args:
        heaps: Of the side.
    """
    low, high = 0, sum(heap.rows for heap in heaps)
    while low < high:
        middle = (low + high + 1) // 2
        seats = apportion(middle, [heap.share for heap in heaps])
        fits = all(got <= heap.rows for got, heap in zip(seats, heaps, strict=True))
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def plan_rows(
    domain: Sequence[Heap], general: Sequence[Heap], ratios: Sequence[Ratio], shortage: str
) -> list[Plan]:
    """Return how many rows of each heap make each ratio exactly.

    All domain rows once and k times as many general rows. Where that comes to no whole number of
    rows, as many domain rows as make it one; of a sweep, the same domain rows for every ratio.

    Args:
        domain: Heaps of domain data.
        general: Heaps of general data.
        ratios: One or several.
        shortage: `error`, `shrink` or `repeat`.

    Raises:
        DataError: There are too few rows.
    """
    mixed = [ratio for ratio in ratios if ratio.domain]
    step = math.lcm(*(ratio.times.denominator for ratio in mixed))
    there, have = most(domain), most(general)
    used = there // step * step
    if mixed and not used:
        raise DataError(_no_domain(there, step, mixed))
    notes = _notes(domain, there, used, step, mixed)
    largest = max((ratio.times for ratio in mixed), default=Fraction(0))
    if used * largest > have and shortage != "repeat":
        if shortage == "error" or not have:
            raise DataError(_missing(general, have, int(used * largest), used, mixed))
        fits = math.floor(have / largest) // step * step
        if not fits:
            raise DataError(_missing(general, have, int(used * largest), used, mixed))
        notes.append(
            f"general data has {have:,} rows, too few for {used:,} domain rows: scaled down to "
            f"{fits:,} domain rows (--shortage shrink)"
        )
        used = fits
    if used * largest and not all(heap.rows for heap in general):
        raise DataError(_missing(general, have, int(used * largest), used, mixed))
    plans = []
    for ratio in ratios:
        wanted = (used, int(used * ratio.times)) if ratio.domain else (0, have)
        if not sum(wanted):
            raise DataError(f"ratio {ratio}: no general row is left to use; give other data")
        plans.append(
            Plan(_row_draws(domain, wanted[0]), _row_draws(general, wanted[1]), tuple(notes))
        )
    return plans


def _row_draws(heaps: Sequence[Heap], total: int) -> tuple[Draw, ...]:
    seats = apportion(total, [heap.share for heap in heaps]) if heaps else []
    pairs = zip(seats, heaps, strict=True)
    return tuple(Draw(*divmod(got, heap.rows)) if heap.rows else Draw(0, 0) for got, heap in pairs)


def _notes(
    domain: Sequence[Heap], there: int, used: int, step: int, ratios: Sequence[Ratio]
) -> list[str]:
    notes = []
    whole = sum(heap.rows for heap in domain)
    if ratios and there < whole:
        scarce = min(domain, key=lambda heap: heap.rows / heap.share)
        notes.append(
            f"the weights of domain data hold for {there:,} of its {whole:,} rows, as "
            f"{scarce.name} has {scarce.rows:,}"
        )
    if used < there:
        asked = ", ".join(map(str, ratios))
        notes.append(
            f"{used:,} of {there:,} domain rows are used: {asked} comes out exactly only for "
            f"multiples of {step:,} domain rows"
        )
    return notes


def _no_domain(there: int, step: int, ratios: Sequence[Ratio]) -> str:
    if not there:
        return "no domain row is left to use; give other data"
    near = " or ".join(
        f"{parts.denominator}:{parts.numerator}"
        for parts in sorted({ratio.times.limit_denominator(max(1, there)) for ratio in ratios})
    )
    return (
        f"ratio {', '.join(map(str, ratios))} comes out exactly only for multiples of {step:,} "
        f"domain rows, and there are {there:,}; the nearest that does is --ratio {near}"
    )


def _missing(
    general: Sequence[Heap], have: int, need: int, used: int, ratios: Sequence[Ratio]
) -> str:
    asked = str(max(ratios, key=lambda ratio: ratio.times))
    scarce = min(general, key=lambda heap: heap.rows / heap.share, default=None)
    weighted = f", as {scarce.name} has {scarce.rows:,}" if scarce and len(general) > 1 else ""
    kept = " with their weights kept" if weighted else ""
    told = (
        f"general data has {have:,} rows that can be used{kept}{weighted}; {asked} with {used:,} "
        f"domain rows needs {need:,}: {need - have:,} are missing."
    )
    if not have:
        return f"{told} Give more general data"
    return f"{told} {ways_out(have, used, max(ratios, key=lambda ratio: ratio.times))}"


def ways_out(have: float, used: float, ratio: Ratio) -> str:
    """Return what to do about too little general data.

    Args:
        have: General rows or tokens.
        used: Domain rows or tokens.
        ratio: That was asked for.
    """
    possible = Fraction(have) / Fraction(used)
    whole = f"1:{math.floor(possible)}" if possible >= 1 else f"{math.ceil(1 / possible)}:1"
    shrunk = math.floor(Fraction(have) / ratio.times)
    shrink = f", --shortage shrink (about {shrunk:,} domain)" if shrunk else ""
    return (
        f"Give more general data, or --ratio {whole} (1:{float(possible):.2f} is the most there "
        f"is for all domain data){shrink}, or --shortage repeat"
    )
