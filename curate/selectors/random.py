"""Rows drawn at random: the control that every other choice has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.selectors.choice import Candidates, Choice

NAME = "random"
NEEDS = ("values",)


@dataclass(frozen=True)
class RandomParams:
    """How many, and the seed.

    Attributes:
        k: Rows to keep; all that are left if there are fewer.
        seed: Of the draw.
        reason: Of the rows that were not drawn.
    """

    k: int
    seed: int = 0
    reason: str = "not_drawn"


PARAMS = RandomParams


def select(candidates: Candidates, params: RandomParams) -> Choice:
    """Return the choice of k rows, each as likely as any other.

    Args:
        candidates: What is left to choose from, with values: a row without
            one (NaN) could not be chosen by them and is not drawn.
        params: How many, and the seed.

    Raises:
        UsageError: Fewer than none.

    Example:
        >>> both = Choice(np.array(["", ""], dtype=object))
        >>> candidates = Candidates(both, np.array(["a", "b"]), values=np.ones(2))
        >>> int(select(candidates, RandomParams(k=1)).kept.sum())
        1
    """
    choice, ids = candidates.choice, candidates.ids
    values = candidates.values
    if params.k < 0:
        raise UsageError(f"random k={params.k}: allowed are 0 and more")
    possible = choice.kept & ~np.isnan(values)
    drawn = draws(possible, ids, params.seed)
    left_out = np.ones(len(values), dtype=bool)
    left_out[drawn[: params.k]] = False
    return choice.without(left_out, params.reason)


def draws(possible: NDArray[np.bool_], ids: NDArray[np.object_], seed: int) -> NDArray[np.int64]:
    """Return the positions of all possible rows in the order in which they are drawn.

    Args:
        possible: (n,) which rows may be drawn.
        ids: (n,) of the rows: their order decides nothing.
        seed: Of the draw.
    """
    places = np.flatnonzero(possible)
    ordered: NDArray[np.int64] = places[np.argsort(ids[places].astype(str), kind="stable")]
    return ordered[np.random.default_rng(seed).permutation(len(ordered))]
