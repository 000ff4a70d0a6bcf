"""A ratio, and how many rows each side gives for it: exact arithmetic over counts."""

from __future__ import annotations

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
class Draw:
    """Every row of a side `passes` times, and the first `more` of them once more."""

    passes: int
    more: int


@dataclass(frozen=True)
class Plan:
    """What is drawn from each side for one ratio, and what a user should be told of it."""

    domain: Draw
    general: Draw
    notes: tuple[str, ...]


def plan_rows(usable: int, available: int, ratios: Sequence[Ratio], shortage: str) -> list[Plan]:
    """Return how many rows of each side make each ratio exactly, of those that can be used.

    All domain rows once and k times as many general rows. Where that comes to no whole number of
    rows, as many domain rows as make it one; of a sweep, the same domain rows for every ratio.
    """
    mixed = [ratio for ratio in ratios if ratio.domain]
    asked = ", ".join(map(str, mixed))
    step = math.lcm(*(ratio.times.denominator for ratio in mixed))
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
    if used < usable:
        notes.append(
            f"{used:,} of {usable:,} domain rows are used: {asked} comes out exactly only for "
            f"multiples of {step:,} domain rows"
        )
    used, scaled = _afford(
        used, available, mixed, shortage, "rows", lambda most: int(most) // step * step
    )

    plans = []
    for ratio in ratios:
        mine, theirs = (used, int(used * ratio.times)) if ratio.domain else (0, available)
        if not mine + theirs:
            raise DataError(f"ratio {ratio}: no general row is left to use; give other data")
        draws = Draw(*divmod(mine, usable or 1)), Draw(*divmod(theirs, available or 1))
        plans.append(Plan(domain=draws[0], general=draws[1], notes=(*notes, *scaled)))
    return plans


def plan_tokens(
    domain: NDArray[np.int64], general: NDArray[np.int64], ratios: Sequence[Ratio], shortage: str
) -> list[Plan]:
    """Return how many rows of each side come nearest to each ratio of tokens; as plan_rows().

    Given are the tokens of the rows that can be used, (n,), in the order of drawing. All domain
    rows once; general rows are drawn until their tokens reach what the ratio asks for. The last
    row, with which they go past it, is taken if that comes nearer.
    """
    # Tokens of no row, the first, the first two and so on.
    mine, theirs = (np.concatenate(([0], np.cumsum(side))) for side in (domain, general))
    mixed = [ratio for ratio in ratios if ratio.domain]

    def within(tokens: Fraction | int) -> int:
        """Return how many domain rows have so many tokens at most."""
        return int(np.searchsorted(mine, int(tokens), side="right")) - 1

    used, available = int(mine[-1]), int(theirs[-1])
    if mixed and not used:
        raise DataError("no domain row is left to use; give other data")
    used, notes = _afford(
        used, available, mixed, shortage, "tokens", lambda most: int(mine[within(most)])
    )
    return [
        Plan(
            domain=Draw(0, within(used) if ratio.domain else 0),
            general=_nearest(theirs, used * ratio.times if ratio.domain else Fraction(available)),
            notes=notes,
        )
        for ratio in ratios
    ]


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
    available: int,
    ratios: Sequence[Ratio],
    shortage: str,
    unit: str,
    fit: Callable[[Fraction], int],
) -> tuple[int, tuple[str, ...]]:
    """Return the domain rows or tokens that general data suffices for; a note if not for all."""
    largest = max(ratios, key=lambda ratio: ratio.times, default=None)
    if not largest or not largest.general:
        return used, ()
    if available:
        if used * largest.times <= available or shortage == "repeat":
            return used, ()
        fits = fit(Fraction(available) / largest.times) if shortage == "shrink" else 0
        if fits:
            return fits, (
                f"general data has {available:,} {unit}, too few for {used:,} domain {unit}: "
                f"scaled down to {fits:,} domain {unit} (--shortage shrink)",
            )
    need = int(used * largest.times)
    ways = "Give more general data"
    if available:
        possible = Fraction(available, used)
        whole = f"1:{math.floor(possible)}" if possible >= 1 else f"{math.ceil(1 / possible)}:1"
        shrunk = math.floor(available / largest.times)
        shrink = f", --shortage shrink (about {shrunk:,} domain)" if shrunk else ""
        ways += (
            f", or --ratio {whole} (1:{float(possible):.2f} is the most there is for all domain "
            f"data){shrink}, or --shortage repeat"
        )
    raise DataError(
        f"general data has {available:,} {unit} that can be used; {largest} with {used:,} domain "
        f"{unit} needs {need:,}: {need - available:,} are missing. {ways}"
    )
