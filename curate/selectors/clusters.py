"""Coverage by clusters: several rows of every cluster, as many as its share says.

Source: arXiv 2409.11378: k-means, and of each cluster a share by its size. Published shares are
rounded and rows drawn, also by weights of their quality; here places go to the clusters one by one
by Sainte-Laguë's rule, so that the rows of a smaller budget lie among those of a larger one, and a
cluster's rows are taken best first, from its centre outwards, or drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.errors import UsageError, check_one_of
from curate.selectors import at_least
from curate.selectors.cluster_rank import NO_CLUSTER, rank_in_group
from curate.selectors.kept_and_dropped import NO_VECTOR, Candidates, Choice, by_id, finite
from curate.selectors.middle_band import NO_SCORE, NOT_DRAWN
from curate.selectors.random import draws

NAME = "clusters"
NEEDS = ("vectors", "clusters")
SIZE, EQUAL = "size", "equal"
AUTO, BY, CENTRE, RANDOM = "auto", "by", "centre", "random"


@dataclass(frozen=True)
class ClustersParams:
    """How many rows, and which of a cluster."""

    k: int  # rows to keep; all that are left if there are fewer
    # `size` (places by Sainte-Laguë) or `equal` (clusters in turn, the largest first).
    share: str = SIZE
    # Which rows of a cluster come first: `by` (highest value), `centre` (nearest the mean of its
    # vectors), `random`, or `auto`: `by` where there are values, else `centre`.
    inside: str = AUTO
    clusters: int = 0  # number of clusters; 0 for floor(sqrt(n / 2))
    seed: int = 0  # draws the first centres, and the rows of `random`

    def __post_init__(self) -> None:
        at_least(0, NAME, k=self.k, clusters=self.clusters)
        check_one_of("--set share", self.share, (SIZE, EQUAL))
        check_one_of("--set inside", self.inside, (AUTO, BY, CENTRE, RANDOM))


PARAMS = ClustersParams


def select(candidates: Candidates, params: ClustersParams) -> Choice:
    """Return the choice of k rows; the first j of its order are the choice of j.

    Raises:
        UsageError: `inside=by` without values.

    Example:
        >>> all_of = Choice(np.full(4, "", dtype=object))
        >>> points = np.array([[0], [1], [2], [9]], dtype=np.float32)
        >>> candidates = Candidates(all_of, np.array(list("abcd")), vectors=points,
        ...                         clusters=np.array([0, 0, 0, 1]))
        >>> select(candidates, ClustersParams(k=2)).kept  # 3/1, then 3/3 before 1/1
        array([ True,  True, False, False])
        >>> select(candidates, ClustersParams(k=2, share="equal")).kept
        array([False,  True, False,  True])
    """
    choice = candidates.choice.without(~finite(candidates.vectors), NO_VECTOR)
    choice = choice.without(candidates.clusters < 0, NO_CLUSTER)
    inside, valued = params.inside, len(candidates.values) == len(candidates.ids) > 0
    if inside == AUTO:
        inside = BY if valued else CENTRE
    if inside == BY:
        if not valued:
            raise UsageError("--set inside=by goes by scores: give --by COLUMN and --scores FILE")
        choice = choice.without(np.isnan(candidates.values), NO_SCORE)
    places = np.flatnonzero(choice.kept)
    ordered = places[by_id(candidates.ids[places])]
    if inside == RANDOM:
        ordered = draws(choice.kept, candidates.ids, params.seed)
    else:
        nearness, labels = candidates.values, candidates.clusters[ordered]
        if inside == CENTRE:
            nearness = np.full(len(candidates.ids), np.nan)
            for own in (ordered[labels == label] for label in np.unique(labels)):
                points = candidates.vectors[own].astype(np.float64)
                nearness[own] = -((points - points.mean(axis=0)) ** 2).sum(axis=1)
        ordered = ordered[np.argsort(-nearness[ordered], kind="stable")]
    labels = candidates.clusters[ordered]
    weights = np.bincount(labels)[labels] if params.share == SIZE else np.ones(len(labels))
    # A cluster's next row has its weight divided by 1, 3, 5 …: the sequence is in falling order.
    quotients = weights / (2 * rank_in_group(labels) + 1)
    return choice.only(ordered[np.lexsort((labels, -quotients))][: params.k], NOT_DRAWN)
