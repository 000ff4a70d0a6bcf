"""How many rows each heap gives: exact arithmetic over counts, no data in sight."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
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
    """Every row of a heap `passes` times, and the first `more` of them once more."""

    passes: int
    more: int


@dataclass(frozen=True)
class Plan:
    """What is drawn from each heap for one ratio, and what a user should be told of it."""

    domain: tuple[Draw, ...]
    general: tuple[Draw, ...]
    notes: tuple[str, ...] = ()


def apportion(total: int, shares: Sequence[Fraction]) -> list[int]:
    """Split rows among shares by Webster's method: a larger total never gives anybody less.

    Example:
        >>> apportion(10, [Fraction(2, 3), Fraction(1, 3)])
        [7, 3]
    """
    # Nobody ends further below the exact share than this, so only the last seats are dealt out.
    short = Fraction(len(shares) + 1, 2)
    seats = [max(0, math.floor(total * share - short)) for share in shares]
    queue = [(-share / (2 * seats[at] + 1), at) for at, share in enumerate(shares)]
    heapq.heapify(queue)
    for _ in range(total - sum(seats)):
        _, at = heapq.heappop(queue)
        seats[at] += 1
        heapq.heappush(queue, (-shares[at] / (2 * seats[at] + 1), at))
    return seats


def most(heaps: Sequence[Heap]) -> int:
    """Return how many rows a side can give without repetition, with its shares kept."""
    low, high = 0, sum(heap.rows for heap in heaps)
    while low < high:
        middle = (low + high + 1) // 2
        seats = apportion(middle, [heap.share for heap in heaps])
        fits = all(rows <= heap.rows for rows, heap in zip(seats, heaps, strict=True))
        low, high = (middle, high) if fits else (low, middle - 1)
    return low


def plan_rows(
    domain: Sequence[Heap], general: Sequence[Heap], ratios: Sequence[Ratio], shortage: str
) -> list[Plan]:
    """Return how many rows of each heap make each ratio exactly.

    All domain rows once and k times as many general rows. Where that comes to no whole number of
    rows, as many domain rows as make it one; of a sweep, the same domain rows for every ratio.
    """
    mixed = [ratio for ratio in ratios if ratio.domain]
    step = math.lcm(*(ratio.times.denominator for ratio in mixed))
    usable, have = most(domain), most(general)
    used = usable // step * step
    if mixed and not used:
        raise DataError(_no_domain(usable, step, mixed))
    notes = _notes(domain, usable, used, step, mixed)
    scarce = min(general, key=lambda heap: heap.rows / heap.share, default=None)
    why = ""
    if scarce and len(general) > 1:
        why = f" with their weights kept, as {scarce.name} has {scarce.rows:,}"
    used, scaled = _afford(
        used, have, general, mixed, shortage, "rows", lambda up_to: int(up_to) // step * step, why
    )
    plans = []
    for ratio in ratios:
        wanted = (used, int(used * ratio.times)) if ratio.domain else (0, have)
        if not sum(wanted):
            raise DataError(f"ratio {ratio}: no general row is left to use; give other data")
        mine, theirs = _row_draws(domain, wanted[0]), _row_draws(general, wanted[1])
        plans.append(Plan(mine, theirs, (*notes, *scaled)))
    return plans


def plan_tokens(
    domain: Sequence[Heap], general: Sequence[Heap], ratios: Sequence[Ratio], shortage: str
) -> list[Plan]:
    """Return how many rows of each heap come nearest to each ratio of tokens; as plan_rows().

    All domain rows once; general rows are drawn until their tokens reach what the ratio asks
    for. The last row, with which they go past it, is taken if that comes nearer.
    """
    mine = [(heap.share, _sums(heap)) for heap in domain]
    theirs = [(heap.share, _sums(heap)) for heap in general]
    mixed = [ratio for ratio in ratios if ratio.domain]
    rows = [_within(sums, _most_tokens(mine) * share) for share, sums in mine]
    used, have = _drawn(rows, mine), _most_tokens(theirs)
    if mixed and not used:
        raise DataError("no domain row is left to use; give other data, or other weights")
    notes: tuple[str, ...] = ()
    if len(domain) > 1:
        notes = (f"with the weights of domain data, {used:,} of its tokens are used",)

    def fit(up_to: Fraction) -> int:
        rows[:] = [_within(sums, up_to * share) for share, sums in mine]
        return _drawn(rows, mine)

    used, scaled = _afford(used, have, general, mixed, shortage, "tokens", fit)
    plans = []
    for ratio in ratios:
        ours = tuple(Draw(0, count if ratio.domain else 0) for count in rows)
        target = used * ratio.times if ratio.domain else have
        nearest = tuple(_nearest(sums, target * share) for share, sums in theirs)
        plans.append(Plan(ours, nearest, (*notes, *scaled)))
    return plans


def _afford(
    used: int,
    have: int | Fraction,
    general: Sequence[Heap],
    ratios: Sequence[Ratio],
    shortage: str,
    unit: str,
    fit: Callable[[Fraction], int],
    why: str = "",
) -> tuple[int, tuple[str, ...]]:
    """Return how many domain rows or tokens general data suffices for, and a note if not for all.

    `fit` tells how many domain rows or tokens come nearest to a number without going past it.
    """
    largest = max(ratios, key=lambda ratio: ratio.times, default=None)
    if not largest or not largest.general:
        return used, ()
    need = int(used * largest.times)
    missing = (
        f"general data has {int(have):,} {unit} that can be used{why}; {largest} with {used:,} "
        f"domain {unit} needs {need:,}: {need - int(have):,} are missing. "
    )
    missing += _ways_out(int(have), used, largest) if int(have) else "Give more general data"
    if not all(heap.rows for heap in general):
        raise DataError(missing)
    if used * largest.times <= have or shortage == "repeat":
        return used, ()
    fits = fit(Fraction(have) / largest.times) if shortage == "shrink" else 0
    if not fits:
        raise DataError(missing)
    return fits, (
        f"general data has {int(have):,} {unit}, too few for {used:,} domain {unit}: scaled "
        f"down to {fits:,} domain {unit} (--shortage shrink)",
    )


def _ways_out(have: int, used: int, ratio: Ratio) -> str:
    possible = Fraction(have, used)
    whole = f"1:{math.floor(possible)}" if possible >= 1 else f"{math.ceil(1 / possible)}:1"
    shrunk = math.floor(have / ratio.times)
    shrink = f", --shortage shrink (about {shrunk:,} domain)" if shrunk else ""
    return (
        f"Give more general data, or --ratio {whole} (1:{float(possible):.2f} is the most there "
        f"is for all domain data){shrink}, or --shortage repeat"
    )


def _row_draws(heaps: Sequence[Heap], total: int) -> tuple[Draw, ...]:
    seats = apportion(total, [heap.share for heap in heaps]) if heaps else []
    pairs = zip(seats, heaps, strict=True)
    return tuple(
        Draw(*divmod(rows, heap.rows)) if heap.rows else Draw(0, 0) for rows, heap in pairs
    )


def _notes(
    domain: Sequence[Heap], usable: int, used: int, step: int, ratios: Sequence[Ratio]
) -> list[str]:
    notes = []
    whole = sum(heap.rows for heap in domain)
    if ratios and usable < whole:
        scarce = min(domain, key=lambda heap: heap.rows / heap.share)
        notes.append(
            f"the weights of domain data hold for {usable:,} of its {whole:,} rows, as "
            f"{scarce.name} has {scarce.rows:,}"
        )
    if used < usable:
        asked = ", ".join(map(str, ratios))
        notes.append(
            f"{used:,} of {usable:,} domain rows are used: {asked} comes out exactly only for "
            f"multiples of {step:,} domain rows"
        )
    return notes


def _no_domain(usable: int, step: int, ratios: Sequence[Ratio]) -> str:
    if not usable:
        return "no domain row is left to use; give other data"
    near = sorted({ratio.times.limit_denominator(usable) for ratio in ratios})
    return (
        f"ratio {', '.join(map(str, ratios))} comes out exactly only for multiples of {step:,} "
        f"domain rows, and there are {usable:,}; the nearest that does is --ratio "
        + " or ".join(f"{parts.denominator}:{parts.numerator}" for parts in near)
    )


_Sums = Sequence[tuple[Fraction, NDArray[np.int64]]]


def _sums(heap: Heap) -> NDArray[np.int64]:
    """Return (rows + 1,) tokens of no row, the first, the first two and so on."""
    tokens = heap.tokens if heap.tokens is not None else np.zeros(0, dtype=np.int64)
    return np.concatenate(([0], np.cumsum(tokens, dtype=np.int64)))


def _most_tokens(heaps: _Sums) -> Fraction:
    """Return the tokens that a side can give without repetition, with its shares kept."""
    return min((int(sums[-1]) / share for share, sums in heaps), default=Fraction(0))


def _within(sums: NDArray[np.int64], target: Fraction) -> int:
    """Return the rows whose tokens stay within the target: there is never too little for them."""
    return int(np.searchsorted(sums, int(target), side="right")) - 1


def _drawn(rows: Sequence[int], heaps: _Sums) -> int:
    return sum(int(sums[count]) for count, (_, sums) in zip(rows, heaps, strict=True))


def _nearest(sums: NDArray[np.int64], target: Fraction) -> Draw:
    """Return the rows whose tokens come nearest to the target; of two equally near, the fewer."""
    if not sums[-1]:
        return Draw(0, 0)
    passes, rest = divmod(target, int(sums[-1]))
    over = int(np.searchsorted(sums, math.ceil(rest), side="left"))
    fewer = over > 0 and rest - int(sums[over - 1]) <= int(sums[over]) - rest
    return Draw(int(passes), over - fewer)
