"""Expressions: worked out by hand, against Python itself, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.data.expression import parse_expression
from curate.errors import UsageError

NAN = float("nan")
COLUMNS = {
    "a": np.array([1.0, 2.0, NAN, 4.0]),
    "b": np.array([4.0, 2.0, 1.0, 0.0]),
    "kept": np.array([True, False, True, False]),
    "status": np.array(["ok", "truncated", "ok", ""], dtype=object),
    "x.a": np.array([9.0, 9.0, 9.0, 9.0]),
}


def truths(text):
    return parse_expression(text, "--where").truths(COLUMNS, 4).tolist()


def numbers(text):
    return parse_expression(text, "--by").numbers(COLUMNS, 4).tolist()


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("a > 1", [False, True, False, True]),
        ("1 < a < 3", [False, True, False, False]),
        ("a > b and kept", [False, False, False, False]),
        ("a >= b or kept", [True, True, True, True]),
        ("not kept", [False, True, False, True]),
        ("a != 1", [False, True, True, True]),
        ("status == 'ok'", [True, False, True, False]),
        ("'ok' != status", [False, True, False, True]),
        ("status in ('ok', '')", [True, False, True, True]),
        ("b not in [4, 0]", [False, True, True, False]),
        ("b / (b - b) > 0", [True, True, True, False]),
        ("kept == True", [True, False, True, False]),
        ("x.a == 9", [True] * 4),
        ("1 < 2", [True] * 4),
        ("'ok' == 'ok'", [True] * 4),
        (" a - -1 == 2 ", [True, False, False, False]),
    ],
)
def test_conditions_by_hand(text, holds):
    assert truths(text) == holds


def test_numbers_by_hand():
    assert numbers("2 * b - 1 / 2") == [7.5, 3.5, 1.5, -0.5]
    assert numbers("b") == COLUMNS["b"].tolist()
    assert numbers("3") == [3.0] * 4
    assert np.isnan(numbers("a + b")).tolist() == [False, False, True, False]


def test_the_columns_that_it_names():
    found = parse_expression("a + x.a > 0 and x.a < b and a < 1", "--where").columns()
    assert sorted(found) == ["a", "b", "x.a"]


leaves = st.sampled_from(["a", "b", "c", "2", "0.5", "7"])
arithmetic = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({' '.join(t)})"),
        inner.map(lambda each: f"(-{each})"),
    ),
    max_leaves=4,
)
compared = st.tuples(arithmetic, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), arithmetic)
conditions = st.recursive(
    compared.map(" ".join),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({' '.join(t)})"),
        inner.map(lambda each: f"(not {each})"),
    ),
    max_leaves=3,
)


@settings(deadline=None, max_examples=150)
@given(conditions)
def test_the_same_as_python_row_by_row(text):
    values = {name: np.arange(5.0) * step - 2 for name, step in (("a", 1), ("b", 0.5), ("c", -1))}
    found = parse_expression(text, "--where").truths(values, 5)
    naive = [
        eval(text, {}, {name: float(each[row]) for name, each in values.items()})  # noqa: S307
        for row in range(5)
    ]
    assert found.tolist() == naive


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no expression; allowed are columns"),
        ("status = 'ok'", "no expression; equality is written ==;"),
        ("a >", "no expression"),
        ("a; b", "no expression"),
        ("a\0", "no expression"),
        ("(" * 300 + "a" + ")" * 300, "no expression"),
        ("-" * 900 + "a", "parts|no expression"),
        ("a" * 1001, "1,001 characters; allowed are 1,000"),
        ("+".join("a" * 150), "parts; allowed are 200"),
        ("9" * 400, "not allowed here"),
        ("(a > 1) & kept", "& | ~ is not allowed here; write and, or, not;"),
        ("~kept", "write and, or, not"),
        ("a ** 2", "not allowed here"),
        ("a @ b", "not allowed here"),
        ("__import__('os').system('true')", "not allowed here"),
        ("a.b.c", "not allowed here"),
        ("a[0]", "not allowed here"),
        ("(lambda: 1)()", "not allowed here"),
        ("[x for x in (1, 2)]", "not allowed here"),
        ("a if kept else b", "not allowed here"),
        ("(z := 1) > 0", "not allowed here"),
        ("f'{a}' == 'x'", "not allowed here"),
        ("b'x' == status", "not allowed here"),
        ("1j > 0", "not allowed here"),
        ("a is None", "not allowed here"),
        ("None == a", "not allowed here"),
        ("*a", "not allowed here|no expression"),
        ("{}", "not allowed here"),
    ],
)
def test_what_is_no_expression(text, message):
    with pytest.raises(
        UsageError, match=message.replace("|", r"\|") if "&" in message else message
    ):
        parse_expression(text, "--where")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "that is a number for every row, and true or false is needed"),
        ("status", "that is a text"),
        ("status > 3", "'status' is a text, and '< or >' takes a number"),
        ("status < 'b'", "takes a number"),
        ("status == 1", "'status' is a text and '1' is a number; they are never equal"),
        ("kept == 1", "never equal"),
        ("kept and 1", "'1' is a number, and 'and' takes true or false"),
        ("not a", "'not' takes true or false"),
        ("status + 1 > 0", "takes a number"),
        ("-kept > 0", "takes a number"),
        ("status in 'ok'", "behind in stands a list"),
        ("a in ()", "behind in stands a list"),
        ("[a]", "stands only behind in"),
        ("(a, b) == a", "stands only behind in"),
    ],
)
def test_what_does_not_fit(text, message):
    with pytest.raises(UsageError, match=message):
        truths(text)
    with pytest.raises(UsageError, match="true or false for every row, and a number is needed"):
        numbers("a > 1")
