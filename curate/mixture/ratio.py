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
    """So many parts of domain data to so many of general data.

    Attributes:
        domain: Parts of domain data.
        general: Parts of general data.
    """

    domain: Fraction
    general: Fraction

    def __str__(self) -> str:
        return f"{_plain(self.domain)}:{_plain(self.general)}"

    @property
    def as_name(self) -> str:
        """The ratio as a part of a file's name: `1to5`."""
        return str(self).replace(":", "to")

    @property
    def times(self) -> Fraction:
        """General data to one of domain data; only where there is domain data."""
        return self.general / self.domain


def parse_ratio(given: str) -> Ratio:
    """Return the ratio that was typed.

    Args:
        given: `1:5`; a side may be 0, not both.

    Raises:
        UsageError: It is no ratio; the message says what is.

    Example:
        >>> str(parse_ratio("2:3.50"))
        '2:3.5'
    """
    text = str(given).strip().replace("：", ":")  # noqa: RUF001 - what a Chinese keyboard types
    sides = [side.strip() for side in text.split(":")]
    if len(sides) != 2:
        raise UsageError(f"--ratio {given}: {len(sides)} numbers; {_ALLOWED}")
    for side in sides:
        if side.startswith("-") and _NUMBER.fullmatch(side[1:]):
            raise UsageError(f"--ratio {given}: {side} is negative; {_ALLOWED}")
        if not _NUMBER.fullmatch(side):
            wrong = f"{side!r} is no number" if side else "a side is empty"
            raise UsageError(f"--ratio {given}: {wrong}; {_ALLOWED}")
    domain, general = (Fraction(side) for side in sides)
    if not domain and not general:
        raise UsageError(f"--ratio {given}: a mixture of nothing; {_ALLOWED}")
    return Ratio(domain, general)


def parse_ratios(given: str | Iterable[str]) -> tuple[Ratio, ...]:
    """Return one ratio, or the several of a sweep.

    Args:
        given: `1:5`, or `1:0,1:1,1:5`, or such texts one by one.

    Raises:
        UsageError: One is no ratio, or is given twice.
    """
    texts = given.split(",") if isinstance(given, str) else list(given)
    ratios = tuple(parse_ratio(each) for each in texts)
    if not ratios:
        raise UsageError(f"no ratio; {_ALLOWED}")
    seen: set[Fraction | None] = set()
    for each in ratios:
        same = each.times if each.domain else None
        if same in seen:
            raise UsageError(f"--ratio: {each} is given twice; give every ratio once")
        seen.add(same)
    return ratios


def _plain(number: Fraction) -> str:
    return str(number.numerator) if number.denominator == 1 else f"{float(number):.10g}"
