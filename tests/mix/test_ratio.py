"""What is a ratio, and what is told of what is none."""

from __future__ import annotations

from fractions import Fraction

import pytest

from curate.errors import UsageError
from curate.mixture.plan import parse_ratio, parse_ratios


@pytest.mark.parametrize(
    ("given", "domain", "general", "written"),
    [
        ("1:5", 1, 5, "1:5"),
        (" 2 : 3 ", 2, 3, "2:3"),
        ("1:2.50", 1, Fraction(5, 2), "1:2.5"),
        ("1：5", 1, 5, "1:5"),  # noqa: RUF001
        ("1:0", 1, 0, "1:0"),
        ("0:1", 0, 1, "0:1"),
        ("0.1:0.3", Fraction(1, 10), Fraction(3, 10), "0.1:0.3"),
        ("10:4", 10, 4, "10:4"),
        ("1:0.000001", 1, Fraction(1, 10**6), "1:0.000001"),
        ("123456789012.5:1", Fraction(246913578025, 2), 1, "123456789012.5:1"),
    ],
)
def test_ratios(given, domain, general, written):
    found = parse_ratio(given)
    assert (found.domain, found.general) == (domain, general)
    assert str(found) == written
    assert found.as_name == written.replace(":", "to")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("0:0", "--ratio 0:0: a mixture of nothing; give domain:general"),
        ("1:", "--ratio 1:: a side is empty; give domain:general as two numbers such as 1:5"),
        (":5", "a side is empty"),
        ("a:b", "'a' is no number"),
        ("1:b", "'b' is no number"),
        ("-1:5", "-1 is negative"),
        ("1:-5", "-5 is negative"),
        ("1:nan", "'nan' is no number"),
        ("inf:1", "'inf' is no number"),
        ("1:1e3", "'1e3' is no number"),
        ("1:٥", "is no number"),
        ("5", "--ratio 5: one number; give domain:general as two numbers"),
        ("1:2:3", "3 numbers"),
        ("", "one number"),
        ("1:9999999999999", "is no number"),
    ],
)
def test_what_is_no_ratio(given, told):
    with pytest.raises(UsageError) as error:
        parse_ratio(given)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_sweep():
    assert [str(each) for each in parse_ratios("1:0,1:1, 1:10")] == ["1:0", "1:1", "1:10"]
    assert [str(each) for each in parse_ratios(["1:0", "2:3"])] == ["1:0", "2:3"]


@pytest.mark.parametrize("given", ["1:5,1:5", "1:5,2:10", "1:0,2:0", "0:1,0:3"])
def test_the_same_ratio_twice(given):
    with pytest.raises(UsageError, match="is given twice; give every ratio once"):
        parse_ratios(given)


def test_no_ratio_at_all():
    with pytest.raises(UsageError, match="no ratio; give domain:general"):
        parse_ratios([])
