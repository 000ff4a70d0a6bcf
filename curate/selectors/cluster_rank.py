"""CaR: the best rows of all, and the best of every cluster.

Source: arXiv 2402.18191. The published program sorts cluster labels as strings and loses equal
rows in the union; here labels are numbers and the union is one of positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.selectors import at_least
from curate.selectors.kept_and_dropped import BELOW_CUT, Candidates, Choice

NAME = "cluster_rank"
NEEDS = ("values", "clusters")
TOP = "top_overall"
BEST = "best_of_cluster"
BOTH = f"{TOP}+{BEST}"
REASONS = (TOP, BEST, BOTH)
NO_CLUSTER = "no_cluster"


@dataclass(frozen=True)
class ClusterRankParams:
    """How many rows from where."""

    top: int = 1000  # n1, rows with the highest scores of all; all rows if there are fewer
    per_cluster: int = 1  # n2, rows with the highest scores of every cluster

    def __post_init__(self) -> None:
        at_least(0, NAME, top=self.top, per_cluster=self.per_cluster)


PARAMS = ClusterRankParams


def select(candidates: Candidates, params: ClusterRankParams) -> Choice:
    """Return the choice of the top rows and of the best rows of each cluster.

    Example:
        >>> all_of = Choice(np.array(["", "", ""], dtype=object))
        >>> values, clusters = np.array([3.0, 2.0, 1.0]), np.array([0, 0, 1])
        >>> ids = np.array(["a", "b", "c"])
        >>> candidates = Candidates(all_of, ids, values=values, clusters=clusters)
        >>> select(candidates, ClusterRankParams(top=1)).kept
        array([ True, False,  True])
    """
    left_out = chosen_by(candidates, params) == ""
    without = candidates.choice.without(candidates.clusters < 0, NO_CLUSTER)
    return without.without(left_out, BELOW_CUT)


def chosen_by(candidates: Candidates, params: ClusterRankParams) -> NDArray[np.object_]:
    """Return why each row is kept: `top_overall`, `best_of_cluster` or both; '' where it is not."""
    ranked = candidates.ranked()
    ranked = ranked[candidates.clusters[ranked] >= 0]
    top, best = np.zeros((2, len(candidates.values)), dtype=bool)
    top[ranked[: params.top]] = True
    best[ranked[rank_in_group(candidates.clusters[ranked]) < params.per_cluster]] = True
    reasons = np.where(top & best, BOTH, np.where(top, TOP, np.where(best, BEST, "")))
    return reasons.astype(object)


def rank_in_group(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for rows in order, how many of the same group (a number each) stand before each."""
    import pandas as pd

    return pd.Series(groups).groupby(groups).cumcount().to_numpy().astype(np.int64)
