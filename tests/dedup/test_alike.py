"""Pairs and chains of texts that are alike, against tables by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.duplicates.alike import pairs_between, together

CHAIN = np.array([[1, 0.9, 0.1, 0], [0.9, 1, 0.9, 0], [0.1, 0.9, 1, 0], [0, 0, 0, 1]])


def one_bucket(size):
    return np.zeros((size, 1), np.int32)


def test_a_chain_is_together():
    assert together(one_bucket(4), lambda i, j: CHAIN[i, j], 0.8).tolist() == [0, 0, 0, 3]


def test_all_pairs_between_two_sides():
    found = list(pairs_between(one_bucket(4), 2, lambda i, j: CHAIN[i, j], 0.05))
    pairs = [
        (*map(int, pair[:2]), float(pair[2])) for each in found for pair in zip(*each, strict=True)
    ]
    assert pairs == [(2, 0, 0.1), (2, 1, 0.9)]


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=n, max_size=n)
    )
)
def test_chains_of_any_table(rows):
    table = np.array(rows) | np.array(rows).T | np.eye(len(rows), dtype=bool)
    reach = table.copy()
    for _ in rows:
        reach = reach @ reach
    wanted = [int(np.flatnonzero(line)[0]) for line in reach]
    found = together(one_bucket(len(rows)), lambda i, j: table[i, j].astype(float), 0.5)
    assert found.tolist() == wanted
