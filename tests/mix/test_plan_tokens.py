"""Counts of tokens: by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import DataError
from curate.mixture.plan import Draw, parse_ratios, plan_tokens


def planned(domain, general, ratio, shortage="error"):
    sides = (np.array(tokens, dtype=np.int64) for tokens in (domain, general))
    plans = plan_tokens(*sides, parse_ratios(ratio), shortage)
    return [(plan.domain, plan.general) for plan in plans], plans[0].notes


@pytest.mark.parametrize(
    ("general", "rows"),
    [
        ([10] * 9, 5),  # 50 is met exactly
        ([20] * 9, 2),  # 40 is as near as 60: the fewer
        ([19] * 9, 3),  # 57 is nearer than 38
        ([26] * 9, 2),  # 52
        ([24, 24, 24], 2),
        ([60, 1], 1),  # 60 is nearer than nothing
        ([101], 0),  # nothing is nearer than 101
    ],
)
def test_the_last_row_is_taken_if_that_comes_nearer(general, rows):
    plans, _ = planned([3, 7], general, "1:5")
    assert plans == [(Draw(0, 2), Draw(0, rows))]


def test_all_general_tokens_exactly():
    assert planned([10], [30, 20], "1:5")[0] == [(Draw(0, 1), Draw(1, 0))]


def test_too_few_tokens_and_the_ways_out():
    with pytest.raises(DataError) as error:
        planned([10, 10], [5] * 10, "1:5")
    assert str(error.value) == (
        "general data has 50 tokens that can be used; 1:5 with 20 domain tokens needs 100: 50 are "
        "missing. Give more general data, or --ratio 1:2 (1:2.50 is the most there is for all "
        "domain data), --shortage shrink (about 10 domain), or --shortage repeat"
    )


def test_shrink_and_repeat():
    plans, notes = planned([10, 10], [5] * 10, "1:5", "shrink")
    assert plans == [(Draw(0, 1), Draw(1, 0))]
    assert "scaled down to 10 domain tokens" in notes[0]
    plans, _ = planned([10, 10], [5] * 10, "1:5", "repeat")
    assert plans == [(Draw(0, 2), Draw(2, 0))]
    plans, _ = planned([10, 11], [5] * 10, "1:5", "repeat")
    assert plans == [(Draw(0, 2), Draw(2, 1))]


def test_zero_sides():
    domain, general = [4, 4], [1, 2]
    assert planned(domain, general, "1:0")[0] == [(Draw(0, 2), Draw(0, 0))]
    assert planned(domain, general, "0:1")[0] == [(Draw(0, 0), Draw(1, 0))]
    assert planned(domain, [], "1:0")[0] == [(Draw(0, 2), Draw(0, 0))]


def test_no_rows():
    with pytest.raises(DataError, match="no domain row is left"):
        planned([], [1], "1:1")
    with pytest.raises(DataError, match="has 0 tokens"):
        planned([1], [], "1:1", "repeat")


lengths = st.lists(st.integers(1, 50), min_size=1, max_size=40)


@settings(deadline=None)
@given(lengths, lengths, st.integers(1, 5), st.integers(1, 5))
def test_off_by_half_a_row_at_most(domain, general, a, b):
    try:
        plans, _ = planned(domain, general, f"{a}:{b}")
    except DataError:
        assert sum(general) < Fraction(sum(domain) * b, a)
        return
    draw = plans[0][1]
    got = draw.passes * sum(general) + sum(general[: draw.more])
    assert abs(got - Fraction(sum(domain) * b, a)) <= Fraction(max(general), 2)
