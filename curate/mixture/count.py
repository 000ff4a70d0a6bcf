"""What a mixture took from each file, and the ratio that came out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.mixture.pile import Pile
from curate.mixture.spec import SIDES


@dataclass(frozen=True)
class SourceCount:
    """One file.

    Attributes:
        side: `domain` or `general`.
        name: Of the file.
        read: Rows it has.
        left_out: Why rows cannot be used, to how many.
        kept: Different rows that were taken.
        written: Rows that were taken, each as often as it was.
        tokens: Of the rows that were taken; None by rows.
    """

    side: str
    name: str
    read: int
    left_out: dict[str, int]
    kept: int
    written: int
    tokens: int | None

    @property
    def usable(self) -> int:
        """Rows that could be taken."""
        return self.read - sum(self.left_out.values())

    def as_dict(self) -> dict[str, Any]:
        """Return what a manifest adds to what is known of the file."""
        tokens = {} if self.tokens is None else {"tokens": self.tokens}
        counts = {"usable": self.usable, "kept": self.kept, "written": self.written}
        return {"side": self.side, **counts, "left_out": self.left_out, **tokens}


def count_sources(
    pile: Pile, times: Iterable[NDArray[np.int32]], tokens: NDArray[np.int32] | None
) -> Iterator[SourceCount]:
    """Yield the counts of every file.

    Args:
        pile: All rows.
        times: For each file, (rows,) how often each row is taken.
        tokens: (n,) tokens of each row; None by rows.
    """
    for part, taken in zip(pile.parts, times, strict=True):
        counted = None if tokens is None else int(np.dot(tokens[part.span].astype(np.int64), taken))
        yield SourceCount(
            part.side,
            part.source.name,
            len(part.rows),
            pile.left_out(part),
            int((taken > 0).sum()),
            int(taken.sum()),
            counted,
        )


def realised(sources: Sequence[SourceCount], in_tokens: bool) -> str:
    """Return the ratio that came out, for people.

    Args:
        sources: Counts of every file.
        in_tokens: Whether tokens were counted.

    Example:
        >>> realised(counts, in_tokens=False)
        'domain 60 : general 300 rows = 1:5'
    """
    rows = [sum(each.written for each in sources if each.side == side) for side in SIDES]
    told = f"domain {rows[0]:,} : general {rows[1]:,} rows = {_ratio(*rows)}"
    if in_tokens:
        tokens = [sum(each.tokens or 0 for each in sources if each.side == side) for side in SIDES]
        told += f"; domain {tokens[0]:,} : general {tokens[1]:,} tokens = {_ratio(*tokens)}"
    return told


def _ratio(domain: int, general: int) -> str:
    if not domain or not general:
        return f"{int(domain > 0)}:{int(general > 0)}"
    exact = Fraction(general, domain)
    if exact.denominator <= 20:
        return f"{exact.denominator}:{exact.numerator}"
    return f"1:{float(exact):.4f}"
