"""Leave out rows whose score is at or above a bound, or below one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.selectors.choice import Choice

NAME = "threshold"


@dataclass(frozen=True)
class Params:
    """What is left out, and what the reason is called.

    Attributes:
        bound: The value to compare with.
        keep: `below` (score < bound) or `from` (score >= bound).
        reason: Of the rows on the other side.
    """

    bound: float
    keep: str = "below"
    reason: str = "threshold"


def select(
    choice: Choice, values: NDArray[np.float64], ids: NDArray[np.object_], params: Params
) -> Choice:
    """Return the choice without the rows on the wrong side of the bound.

    Args:
        choice: What is left to choose from.
        values: (n,) scores; a NaN is on no side and left out.
        ids: (n,) not needed here.
        params: Bound, side and reason.

    Raises:
        UsageError: No such side.
    """
    if params.keep not in ("below", "from"):
        raise UsageError(f"threshold keep={params.keep!r}: allowed are 'below' and 'from'")
    right = values < params.bound if params.keep == "below" else values >= params.bound
    return choice.without(~right, params.reason)
