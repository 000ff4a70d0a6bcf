"""Who is kept of rows that are alike: against a naive loop, and where chains would form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.duplicates import alike as module
from curate.duplicates.alike import first_kept


def choose(likeness, near=0.8, fixed=0, barred=None):
    """All rows share a bucket; their similarities are given as a table."""
    table = np.array(likeness, float)
    size = len(table)
    met = np.zeros((size, 1), np.int32)
    return first_kept(met, lambda i, j: table[i, j], near, fixed, barred)


CHAIN = [[1, 0.9, 0.7], [0.9, 1, 0.9], [0.7, 0.9, 1]]


def test_the_end_of_a_chain_is_kept():
    found = choose(CHAIN)
    assert found.twin.tolist() == [-1, 0, -1]
    assert found.similarity.tolist() == [0, 0.9, 0.7]


def test_the_middle_first_and_both_ends_go():
    found = choose([[1, 0.9, 0.9], [0.9, 1, 0.7], [0.9, 0.7, 1]])
    assert found.twin.tolist() == [-1, 0, 0]


def test_the_twin_is_the_first_that_is_like_and_not_the_most_like():
    found = choose([[1, 0.2, 0.8], [0.2, 1, 0.95], [0.8, 0.95, 1]])
    assert found.twin.tolist() == [-1, -1, 0]
    assert found.similarity[2] == 0.8


def test_rows_of_another_set_are_kept_even_if_they_are_alike():
    found = choose([[1, 0.9, 0], [0.9, 1, 0.9], [0, 0.9, 1]], fixed=2)
    assert found.twin.tolist() == [-1, -1, 1]


def test_a_barred_row_is_nobodys_twin():
    found = choose([[1, 0.9], [0.9, 1]], barred=np.array([True, False]))
    assert found.twin.tolist() == [-1, -1]


def test_rows_that_share_no_bucket_are_not_compared():
    met = np.array([[0, -1], [-1, 1], [0, -1], [-1, 1], [-1, -1]], np.int32)

    def similar(left, right):
        assert set(np.stack([left, right], 1).ravel().tolist()) <= {0, 1, 2, 3}
        assert (left - right == 2).all()
        return np.ones(len(left))

    assert first_kept(met, similar, 0.8).twin.tolist() == [-1, -1, 0, 1, -1]


def test_no_rows():
    nothing = np.zeros((0, 3), np.int32)
    found = first_kept(nothing, lambda i, j: np.zeros(len(i)), 0.8)
    assert found.twin.tolist() == []


@pytest.mark.parametrize("block", [1, 3, 1000])
@given(size=st.integers(1, 12), seed=st.integers(0, 10_000), fixed=st.integers(0, 3))
def test_as_the_naive_loop_whatever_the_block(block, size, seed, fixed):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 11, (size, size)) / 10
    table = np.maximum(table, table.T)
    barred = rng.random(size) < 0.2
    barred[:fixed] = False
    kept, twins = [], np.full(size, -1)
    for row in range(size):
        like = [other for other in kept if table[row, other] >= 0.8]
        if barred[row]:
            like = [other for other in like if other < fixed]
        if row >= fixed and like:
            twins[row] = like[0]
        elif not barred[row]:
            kept.append(row)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        patch.setattr(module, "_PAIRS", block)
        found = choose(table, fixed=fixed, barred=barred)
    assert found.twin.tolist() == twins.tolist()
