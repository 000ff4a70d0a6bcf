"""How many rows to keep, from what the user typed."""

from __future__ import annotations

import re
from fractions import Fraction

from curate.errors import UsageError

DEFAULT = "10%"
_ALLOWED = "allowed are a share of all rows such as 10%, above 0% and up to 100%, or a whole number"


def parse_keep(keep: str | int) -> Fraction | int:
    """Return a share (Fraction) or a count (int) of rows; a UsageError for anything else.

    Example:
        >>> parse_keep("2.5%"), parse_keep("500")
        (Fraction(1, 40), 500)
    """
    text = str(keep).strip()
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text):
        share = Fraction(match[1]) / 100
        if 0 < share <= 1:
            return share
    elif re.fullmatch(r"\d{1,18}", text) and int(text) > 0:
        return int(text)
    hint = ""
    if re.fullmatch(r"0?\.\d+", text) and float(text) > 0:
        hint = f" {text} as a share is {float(Fraction(text) * 100):g}%."
    raise UsageError(f"--keep {text}: {_ALLOWED} of rows of at least 1.{hint}")


def budget(keep: str | int | None, rows: int) -> int:
    """Return how many of so many rows to keep; a share is of all rows read, rounded down.

    Example:
        >>> budget("10%", 52002), budget(500, 1000), budget(None, 3)
        (5200, 500, 1)
    """
    wanted = parse_keep(DEFAULT if keep is None else keep)
    if isinstance(wanted, int):
        if wanted <= rows:
            return wanted
        raise UsageError(f"--keep {keep}: there are only {rows:,} rows; give a number up to that")
    count = int(wanted * rows)
    if count or keep is None:
        return count or 1
    raise UsageError(
        f"--keep {keep}: that is less than one of {rows:,} rows; give a larger share, or a number "
        "of rows"
    )
