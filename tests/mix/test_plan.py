"""Counts of rows: by hand, and against counting one by one."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import DataError
from curate.mixture.plan import Draw, Heap, apportion, most, parse_ratios, plan_rows


def heap(rows, share=1, name="x"):
    return Heap(name, Fraction(share), rows)


def planned(domain, general, ratio, shortage="error"):
    """Return (domain, general) rows of each ratio, and the notes of the first."""
    domain = [domain] if isinstance(domain, Heap) else domain
    general = [general] if isinstance(general, Heap) else general
    plans = plan_rows(domain, general, parse_ratios(ratio), shortage)

    def taken(draws, heaps):
        return [d.passes * h.rows + d.more for d, h in zip(draws, heaps, strict=True)]

    counts = [(taken(p.domain, domain), taken(p.general, general)) for p in plans]
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
    counts, _ = planned(heap(domain), heap(general), ratio)
    assert counts == [([expected[0]], [expected[1]])]


def test_why_not_all_domain_rows_are_used_is_told():
    _, notes = planned(heap(101), heap(500), "2:3")
    assert notes == (
        "100 of 101 domain rows are used: 2:3 comes out exactly only for multiples of 2 domain "
        "rows",
    )
    assert planned(heap(100), heap(500), "2:3")[1] == ()


def test_a_ratio_that_no_number_of_rows_makes():
    with pytest.raises(DataError, match=r"multiples of 1,000 domain rows, and there are 120; the"):
        planned(heap(120), heap(900), "1:0.333")


def test_too_few_general_rows_and_the_ways_out():
    with pytest.raises(DataError) as error:
        planned(heap(120), heap(400), "1:5")
    assert str(error.value) == (
        "general data has 400 rows that can be used; 1:5 with 120 domain rows needs 600: 200 are "
        "missing. Give more general data, or --ratio 1:3 (1:3.33 is the most there is for all "
        "domain data), --shortage shrink (about 80 domain), or --shortage repeat"
    )


def test_the_ways_out_are_ways():
    assert planned(heap(120), heap(400), "1:3")[0] == [([120], [360])]
    counts, notes = planned(heap(120), heap(400), "1:5", "shrink")
    assert counts == [([80], [400])]
    assert "scaled down to 80 domain rows" in notes[0]
    counts, _ = planned(heap(120), heap(400), "1:5", "repeat")
    assert counts == [([120], [600])]


def test_less_general_than_domain_data():
    with pytest.raises(DataError, match="--ratio 4:1 "):
        planned(heap(100), heap(30), "1:1")
    assert planned(heap(100), heap(30), "4:1")[0] == [([100], [25])]


def test_repetition_is_whole_passes_and_a_rest():
    (plan,) = plan_rows([heap(120)], [heap(250)], parse_ratios("1:5"), "repeat")
    assert plan.general == (Draw(2, 100),)
    assert plan.domain == (Draw(1, 0),)


def test_shrinking_keeps_the_ratio_exact():
    assert planned(heap(101), heap(100), "2:3", "shrink")[0] == [([66], [99])]


@pytest.mark.parametrize("shortage", ["error", "shrink", "repeat"])
def test_no_general_rows_at_all(shortage):
    with pytest.raises(DataError, match=r"has 0 rows .* 600 are missing. Give more general data"):
        planned(heap(120), heap(0), "1:5", shortage)


def test_no_domain_rows_at_all():
    with pytest.raises(DataError, match="no domain row is left to use"):
        planned(heap(0), heap(5), "1:1")


def test_too_few_to_shrink_to():
    with pytest.raises(DataError, match="general data has 3 rows"):
        planned(heap(10), heap(3), "1:5", "shrink")


# Sweeps


def test_a_sweep_has_the_same_domain_rows_throughout():
    counts, _ = planned(heap(60), heap(603), "1:0,1:1,1:2,1:5,1:10")
    assert counts == [([60], [k * 60]) for k in (0, 1, 2, 5, 10)]


def test_a_sweep_that_shrinks_shrinks_all_of_its_sets():
    counts, _ = planned(heap(120), heap(603), "1:0,1:5,1:10", "shrink")
    assert counts == [([60], [0]), ([60], [300]), ([60], [600])]


def test_a_sweep_is_exact_for_every_ratio():
    counts, _ = planned(heap(101), heap(1000), "1:1,2:3,1:1.25")
    assert counts == [([100], [100]), ([100], [150]), ([100], [125])]


def test_of_a_sweep_the_largest_decides_whether_there_is_enough():
    with pytest.raises(DataError, match="1:10 with 60 domain rows needs 600"):
        planned(heap(60), heap(599), "1:10,1:1")


# Weights


def test_weights_split_a_side():
    general = [heap(1000, Fraction(2, 3)), heap(1000, Fraction(1, 3))]
    assert planned(heap(120), general, "1:5")[0] == [([120], [400, 200])]


def test_the_source_that_is_too_small_for_its_weight_is_named():
    general = [heap(1000, Fraction(1, 2), "big"), heap(100, Fraction(1, 2), "small.json")]
    with pytest.raises(DataError, match=r"has 201 rows .* weights kept, as small.json has 100;"):
        planned(heap(120), general, "1:5")
    assert planned(heap(120), general, "1:5", "shrink")[0] == [([40], [100, 100])]
    assert planned(heap(120), general, "1:5", "repeat")[0] == [([120], [300, 300])]


def test_domain_weights_leave_rows_out_and_say_so():
    domain = [heap(100, Fraction(1, 2), "a"), heap(30, Fraction(1, 2), "b.json")]
    counts, notes = planned(domain, heap(500), "1:5")
    assert counts == [([31, 30], [305])]
    assert notes == ("the weights of domain data hold for 61 of its 130 rows, as b.json has 30",)


@pytest.mark.parametrize(
    ("total", "shares", "expected"),
    [
        (10, ["2/3", "1/3"], [7, 3]),
        (600, ["1/3", "1/3", "1/3"], [200, 200, 200]),
        (100, ["1/3", "1/3", "1/3"], [34, 33, 33]),
        (1, ["1/2", "1/2"], [1, 0]),
        (0, ["1/2", "1/2"], [0, 0]),
        (5, ["1"], [5]),
    ],
)
def test_apportion_by_hand(total, shares, expected):
    assert apportion(total, [Fraction(each) for each in shares]) == expected


def naive(total, shares):
    """Webster's method one seat after the other, as the textbook has it."""
    seats = [0] * len(shares)
    for _ in range(total):
        best = max(range(len(shares)), key=lambda at: (shares[at] / (2 * seats[at] + 1), -at))
        seats[best] += 1
    return seats


weights = st.lists(st.integers(1, 1000), min_size=1, max_size=6)


@settings(deadline=None)
@given(st.integers(0, 300), weights)
def test_apportion_against_one_seat_at_a_time(total, given_weights):
    shares = [Fraction(each, sum(given_weights)) for each in given_weights]
    assert apportion(total, shares) == naive(total, shares)


@settings(deadline=None)
@given(st.integers(0, 10**7), weights)
def test_a_larger_total_gives_nobody_less(total, given_weights):
    shares = [Fraction(each, sum(given_weights)) for each in given_weights]
    fewer, more = apportion(total, shares), apportion(total + 1, shares)
    assert sum(more) == total + 1
    assert all(a <= b for a, b in zip(fewer, more, strict=True))


@settings(deadline=None, max_examples=50)
@given(weights, st.data())
def test_most_is_the_most(given_weights, data):
    shares = [Fraction(each, sum(given_weights)) for each in given_weights]
    heaps = [heap(data.draw(st.integers(0, 9)), share) for share in shares]

    def fits(total):
        return all(a <= b.rows for a, b in zip(naive(total, shares), heaps, strict=True))

    assert most(heaps) == max(total for total in range(55) if fits(total))


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
        counts, _ = planned(heap(domain), heap(general), f"{a}:{b}", shortage)
    except DataError:
        return
    (((mine,), (yours,)),) = counts
    assert mine * b == yours * a
    assert 0 < mine <= domain
    if shortage != "repeat":
        assert yours <= general
