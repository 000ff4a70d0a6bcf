from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.parameters.option import budget, parse_keep


@pytest.mark.parametrize(
    ("keep", "rows", "count"),
    [
        ("10%", 52_002, 5_200),
        ("7%", 100, 7),
        ("29%", 100, 29),  # 0.29 * 100 is 28.999999999999996
        ("0.1%", 1000, 1),
        ("2.5 %", 1000, 25),
        (" 10% ", 10, 1),
        ("100%", 3, 3),
        ("500", 500, 500),
        (1, 1, 1),
        (None, 52_002, 5_200),
        (None, 3, 1),
    ],
)
def test_budget(keep, rows, count):
    assert budget(keep, rows) == count


@given(st.integers(1, 1000), st.integers(1, 10**7))
def test_a_share_is_exact_and_rounded_down(tenths, rows):
    exact = rows * tenths // 1000
    keep = f"{tenths / 10:.1f}%"
    if exact:
        assert budget(keep, rows) == exact
    else:
        with pytest.raises(UsageError, match="less than one of"):
            budget(keep, rows)


@pytest.mark.parametrize(
    "keep",
    ["0", "200%", "-3", "0%", "100.1%", "abc", "", "%", "5%%", "-5%", "1e3", "3.5", "nan", 0, 1.0]
    + ["9" * 5000],
)
def test_what_no_number_of_rows_could_make_right_is_refused(keep):
    with pytest.raises(UsageError, match=r"--keep .*allowed are a share of all rows such as 10%"):
        parse_keep(keep)


@pytest.mark.parametrize(("keep", "hint"), [("0.1", "10%"), (".25", "25%"), (0.005, "0.5%")])
def test_a_fraction_gets_the_share_it_may_mean(keep, hint):
    with pytest.raises(UsageError, match=rf" as a share is {hint}\."):
        parse_keep(keep)


def test_more_rows_than_there_are():
    with pytest.raises(UsageError, match="--keep 11: there are only 10 rows"):
        budget("11", 10)
    assert budget("10", 10) == 10


@pytest.mark.parametrize(("keep", "rows"), [("10%", 9), ("0.001%", 52_002)])
def test_a_share_below_one_row_is_refused_and_never_all_rows(keep, rows):
    with pytest.raises(UsageError, match="less than one of .* rows"):
        budget(keep, rows)


def test_parsed_forms():
    assert parse_keep("12.5%") == Fraction(1, 8)
    assert parse_keep(7) == 7
