"""Rows drawn at random: the control that every other choice has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.selectors.choice import Choice

NAME = "random"


@dataclass(frozen=True)
class Params:
    """How many, and the seed.

    Attributes:
        k: Rows to keep; all that are left if there are fewer.
        seed: Of the draw.
        reason: Of the rows that were not drawn.
    """

    k: int
    seed: int = 0
    reason: str = "not_drawn"


def select(
    choice: Choice, values: NDArray[np.float64], ids: NDArray[np.object_], params: Params
) -> Choice:
    """Return the choice of k rows, each as likely as any other.

    Args:
        choice: What is left to choose from.
        values: (n,) scores of the choice that this is the control of: a row without one (NaN)
            could not be chosen there and is not drawn here.
        ids: (n,) of the rows, so that the draw does not depend on their order.
        params: How many, and the seed.

    Raises:
        UsageError: Fewer than none.

    Example:
        >>> both = Choice(np.array(["", ""], dtype=object))
        >>> int(select(both, np.ones(2), np.array(["a", "b"]), Params(1)).kept.sum())
        1
    """
    if params.k < 0:
        raise UsageError(f"random k={params.k}: allowed are 0 and more")
    places = np.flatnonzero(choice.kept & ~np.isnan(values))
    ordered = places[np.argsort(ids[places].astype(str), kind="stable")]
    drawn = np.random.default_rng(params.seed).permutation(len(ordered))[: params.k]
    left_out = np.ones(len(values), dtype=bool)
    left_out[ordered[drawn]] = False
    return choice.without(left_out, params.reason)
