import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.selectors.facility_location import (
    FacilityLocationParams,
    lazy_greedy,
    neighbour_graph,
    select,
)
from curate.selectors.kept_and_dropped import Candidates
from tests.selectors.clouds import all_of, clouds, cosine, ids_of


def dense(points):
    """All cosines, at least 0, as the module rounds them."""
    found = np.array([[cosine(a, b) for b in points.astype(float)] for a in points.astype(float)])
    found = np.round(found.astype(np.float32), 5).clip(0)
    np.fill_diagonal(found, 1)
    return found


def naive_greedy(similar, k):
    chosen, best = [], np.zeros(len(similar), dtype=np.float32)
    while len(chosen) < min(k, len(similar)):
        left = [at for at in range(len(similar)) if at not in chosen]
        gains = {at: float(np.maximum(similar[:, at] - best, 0).sum(dtype=float)) for at in left}
        chosen.append(max(left, key=lambda at: (round(gains[at], 9), -at)))
        best = np.maximum(best, similar[:, chosen[-1]])
    return chosen


def test_by_hand():
    # Three rows point one way, one another: the middle one of the three first, then the lone one.
    points = np.array([[1, 0.2], [1, 0], [1, -0.2], [0, 1]], dtype=np.float32)
    graph = neighbour_graph(points, 4)
    # Cosines to [1, 0]: .98058 twice, then 1; to [0, 1]: .19612. The sums: 0: 3.10, 1: 2.96.
    assert lazy_greedy(graph, 2).tolist() == naive_greedy(dense(points), 2)
    assert lazy_greedy(graph, 2).tolist() == [0, 3]


@settings(max_examples=80, deadline=None)
@given(points=clouds(16), k=st.integers(1, 20))
def test_the_same_as_dense_greedy(points, k):
    found = lazy_greedy(neighbour_graph(points, len(points)), k).tolist()
    similar = dense(points)
    assert len(found) == min(k, len(points))
    best = np.zeros(len(points))
    for step, at in enumerate(found):  # each choice is a best one, whatever the rounding
        gains = np.maximum(similar - best[:, None], 0).sum(axis=0)
        gains[found[:step]] = -1
        assert gains[at] >= gains.max() - 1e-3
        best = np.maximum(best, similar[:, at])


def test_the_same_as_dense_greedy_where_nothing_is_equal():
    points = np.random.default_rng(2).standard_normal((120, 6)).astype(np.float32)
    found = lazy_greedy(neighbour_graph(points, 120), 40).tolist()
    assert found == naive_greedy(dense(points), 40)


def test_a_sparse_graph_holds_the_nearest_and_the_row_itself():
    points = np.random.default_rng(2).standard_normal((60, 6)).astype(np.float32)
    points[5] = 0
    graph = neighbour_graph(points, 8)
    similar = dense(points)
    held = np.zeros_like(similar)
    for column in range(60):
        part = slice(graph.starts[column], graph.starts[column + 1])
        held[graph.rows[part], column] = graph.similarities[part]
    assert (held[np.arange(60), np.arange(60)] == 1).all()
    for row in set(range(60)) - {5}:
        nearest = np.sort(similar[row])[-8:]
        np.testing.assert_allclose(np.sort(held[row])[-8:], nearest, atol=2e-5)
        assert (held[row] > 0).sum() <= 9


def test_few_neighbours_choose_nearly_as_well_as_all():
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((12, 8)) * 2
    points = (centres[generator.integers(0, 12, 400)] + generator.standard_normal((400, 8))).astype(
        np.float32
    )
    similar = dense(points)
    worth = [
        similar[:, lazy_greedy(neighbour_graph(points, n), 20)].max(axis=1).sum() for n in (50, 400)
    ]
    assert worth[0] > 0.97 * worth[1]


def test_reasons_and_all_the_same():
    points = np.ones((4, 2), dtype=np.float32)
    points[2] = np.nan
    found = select(
        Candidates(all_of(4), np.array(list("dcba"), dtype=object), vectors=points),
        FacilityLocationParams(1),
    )
    assert found.reason.tolist() == ["covered", "covered", "no_vector", ""]  # a, the smallest id


def test_more_than_there_are():
    points = np.eye(3, dtype=np.float32)
    assert select(
        Candidates(all_of(3), ids_of(3), vectors=points), FacilityLocationParams(9)
    ).kept.all()


@pytest.mark.parametrize("params", [{"k": -1}, {"k": 1, "neighbours": 0}])
def test_refused(params):
    with pytest.raises(UsageError, match="allowed are"):
        FacilityLocationParams(**params)
