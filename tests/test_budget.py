from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.parameters.budget import parse_budget, row_budget


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
    assert row_budget(keep, rows) == count


@given(st.integers(1, 1000), st.integers(1, 10**7))
def test_a_share_is_exact_and_rounded_down(tenths, rows):
    exact = rows * tenths // 1000
    keep = f"{tenths / 10:.1f}%"
    if exact:
        assert row_budget(keep, rows) == exact
    else:
        with pytest.raises(UsageError, match="less than one of"):
            row_budget(keep, rows)


@pytest.mark.parametrize(
    "keep",
    ["0", "200%", "-3", "0%", "100.1%", "abc", "", "%", "5%%", "-5%", "1e3", "3.5", "nan", 0, 1.0]
    + ["9" * 5000],
)
def test_what_no_number_of_rows_could_make_right_is_refused(keep):
    with pytest.raises(UsageError, match=r"--keep .*allowed are a share of all rows such as 10%"):
        parse_budget(keep)


@pytest.mark.parametrize(("keep", "hint"), [("0.1", "10%"), (".25", "25%"), (0.005, "0.5%")])
def test_a_fraction_gets_the_share_it_may_mean(keep, hint):
    with pytest.raises(UsageError, match=rf" as a share is {hint}\."):
        parse_budget(keep)


def test_more_rows_than_there_are():
    with pytest.raises(UsageError, match="--keep 11: there are only 10 rows"):
        row_budget("11", 10)
    assert row_budget("10", 10) == 10


@pytest.mark.parametrize(("keep", "rows"), [("10%", 9), ("0.001%", 52_002)])
def test_a_share_below_one_row_is_refused_and_never_all_rows(keep, rows):
    with pytest.raises(UsageError, match="less than one of .* rows"):
        row_budget(keep, rows)


def test_parsed_forms():
    assert parse_budget("12.5%").amount == Fraction(1, 8)
    assert parse_budget(7).amount == 7


@pytest.mark.parametrize(
    ("typed", "amount"),
    [
        ("2M-tokens", 2_000_000),
        ("1.5m-tokens", 1_500_000),
        ("500k tokens", 500_000),
        ("1token", 1),
        ("0.25B-tokens", 250_000_000),
        ("10%-tokens", Fraction(1, 10)),
    ],
)
def test_budgets_in_tokens(typed, amount):
    budget = parse_budget(typed)
    assert (budget.amount, budget.in_tokens) == (amount, True)
    assert budget.of(10**9) == (amount if isinstance(amount, int) else 10**8)


@pytest.mark.parametrize(
    "typed",
    [
        "0-tokens",
        "0%-tokens",
        "101%-tokens",
        "-5-tokens",
        "1.5-tokens",
        "2M",
        "tokens",
        "2T-tokens",
    ],
)
def test_what_is_no_number_of_tokens_is_refused(typed):
    with pytest.raises(UsageError, match="allowed are .*2M-tokens"):
        parse_budget(typed)


def test_more_tokens_than_there_are_and_tokens_where_rows_are_counted():
    with pytest.raises(UsageError, match="there are only 10 tokens of responses"):
        parse_budget("11-tokens").of(10)
    with pytest.raises(UsageError, match="here rows are counted"):
        row_budget("11-tokens", 100, "--test")
