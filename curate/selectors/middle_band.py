"""Some rows of every cluster, out of the middle of its scores: neither the easiest nor the oddest.

Source: IFD's brief experience (arXiv 2308.12032): of each of 100 clusters of instructions, 10
whose perplexity lies between its 25th and 75th percentile. The published program takes every so
many rows in the order of the file; here they are spread evenly over the band, by score and id.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.selectors import at_least
from curate.selectors.cluster_rank import NO_CLUSTER
from curate.selectors.kept_and_dropped import Candidates, Choice

NAME = "middle_band"
NEEDS = ("values", "clusters")
OUTSIDE = "outside_band"
NOT_DRAWN = "enough_of_cluster"
NO_SCORE = "no_score"


@dataclass(frozen=True)
class MiddleBandParams:
    """How many rows, from which band."""

    per_cluster: int = 10  # rows of every cluster; a smaller cluster is taken whole
    low: float = 25.0  # percentile of a cluster's scores where the band begins
    high: float = 75.0  # percentile where it ends

    def __post_init__(self) -> None:
        at_least(0, NAME, per_cluster=self.per_cluster)
        if not 0 <= self.low < self.high <= 100:
            raise UsageError(
                f"middle_band {self.low:g} to {self.high:g}: allowed are percentiles from 0 to "
                "100, the lower one first"
            )


PARAMS = MiddleBandParams


def select(candidates: Candidates, params: MiddleBandParams) -> Choice:
    """Return the choice of rows out of the middle of every cluster.

    Example:
        >>> candidates = Candidates(Choice(np.full(5, "", dtype=object)), np.array(list("abcde")),
        ...                         values=np.arange(5.0), clusters=np.zeros(5, dtype=int))
        >>> select(candidates, MiddleBandParams(2)).reason.tolist()
        ['outside_band', '', 'enough_of_cluster', '', 'outside_band']
    """
    ids, values, clusters = candidates.ids, candidates.values, candidates.clusters
    choice = candidates.choice.without(clusters < 0, NO_CLUSTER)
    choice = choice.without(np.isnan(values), NO_SCORE)
    outside = np.zeros(len(values), dtype=bool)
    crowded = np.zeros(len(values), dtype=bool)
    for cluster in np.unique(clusters[choice.kept]):
        places = np.flatnonzero(choice.kept & (clusters == cluster))
        if len(places) <= params.per_cluster:
            continue
        places = places[np.lexsort((ids[places].astype(np.bytes_), values[places]))]
        # Percentiles of ranks, so that infinities and many equal scores leave a band.
        rank = 100 * np.arange(len(places)) / (len(places) - 1)
        inside = (rank >= params.low) & (rank <= params.high)
        # Where the band has too few, the nearest to the middle come in from both sides.
        nearest = np.argsort(np.abs(rank - (params.low + params.high) / 2), kind="stable")
        inside[nearest[: params.per_cluster]] = True
        outside[places[~inside]] = True
        band = places[inside]
        crowded[band] = True
        # At equal distances, each in the middle of its part.
        drawn = (np.arange(params.per_cluster) + 0.5) * len(band) / max(1, params.per_cluster)
        crowded[band[drawn.astype(np.int64)]] = False
    return choice.without(outside, OUTSIDE).without(crowded, NOT_DRAWN)


def within(
    values: NDArray[np.float64], possible: NDArray[np.bool_], low: float, high: float
) -> NDArray[np.bool_]:
    """Return which values (n,) lie between two percentiles of the possible ones, both included."""
    inside = possible & ~np.isnan(values)
    if inside.any():
        first, last = np.percentile(values[inside], [low, high])
        inside &= (values >= first) & (values <= last)
    return inside
