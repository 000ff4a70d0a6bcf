"""Counts of rows: by hand, and against counting one by one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import DataError
from curate.mixture.plan import Draw, parse_ratios, plan_rows


def planned(domain, general, ratio, shortage="error"):
    """Return (domain, general) rows of each ratio, and the notes of the first."""
    plans = plan_rows(domain, general, parse_ratios(ratio), shortage)

    def taken(draw, rows):
        return draw.passes * rows + draw.more

    counts = [(taken(plan.domain, domain), taken(plan.general, general)) for plan in plans]
    return counts, plans[0].notes


@pytest.mark.parametrize(
    ("domain", "general", "ratio", "expected"),
    [
        (100, 500, "1:5", (100, 500)),
        (100, 2000, "1:5", (100, 500)),
        (100, 2000, "1:0", (100, 0)),
        (100, 2000, "0:1", (0, 2000)),
        (100, 2000, "2:3", (100, 150)),
        (101, 2000, "2:3", (100, 150)),
        (101, 2000, "1:2.5", (100, 250)),
        (100, 2000, "10:1", (100, 10)),
        (99, 2000, "10:1", (90, 9)),
        (7, 7, "1:1", (7, 7)),
    ],
)
def test_all_domain_rows_and_exactly_so_many_general_rows(domain, general, ratio, expected):
    counts, _ = planned(domain, general, ratio)
    assert counts == [expected]


def test_why_not_all_domain_rows_are_used_is_told():
    _, notes = planned(101, 500, "2:3")
    assert notes == (
        "100 of 101 domain rows are used: 2:3 comes out exactly only for multiples of 2 domain "
        "rows",
    )
    assert planned(100, 500, "2:3")[1] == ()


def test_a_ratio_that_no_number_of_rows_makes():
    with pytest.raises(DataError, match=r"multiples of 1,000 domain rows, and there are 120; the"):
        planned(120, 900, "1:0.333")


def test_too_few_general_rows_and_the_ways_out():
    with pytest.raises(DataError) as error:
        planned(120, 400, "1:5")
    assert str(error.value) == (
        "general data has 400 rows that can be used; 1:5 with 120 domain rows needs 600: 200 are "
        "missing. Give more general data, or --ratio 1:3 (1:3.33 is the most there is for all "
        "domain data), --shortage shrink (about 80 domain), or --shortage repeat"
    )


def test_the_ways_out_are_ways():
    assert planned(120, 400, "1:3")[0] == [(120, 360)]
    counts, notes = planned(120, 400, "1:5", "shrink")
    assert counts == [(80, 400)]
    assert "scaled down to 80 domain rows" in notes[0]
    counts, _ = planned(120, 400, "1:5", "repeat")
    assert counts == [(120, 600)]


def test_less_general_than_domain_data():
    with pytest.raises(DataError, match="--ratio 4:1 "):
        planned(100, 30, "1:1")
    assert planned(100, 30, "4:1")[0] == [(100, 25)]


def test_repetition_is_whole_passes_and_a_rest():
    (plan,) = plan_rows(120, 250, parse_ratios("1:5"), "repeat")
    assert plan.general == Draw(2, 100)
    assert plan.domain == Draw(1, 0)


def test_shrinking_keeps_the_ratio_exact():
    assert planned(101, 100, "2:3", "shrink")[0] == [(66, 99)]


@pytest.mark.parametrize("shortage", ["error", "shrink", "repeat"])
def test_no_general_rows_at_all(shortage):
    with pytest.raises(DataError, match=r"has 0 rows .* 600 are missing. Give more general data"):
        planned(120, 0, "1:5", shortage)


def test_no_domain_rows_at_all():
    with pytest.raises(DataError, match="no domain row is left to use"):
        planned(0, 5, "1:1")


def test_too_few_to_shrink_to():
    with pytest.raises(DataError, match="general data has 3 rows"):
        planned(10, 3, "1:5", "shrink")


# Sweeps


def test_a_sweep_has_the_same_domain_rows_throughout():
    counts, _ = planned(60, 603, "1:0,1:1,1:2,1:5,1:10")
    assert counts == [(60, k * 60) for k in (0, 1, 2, 5, 10)]


def test_a_sweep_that_shrinks_shrinks_all_of_its_sets():
    counts, _ = planned(120, 603, "1:0,1:5,1:10", "shrink")
    assert counts == [(60, 0), (60, 300), (60, 600)]


def test_a_sweep_is_exact_for_every_ratio():
    counts, _ = planned(101, 1000, "1:1,2:3,1:1.25")
    assert counts == [(100, 100), (100, 150), (100, 125)]


def test_of_a_sweep_the_largest_decides_whether_there_is_enough():
    with pytest.raises(DataError, match="1:10 with 60 domain rows needs 600"):
        planned(60, 599, "1:10,1:1")


@settings(deadline=None)
@given(
    st.integers(1, 200),
    st.integers(1, 2000),
    st.integers(1, 9),
    st.integers(0, 9),
    st.sampled_from(["error", "shrink", "repeat"]),
)
def test_whatever_comes_out_is_exact(domain, general, a, b, shortage):
    try:
        counts, _ = planned(domain, general, f"{a}:{b}", shortage)
    except DataError:
        return
    ((mine, yours),) = counts
    assert mine * b == yours * a
    assert 0 < mine <= domain
    if shortage != "repeat":
        assert yours <= general
