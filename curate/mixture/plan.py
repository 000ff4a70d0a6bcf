"""A ratio, and how many rows each heap gives for it: exact arithmetic over counts."""

from __future__ import annotations

import bisect
import heapq
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from curate.errors import DataError, UsageError

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_RATIOS = "give domain:general as two numbers such as 1:5, 2:3 or 1:2.5"


@dataclass(frozen=True)
class Ratio:
    """So many parts of domain data to so many of general data; fractions, so that it is exact."""

    domain: Fraction
    general: Fraction

    def __str__(self) -> str:
        sides = (self.domain, self.general)
        return ":".join(f"{Decimal(side.numerator) / side.denominator:f}" for side in sides)

    @property
    def as_name(self) -> str:
        """The ratio as a part of a file's name: `1to5`."""
        return str(self).replace(":", "to")

    @property
    def times(self) -> Fraction:
        """General data to one of domain data; only where there is domain data."""
        return self.general / self.domain


def parse_ratio(typed: str) -> Ratio:
    """Return the ratio that was typed, `2:3.50`; UsageError says what is none."""
    text = str(typed).replace("：", ":")  # noqa: RUF001 - what a Chinese keyboard types
    sides = [side.strip() for side in text.split(":")]
    wrong = {1: "one number", 2: ""}.get(len(sides), f"{len(sides)} numbers")
    for side in sides:
        if not wrong and not _NUMBER.fullmatch(side):
            wrong = f"{side!r} is no number" if side else "a side is empty"
            if _NUMBER.fullmatch(side.removeprefix("-")):
                wrong = f"{side} is negative"
    if not wrong and not any(map(Fraction, sides)):
        wrong = "a mixture of nothing"
    if wrong:
        raise UsageError(f"--ratio {typed}: {wrong}; {_RATIOS}")
    return Ratio(domain=Fraction(sides[0]), general=Fraction(sides[1]))


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
    """Rows that are drawn from together: a whole side, or one weighted source of it."""

    name: str
    share: Fraction  # of the side; the shares of a side add up to 1
    rows: int  # that can be used
    tokens: NDArray[np.int64] | None = None  # (rows,) in the order of drawing; None by rows
    parts: tuple[int, ...] = ()  # numbers of its files


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
    notes: tuple[str, ...]


def apportion(total: int, shares: Sequence[Fraction]) -> list[int]:
    """Split rows among shares by Webster's method: a larger total never gives anybody less."""
    # Nobody ends further below the exact share than this, so only the last seats are dealt out.
    short = Fraction(len(shares) + 1, 2)
    seats = [max(0, math.floor(total * share - short)) for share in shares]
    queue = [(-share / (2 * seats[at] + 1), at) for at, share in enumerate(shares)]
    heapq.heapify(queue)
    for _ in range(total - sum(seats) if queue else 0):
        at = queue[0][1]
        seats[at] += 1
        heapq.heapreplace(queue, (-shares[at] / (2 * seats[at] + 1), at))
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
    usable, available = most(domain), most(general)
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
    if mixed and usable < (whole := sum(heap.rows for heap in domain)):
        notes.append(
            f"the weights of domain data hold for {usable:,} of its {whole:,} rows, as "
            f"{_scarce(domain)}"
        )
    if used < usable:
        notes.append(
            f"{used:,} of {usable:,} domain rows are used: {asked} comes out exactly only for "
            f"multiples of {step:,} domain rows"
        )
    why = f" with their weights kept, as {_scarce(general)}" if len(general) > 1 else ""
    used, scaled = _afford(
        used, available, general, mixed, shortage, f"rows{why}", lambda n: int(n) // step * step
    )

    plans = []
    for ratio in ratios:
        mine, theirs = (used, int(used * ratio.times)) if ratio.domain else (0, available)
        if not mine + theirs:
            raise DataError(f"ratio {ratio}: no general row is left to use; give other data")
        draws = _row_draws(domain, mine), _row_draws(general, theirs)
        plans.append(Plan(domain=draws[0], general=draws[1], notes=(*notes, *scaled)))
    return plans


def _row_draws(heaps: Sequence[Heap], total: int) -> tuple[Draw, ...]:
    seats = zip(heaps, apportion(total, [heap.share for heap in heaps]), strict=True)
    return tuple(Draw(rows // (heap.rows or 1), rows % (heap.rows or 1)) for heap, rows in seats)


def _scarce(heaps: Sequence[Heap]) -> str:
    heap = min(heaps, key=lambda heap: heap.rows / heap.share)
    return f"{heap.name} has {heap.rows:,}"


def plan_tokens(
    domain: Sequence[Heap], general: Sequence[Heap], ratios: Sequence[Ratio], shortage: str
) -> list[Plan]:
    """Return how many rows of each heap come nearest to each ratio of tokens; as plan_rows().

    All domain rows once; general rows are drawn until their tokens reach what the ratio asks
    for. The last row, with which they go past it, is taken if that comes nearer.
    """
    mine, theirs = ([(heap.share, _sums(heap)) for heap in side] for side in (domain, general))
    # The tokens that a side can give without repetition, with its shares kept.
    usable, available = (
        min((int(sums[-1]) / share for share, sums in side), default=Fraction(0))
        for side in (mine, theirs)
    )
    mixed = [ratio for ratio in ratios if ratio.domain]
    rows: list[int] = []

    def fit(up_to: Fraction) -> int:
        """Take the domain rows whose tokens stay within a number; return their tokens."""
        rows[:] = [int(np.searchsorted(sums, int(up_to * s), side="right")) - 1 for s, sums in mine]
        return sum(int(sums[count]) for count, (_, sums) in zip(rows, mine, strict=True))

    used = fit(usable)
    if mixed and not used:
        raise DataError("no domain row is left to use; give other data, or other weights")
    notes: tuple[str, ...] = ()
    if len(domain) > 1:
        notes = (f"with the weights of domain data, {used:,} of its tokens are used",)
    used, scaled = _afford(used, available, general, mixed, shortage, "tokens", fit)
    plans = []
    for ratio in ratios:
        target = used * ratio.times if ratio.domain else available
        plans.append(
            Plan(
                domain=tuple(Draw(0, count if ratio.domain else 0) for count in rows),
                general=tuple(_nearest(sums, target * share) for share, sums in theirs),
                notes=(*notes, *scaled),
            )
        )
    return plans


def _sums(heap: Heap) -> NDArray[np.int64]:
    """Return (rows + 1,) tokens of no row, the first, the first two and so on."""
    tokens = np.zeros(0, np.int64) if heap.tokens is None else heap.tokens
    return np.concatenate(([0], np.cumsum(tokens, dtype=np.int64)))


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
    available: int | Fraction,
    general: Sequence[Heap],
    ratios: Sequence[Ratio],
    shortage: str,
    counted: str,
    fit: Callable[[Fraction], int],
) -> tuple[int, tuple[str, ...]]:
    """Return the domain rows or tokens that general data suffices for; a note if not for all."""
    largest = max(ratios, key=lambda ratio: ratio.times, default=None)
    if not largest or not largest.general:
        return used, ()
    unit, _, why = counted.partition(" ")
    have = int(available)
    if all(heap.rows for heap in general):
        if used * largest.times <= available or shortage == "repeat":
            return used, ()
        fits = fit(Fraction(available) / largest.times) if shortage == "shrink" else 0
        if fits:
            return fits, (
                f"general data has {have:,} {unit}, too few for {used:,} domain {unit}: "
                f"scaled down to {fits:,} domain {unit} (--shortage shrink)",
            )
    need = int(used * largest.times)
    ways = "Give more general data"
    if have:
        possible = Fraction(have, used)
        whole = f"1:{math.floor(possible)}" if possible >= 1 else f"{math.ceil(1 / possible)}:1"
        shrunk = math.floor(have / largest.times)
        shrink = f", --shortage shrink (about {shrunk:,} domain)" if shrunk else ""
        ways += (
            f", or --ratio {whole} (1:{float(possible):.2f} is the most there is for all domain "
            f"data){shrink}, or --shortage repeat"
        )
    raise DataError(
        f"general data has {have:,} {unit} that can be used{' ' * bool(why)}{why}; {largest} with "
        f"{used:,} domain {unit} needs {need:,}: {need - have:,} are missing. {ways}"
    )
