"""A ratio domain:general, kept as fractions so that exact stays exact."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from curate.errors import UsageError

_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_ALLOWED = "give domain:general as two numbers such as 1:5, 2:3 or 1:2.5"


@dataclass(frozen=True)
class Ratio:
    """So many parts of domain data to so many of general data."""

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
        raise UsageError(f"--ratio {typed}: {len(sides)} numbers; {_ALLOWED}")
    for side in sides:
        if not _NUMBER.fullmatch(side):
            wrong = f"{side!r} is no number" if side else "a side is empty"
            negative = side.startswith("-") and _NUMBER.fullmatch(side[1:])
            wrong = f"{side} is negative" if negative else wrong
            raise UsageError(f"--ratio {typed}: {wrong}; {_ALLOWED}")
    domain, general = (Fraction(side) for side in sides)
    if not domain and not general:
        raise UsageError(f"--ratio {typed}: a mixture of nothing; {_ALLOWED}")
    return Ratio(domain, general)


def parse_ratios(typed: str | Iterable[str]) -> tuple[Ratio, ...]:
    """Return one ratio, or the several of a sweep: `1:0,1:1,1:5`, or such texts one by one."""
    texts = typed.split(",") if isinstance(typed, str) else typed
    ratios = tuple(parse_ratio(text) for text in texts)
    if not ratios:
        raise UsageError(f"no ratio; {_ALLOWED}")
    seen: set[Fraction | None] = set()
    for ratio in ratios:
        times = ratio.times if ratio.domain else None
        if times in seen:
            raise UsageError(f"--ratio: {ratio} is given twice; give every ratio once")
        seen.add(times)
    return ratios
