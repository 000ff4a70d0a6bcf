"""Leave out rows whose score is at or above a bound, or below one."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import UsageError
from curate.selectors.kept_and_dropped import Candidates, Choice

NAME = "threshold"
NEEDS = ("values",)


@dataclass(frozen=True)
class ThresholdParams:
    """What is left out, and what the reason is called."""

    bound: float  # the value to compare with
    keep: str = "below"  # `below` (score < bound) or `from` (score >= bound)
    reason: str = "threshold"  # of the rows on the other side

    def __post_init__(self) -> None:
        if self.keep not in ("below", "from"):
            raise UsageError(f"threshold keep={self.keep!r}: allowed are 'below' and 'from'")


PARAMS = ThresholdParams


def select(candidates: Candidates, params: ThresholdParams) -> Choice:
    """Return the choice without the rows on the wrong side; a NaN is on no side and left out."""
    values, bound = candidates.values, params.bound
    right = values < bound if params.keep == "below" else values >= bound
    return candidates.choice.without(~right, params.reason)
