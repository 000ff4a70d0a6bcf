"""A ratio, and how many rows each heap gives for it: exact arithmetic over counts."""

from __future__ import annotations

import bisect
import heapq
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from curate.errors import DataError, UsageError

_SIDE_OF_RATIO = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_RATIOS = "give domain:general as two numbers such as 1:5, 2:3 or 1:2.5"


@dataclass(frozen=True)
class Ratio:
    """So many parts of domain data to so many of general data; fractions, so that it is exact."""

    domain: Fraction
    general: Fraction

    def __str__(self) -> str:
        return ":".join(
            str(side) if side.denominator == 1 else f"{float(side):.10g}"
            for side in (self.domain, self.general)
        )

    @property
    def as_name(self) -> str:
        """The ratio as a part of a file's name: `1to5`."""
        return str(self).replace(":", "to")

    @property
    def times(self) -> Fraction:
        """General data to one of domain data; only where there is domain data."""
        return self.general / self.domain


def parse_ratio(typed: str) -> Ratio:
    """Return the ratio that was typed; UsageError says what is none.

    Example:
        >>> str(parse_ratio("2:3.50"))
        '2:3.5'
    """
    text = str(typed).strip().replace("：", ":")  # noqa: RUF001 - what a Chinese keyboard types
    sides = [side.strip() for side in text.split(":")]
    if len(sides) != 2:
        raise UsageError(f"--ratio {typed}: {len(sides)} numbers; {_RATIOS}")
    for side in sides:
        if not _SIDE_OF_RATIO.fullmatch(side):
            wrong = f"{side!r} is no number" if side else "a side is empty"
            if side.startswith("-") and _SIDE_OF_RATIO.fullmatch(side[1:]):
                wrong = f"{side} is negative"
            raise UsageError(f"--ratio {typed}: {wrong}; {_RATIOS}")
    domain, general = (Fraction(side) for side in sides)
    if not domain and not general:
        raise UsageError(f"--ratio {typed}: a mixture of nothing; {_RATIOS}")
    return Ratio(domain, general)


def parse_ratios(typed: str | Iterable[str]) -> tuple[Ratio, ...]:
    """Return one ratio, or the several of a sweep: `1:0,1:1,1:5`, or such texts one by one."""
    ratios = tuple(map(parse_ratio, typed.split(",") if isinstance(typed, str) else typed))
    if not ratios:
        raise UsageError(f"no ratio; {_RATIOS}")
    seen: set[Fraction | None] = set()
    for ratio in ratios:
        times = ratio.times if ratio.domain else None
        if times in seen:
            raise UsageError(f"--ratio: {ratio} is given twice; give every ratio once")
        seen.add(times)
    return ratios


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

    def too_many(total: int) -> bool:
        seats = apportion(total, [heap.share for heap in heaps])
        return any(rows > heap.rows for rows, heap in zip(seats, heaps, strict=True))

    return bisect.bisect(range(1, sum(heap.rows for heap in heaps) + 1), False, key=too_many)


def plan_rows(
    domain: Sequence[Heap], general: Sequence[Heap], ratios: Sequence[Ratio], shortage: str
) -> list[Plan]:
    """Return how many rows of each heap make each ratio exactly.

    All domain rows once and k times as many general rows. Where that comes to no whole number of
    rows, as many domain rows as make it one; of a sweep, the same domain rows for every ratio.
    """
    mixed = [ratio for ratio in ratios if ratio.domain]
    asked = ", ".join(map(str, mixed))
    step = math.lcm(*(ratio.times.denominator for ratio in mixed))
    usable, have = most(domain), most(general)
    used = usable // step * step
    if mixed and not usable:
        raise DataError("no domain row is left to use; give other data")
    if mixed and not used:
        near = sorted({ratio.times.limit_denominator(usable) for ratio in mixed})
        raise DataError(
            f"ratio {asked} comes out exactly only for multiples of {step:,} domain rows, and "
            f"there are {usable:,}; the nearest that does is --ratio "
            + " or ".join(f"{parts.denominator}:{parts.numerator}" for parts in near)
        )
    notes = []
    whole = sum(heap.rows for heap in domain)
    if mixed and usable < whole:
        scarce = min(domain, key=lambda heap: heap.rows / heap.share)
        notes.append(
            f"the weights of domain data hold for {usable:,} of its {whole:,} rows, as "
            f"{scarce.name} has {scarce.rows:,}"
        )
    if used < usable:
        notes.append(
            f"{used:,} of {usable:,} domain rows are used: {asked} comes out exactly only for "
            f"multiples of {step:,} domain rows"
        )
    why = ""
    if len(general) > 1:
        scarce = min(general, key=lambda heap: heap.rows / heap.share)
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


def _row_draws(heaps: Sequence[Heap], total: int) -> tuple[Draw, ...]:
    seats = apportion(total, [heap.share for heap in heaps]) if heaps else []
    pairs = zip(seats, heaps, strict=True)
    return tuple(Draw(*divmod(rows, heap.rows or 1)) for rows, heap in pairs)


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
    rows: list[int] = []

    def fit(up_to: Fraction) -> int:
        """Take the domain rows whose tokens stay within a number; return their tokens."""
        rows[:] = [int(np.searchsorted(sums, int(up_to * s), side="right")) - 1 for s, sums in mine]
        return sum(int(sums[count]) for count, (_, sums) in zip(rows, mine, strict=True))

    used, have = fit(_most_tokens(mine)), _most_tokens(theirs)
    if mixed and not used:
        raise DataError("no domain row is left to use; give other data, or other weights")
    notes: tuple[str, ...] = ()
    if len(domain) > 1:
        notes = (f"with the weights of domain data, {used:,} of its tokens are used",)
    used, scaled = _afford(used, have, general, mixed, shortage, "tokens", fit)
    plans = []
    for ratio in ratios:
        ours = tuple(Draw(0, count if ratio.domain else 0) for count in rows)
        target = used * ratio.times if ratio.domain else have
        nearest = tuple(_nearest(sums, target * share) for share, sums in theirs)
        plans.append(Plan(ours, nearest, (*notes, *scaled)))
    return plans


def _sums(heap: Heap) -> NDArray[np.int64]:
    """Return (rows + 1,) tokens of no row, the first, the first two and so on."""
    tokens = heap.tokens if heap.tokens is not None else np.zeros(0, dtype=np.int64)
    return np.concatenate(([0], np.cumsum(tokens, dtype=np.int64)))


def _most_tokens(heaps: Sequence[tuple[Fraction, NDArray[np.int64]]]) -> Fraction:
    """Return the tokens that a side can give without repetition, with its shares kept."""
    return min((int(sums[-1]) / share for share, sums in heaps), default=Fraction(0))


def _nearest(sums: NDArray[np.int64], target: Fraction) -> Draw:
    """Return the rows whose tokens come nearest to the target; of two equally near, the fewer."""
    if not sums[-1]:
        return Draw(0, 0)
    passes, rest = divmod(target, int(sums[-1]))
    over = int(np.searchsorted(sums, math.ceil(rest), side="left"))
    fewer = over > 0 and rest - int(sums[over - 1]) <= int(sums[over]) - rest
    return Draw(int(passes), over - fewer)


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
    enough = used * largest.times <= have or shortage == "repeat"
    if all(heap.rows for heap in general):
        if enough:
            return used, ()
        fits = fit(Fraction(have) / largest.times) if shortage == "shrink" else 0
        if fits:
            return fits, (
                f"general data has {int(have):,} {unit}, too few for {used:,} domain {unit}: "
                f"scaled down to {fits:,} domain {unit} (--shortage shrink)",
            )
    need, there = int(used * largest.times), int(have)
    ways = "Give more general data"
    if there:
        possible = Fraction(there, used)
        whole = f"1:{math.floor(possible)}" if possible >= 1 else f"{math.ceil(1 / possible)}:1"
        shrunk = math.floor(there / largest.times)
        shrink = f", --shortage shrink (about {shrunk:,} domain)" if shrunk else ""
        ways += (
            f", or --ratio {whole} (1:{float(possible):.2f} is the most there is for all domain "
            f"data){shrink}, or --shortage repeat"
        )
    raise DataError(
        f"general data has {there:,} {unit} that can be used{why}; {largest} with {used:,} "
        f"domain {unit} needs {need:,}: {need - there:,} are missing. {ways}"
    )
