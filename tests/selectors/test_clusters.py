"""Several rows of every cluster: shares by hand and against a naive loop, which rows come first."""

from fractions import Fraction

import numpy as np
import pytest

from curate.errors import UsageError
from curate.selectors.clusters import ClustersParams, select
from curate.selectors.kept_and_dropped import Candidates
from tests.selectors.clouds import all_of, ids_of


def candidates(labels, values=None, vectors=None, ids=None):
    size = len(labels)
    vectors = np.zeros((size, 2)) if vectors is None else np.array(vectors)
    return Candidates(
        all_of(size),
        np.array([f"{at:04d}" for at in range(size)], dtype=object) if ids is None else ids,
        values=np.zeros(0) if values is None else np.array(values, dtype=float),
        vectors=vectors.astype(np.float32),
        clusters=np.array(labels),
    )


def taken(given, most, **how):
    """Return the labels of the rows that each budget adds to the one before."""
    before, labels = set(), []
    for k in range(1, most + 1):
        kept = set(np.flatnonzero(select(given, ClustersParams(k=k, **how)).kept))
        assert before < kept, "a smaller budget's rows are among a larger one's"
        (row,) = kept - before
        labels.append(int(given.clusters[row]))
        before = kept
    return labels


def naive_shares(sizes, equal):
    """One place after another to the cluster with the highest quotient that has rows left."""
    places, order = [0] * len(sizes), []
    while len(order) < sum(sizes):
        left = [c for c, size in enumerate(sizes) if places[c] < size]
        weight = {c: 1 if equal else sizes[c] for c in left}
        best = max(left, key=lambda c: (Fraction(weight[c], 2 * places[c] + 1), -c))
        places[best] += 1
        order.append(best)
    return order


def test_shares_by_hand():
    given = candidates([0] * 6 + [1] * 3 + [2])
    # 6, 3, 2 (6/3), 1.2 (6/5), 1 (3/3), 1 (1/1), 6/7 …
    assert taken(given, 7) == [0, 1, 0, 0, 1, 2, 0]
    assert taken(given, 7, share="equal") == [0, 1, 2, 0, 1, 0, 1]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share", ["size", "equal"])
def test_shares_are_those_of_a_naive_loop(seed, share):
    generator = np.random.default_rng(seed)
    sizes = sorted(generator.integers(1, 13, 5).tolist(), reverse=True)
    given = candidates(generator.permutation(np.repeat(np.arange(5), sizes)))
    assert taken(given, sum(sizes), share=share) == naive_shares(sizes, share == "equal")


def test_the_nearest_to_the_centre_come_first_unless_there_are_values():
    # The mean of cluster 0 is 4; row 3 lies on it, then row 2, and 0 before 4 by its id.
    vectors = [[0], [2], [3], [4], [8], [7]]
    labels = [0, 0, 0, 0, 0, 0]
    given = candidates(labels, vectors=vectors)
    assert np.flatnonzero(select(given, ClustersParams(k=2)).kept).tolist() == [2, 3]
    assert np.flatnonzero(select(given, ClustersParams(k=3)).kept).tolist() == [1, 2, 3]
    valued = candidates(labels, [1, 9, 2, 3, 9, np.nan], vectors)
    found = select(valued, ClustersParams(k=2))
    assert found.reason.tolist() == [
        *("enough_of_cluster", "", "enough_of_cluster", "enough_of_cluster", "", "no_score"),
    ]
    centred = select(valued, ClustersParams(k=2, inside="centre"))
    assert np.flatnonzero(centred.kept).tolist() == [2, 3]


def test_random_rows_of_a_cluster_hang_on_the_seed_alone():
    given = candidates([0] * 30, ids=ids_of(30))
    drawn = [
        np.flatnonzero(select(given, ClustersParams(k=5, inside="random", seed=s)).kept).tolist()
        for s in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_rows_without_vector_or_cluster_have_their_reason():
    given = candidates([0, 0, -1], vectors=[[0, np.nan], [1, 1], [2, 2]])
    found = select(given, ClustersParams(k=9))
    assert found.reason.tolist() == ["no_vector", "", "no_cluster"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"share": "sizes"}, "share sizes: allowed are size, equal. Did you mean 'size'"),
        ({"inside": "best"}, "inside best: allowed are auto, by, centre, random"),
        ({"clusters": -1}, "clusters clusters=-1: allowed are 0 and more"),
    ],
)
def test_wrong_use(wrong, message):
    with pytest.raises(UsageError, match=message):
        ClustersParams(k=1, **wrong)


def test_by_needs_values():
    with pytest.raises(UsageError, match="give --by COLUMN and --scores FILE"):
        select(candidates([0, 0]), ClustersParams(k=1, inside="by"))
