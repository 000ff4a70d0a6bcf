import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.selectors.cluster_rank import ClusterRankParams, chosen_by, rank_in_group, select
from curate.selectors.kept_and_dropped import Candidates
from tests.selectors.clouds import all_of, ids_of

IDS = np.array(list("abcdef"), dtype=object)
VALUES = np.array([0.9, 0.8, 0.8, 0.1, 0.3, np.nan])
CLUSTERS = np.array([0, 0, 10, 2, 2, 2])


def test_by_hand():
    found = chosen_by(
        Candidates(all_of(6), IDS, values=VALUES, clusters=CLUSTERS),
        ClusterRankParams(top=2, per_cluster=1),
    )
    assert found.tolist() == [
        "top_overall+best_of_cluster",
        "top_overall",  # b before c: the same score, the smaller id
        "best_of_cluster",
        "",
        "best_of_cluster",
        "",
    ]


def test_rows_in_both_are_counted_once_and_equal_rows_apart():
    values, clusters = np.ones(4), np.zeros(4, dtype=np.int64)
    found = select(
        Candidates(all_of(4), IDS[:4], values=values, clusters=clusters),
        ClusterRankParams(top=3, per_cluster=2),
    )
    assert found.kept.tolist() == [True, True, True, False]
    assert found.counts() == {"below_cut": 1}


def test_labels_are_numbers():
    """As strings, 10 comes before 2, and the published program's clusters were mixed up."""
    values = np.arange(12.0)
    clusters = np.arange(12)
    found = chosen_by(
        Candidates(all_of(12), ids_of(12), values=values, clusters=clusters),
        ClusterRankParams(top=0, per_cluster=1),
    )
    assert (found == "best_of_cluster").all()


def test_a_row_without_cluster_says_so():
    found = select(
        Candidates(all_of(6), IDS, values=VALUES, clusters=np.array([0, 0, -1, 1, 1, 1])),
        ClusterRankParams(1, 1),
    )
    assert found.reason.tolist() == ["", "below_cut", "no_cluster", "below_cut", "", "below_cut"]


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 3)), min_size=1, max_size=25),
    top=st.integers(0, 8),
    per_cluster=st.integers(0, 3),
)
def test_the_same_as_sorting_each_cluster(rows, top, per_cluster):
    values = np.array([float(value) for value, _ in rows])
    clusters = np.array([cluster for _, cluster in rows])
    ids = ids_of(len(rows), 7)
    ranked = sorted(
        (at for at in range(len(rows)) if clusters[at] >= 0), key=lambda at: (-values[at], ids[at])
    )
    wanted = set(ranked[:top])
    for each in set(clusters.tolist()):
        wanted |= set([at for at in ranked if clusters[at] == each][:per_cluster])
    found = select(
        Candidates(all_of(len(rows)), ids, values=values, clusters=clusters),
        ClusterRankParams(top, per_cluster),
    )
    assert set(np.flatnonzero(found.kept).tolist()) == wanted


def test_rank_in_group():
    assert rank_in_group(np.array([3, 3, 1, 3, 1])).tolist() == [0, 1, 0, 2, 1]
    assert rank_in_group(np.array([], dtype=np.int64)).tolist() == []


@pytest.mark.parametrize(("top", "per_cluster"), [(-1, 1), (1, -1)])
def test_fewer_than_none(top, per_cluster):
    with pytest.raises(UsageError, match="=-1: allowed are 0 and more"):
        select(
            Candidates(all_of(6), IDS, values=VALUES, clusters=CLUSTERS),
            ClusterRankParams(top, per_cluster),
        )
