import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.selectors import k_center
from curate.selectors.k_center import KCenterParams, select
from curate.selectors.kept_and_dropped import Candidates, Choice
from tests.selectors.clouds import all_of, clouds, ids_of, naive_k_center

LINE = np.array([[0], [1], [2], [10], [4]], dtype=np.float32)
ABC = np.array(list("abcde"), dtype=object)


@pytest.fixture(params=[1, 3, 2048], ids=lambda size: f"front{size}")
def front(request, monkeypatch):
    """However few rows are kept up to date, the choice is the same."""
    monkeypatch.setattr(k_center, "_FRONT", request.param)


def test_by_hand(front):
    # From 0: 10 is furthest (10), then 4 (4 from 0), then 2 (2 from both), then 1.
    found = k_center.k_center(LINE, ABC, 5, start=LINE[:1])
    assert found.order.tolist() == [3, 4, 2, 1]
    assert found.distances.tolist() == [10, 4, 2, 1]
    assert found.radius == 0


def test_the_radius_is_the_distance_of_the_next_centre(front):
    found = k_center.k_center(LINE, ABC, 2, start=LINE[:1])
    assert (found.order.tolist(), found.radius) == ([3, 4], 2.0)


def test_equal_distances_are_taken_by_id(front):
    square = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], dtype=np.float32)
    found = k_center.k_center(square, np.array(list("dbca")), 1, start=np.zeros((1, 2)))
    assert found.order.tolist() == [3]


@pytest.mark.parametrize("size", [1, 3, 2048])
@settings(max_examples=60, deadline=None)
@given(points=clouds(), k=st.integers(1, 30), seed=st.integers(0, 3), given_start=st.booleans())
def test_the_same_as_the_naive_loop(size, points, k, seed, given_start):
    ids = ids_of(len(points), seed)
    start = points[:2] + np.float32(1) if given_start else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(k_center, "_FRONT", size)
        found = k_center.k_center(points, ids, k, seed, start)
    assert found.order.tolist() == naive_k_center(points, ids, k, seed, start)


def test_the_same_as_the_naive_loop_far_from_the_origin():
    """There 32 bits cannot tell the distances apart, and only the exact comparison can."""
    generator = np.random.default_rng(3)
    points = (generator.standard_normal((200, 8)) + 3000).astype(np.float32)
    ids = ids_of(200)
    assert k_center.k_center(points, ids, 60).order.tolist() == naive_k_center(points, ids, 60)


def test_many_dimensions_and_many_rows_in_small_fronts(monkeypatch):
    generator = np.random.default_rng(5)
    points = generator.standard_normal((3000, 96)).astype(np.float32)
    points[1500:2000] = points[:500]
    ids = ids_of(3000)
    whole = k_center.k_center(points, ids, 300)
    monkeypatch.setattr(k_center, "_FRONT", 50)
    monkeypatch.setattr(k_center, "_CHUNK", 70)
    small = k_center.k_center(points, ids, 300)
    assert small.order.tolist() == whole.order.tolist()
    assert small.distances.tolist() == whole.distances.tolist()
    # Greedy takes the furthest: distances never rise, and nothing is further than the radius.
    assert (np.diff(whole.distances[1:]) <= 0).all()
    gaps = np.linalg.norm(points[:, None] - points[whole.order][None], axis=2).min(axis=1)
    assert gaps.max() == pytest.approx(whole.radius, rel=1e-4)


def test_rows_on_a_centre_are_duplicates_once_all_different_ones_are_taken(front):
    points = np.array([[0], [0], [1], [1], [1]], dtype=np.float32)
    found = select(Candidates(all_of(5), ABC, vectors=points), KCenterParams(4))
    assert found.counts() == {"covered": 3}
    assert sorted(points[found.kept].ravel().tolist()) == [0, 1]


def test_reasons(front):
    points = np.array([[0], [np.nan], [1], [5], [np.inf]], dtype=np.float32)
    before = Choice(np.array(["", "", "below", "", ""], dtype=object))
    found = select(Candidates(before, ABC, vectors=points), KCenterParams(1))
    assert sorted(found.reason.tolist()) == ["", "below", "covered", "no_vector", "no_vector"]


def test_a_start_keeps_what_it_covers_out():
    found = k_center.k_center(LINE, ABC, 2, start=LINE[[0, 3]])
    assert sorted(found.order.tolist()) == [2, 4]


def test_of_equal_vectors_the_best_stands_for_all():
    values = np.array([1.0, 3.0, 2.0])
    points = np.array([[0], [-0.0], [0]], dtype=np.float32)
    found = select(Candidates(all_of(3), ABC[:3], values, points), KCenterParams(2))
    assert found.reason.tolist() == ["covered", "", "covered"]


def test_the_seed_draws_the_first_row():
    points = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    firsts = {int(k_center.k_center(points, ids_of(50), 1, seed).order[0]) for seed in range(20)}
    assert len(firsts) > 5


@pytest.mark.parametrize("k", [1, 5])
def test_one_row(k):
    found = k_center.k_center(LINE[:1], ABC[:1], k)
    assert (found.order.tolist(), found.radius) == ([0], 0.0)


def test_fewer_than_none():
    with pytest.raises(UsageError, match="k_center k=-1: allowed are 0 and more"):
        select(Candidates(all_of(5), ABC, vectors=LINE), KCenterParams(-1))
