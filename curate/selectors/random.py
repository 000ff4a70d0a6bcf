"""Rows drawn at random: the control that every other choice has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.selectors import at_least
from curate.selectors.kept_and_dropped import Candidates, Choice

NAME = "random"
NEEDS = ("values",)


@dataclass(frozen=True)
class RandomParams:
    """How many, and the seed."""

    k: int  # rows to keep; all that are left if there are fewer
    seed: int = 0  # of the draw

    def __post_init__(self) -> None:
        at_least(0, NAME, k=self.k)


PARAMS = RandomParams


def select(candidates: Candidates, params: RandomParams) -> Choice:
    """Return the choice of k rows, each as likely as any other.

    A row without a value (NaN) could not be chosen by values and is not drawn.

    Example:
        >>> both = Choice(np.array(["", ""], dtype=object))
        >>> candidates = Candidates(both, np.array(["a", "b"]), values=np.ones(2))
        >>> int(select(candidates, RandomParams(k=1)).kept.sum())
        1
    """
    possible = candidates.choice.kept & ~np.isnan(candidates.values)
    drawn = draws(possible, candidates.ids, params.seed)
    return candidates.choice.only(drawn[: params.k], "not_drawn")


def draws(possible: NDArray[np.bool_], ids: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """Return the positions of all possible rows in the order in which they are drawn."""
    places = np.flatnonzero(possible)
    ordered: NDArray[np.int64] = places[np.argsort(ids[places].astype(np.bytes_), kind="stable")]
    return ordered[np.random.default_rng(seed).permutation(len(ordered))]
