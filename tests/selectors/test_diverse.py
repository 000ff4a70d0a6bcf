import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.selectors import diverse
from curate.selectors.diverse import DiverseParams, select
from curate.selectors.kept_and_dropped import Candidates
from tests.selectors.clouds import all_of, clouds, cosine, ids_of

IDS = np.array(list("abcd"), dtype=object)
VECTORS = np.array([[1, 0], [1, 0.1], [0, 1], [0, 2]], dtype=np.float32)


def naive(values, vectors, ids, k, nearest):
    ranked = sorted(range(len(values)), key=lambda at: (-values[at], ids[at]))
    kept = []
    for at in ranked:
        wide = vectors[at].astype(np.float64)
        if len(kept) < k and all(cosine(wide, vectors[j]) <= nearest for j in kept):
            kept.append(at)
    return set(kept)


def test_by_hand():
    values = np.array([3.0, 4.0, 1.0, 2.0])
    found = select(Candidates(all_of(4), IDS, values=values, vectors=VECTORS), DiverseParams(3))
    assert found.reason.tolist() == ["too_similar", "", "too_similar", ""]


def test_after_the_budget_all_are_below_the_cut():
    found = select(
        Candidates(all_of(4), IDS, values=np.array([3.0, 2.0, 4.0, 1.0]), vectors=VECTORS),
        DiverseParams(1),
    )
    assert found.counts() == {"below_cut": 3}
    assert found.kept.tolist() == [False, False, True, False]


@pytest.mark.parametrize("seed", range(20))
def test_a_cosine_at_the_bound_is_kept(seed):
    """In 32 bits every other of these cosines lies on the wrong side."""
    vectors = np.random.default_rng(seed).standard_normal((2, 64)).astype(np.float32)
    one, other = diverse.unit(vectors).astype(np.float64)
    exact = float((one * other).sum())
    for bound, kept in ((exact, 2), (np.nextafter(exact, -1), 1)):
        found = select(
            Candidates(all_of(2), IDS[:2], values=np.array([2.0, 1.0]), vectors=vectors),
            DiverseParams(2, bound),
        )
        assert found.kept.sum() == kept


@pytest.mark.parametrize("block", [1, 4, 1024])
@settings(max_examples=60, deadline=None)
@given(
    points=clouds(),
    k=st.integers(0, 12),
    nearest=st.sampled_from([0.9, 0.55, -0.2]),
    seed=st.integers(0, 3),
)
def test_the_same_as_row_by_row(block, points, k, nearest, seed):
    values = np.random.default_rng(seed).integers(0, 4, len(points)).astype(float)
    ids = ids_of(len(points), seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diverse, "_BLOCK", block)
        found = select(
            Candidates(all_of(len(points)), ids, values=values, vectors=points),
            DiverseParams(k, nearest),
        )
    assert set(np.flatnonzero(found.kept).tolist()) == naive(values, points, ids, k, nearest)


def test_all_the_same_leave_the_best_one():
    found = select(
        Candidates(
            all_of(4), IDS, values=np.array([1.0, 3, 2, 0]), vectors=np.ones((4, 2), np.float32)
        ),
        DiverseParams(9),
    )
    assert found.reason.tolist() == ["too_similar", "", "too_similar", "too_similar"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"k": -1}, "k=-1: allowed are 0"),
        ({"k": 1, "nearest": 1.5}, "nearest=1.5: allowed is a cosine"),
    ],
)
def test_refused(params, said):
    with pytest.raises(UsageError, match=said):
        DiverseParams(**params)
