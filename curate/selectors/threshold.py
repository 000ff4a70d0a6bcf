"""Leave out rows whose score is at or above a bound, or below one."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import UsageError
from curate.selectors.choice import Candidates, Choice

NAME = "threshold"
NEEDS = ("values",)


@dataclass(frozen=True)
class ThresholdParams:
    """What is left out, and what the reason is called.

    Attributes:
        bound: The value to compare with.
        keep: `below` (score < bound) or `from` (score >= bound).
        reason: Of the rows on the other side.
    """

    bound: float
    keep: str = "below"
    reason: str = "threshold"


PARAMS = ThresholdParams


def select(candidates: Candidates, params: ThresholdParams) -> Choice:
    """Return the choice without the rows on the wrong side of the bound.

    Args:
        candidates: What is left to choose from, with values; a NaN is on no side and left out.
        params: Bound, side and reason.

    Raises:
        UsageError: No such side.
    """
    if params.keep not in ("below", "from"):
        raise UsageError(f"threshold keep={params.keep!r}: allowed are 'below' and 'from'")
    right = (
        candidates.values < params.bound
        if params.keep == "below"
        else candidates.values >= params.bound
    )
    return candidates.choice.without(~right, params.reason)
