"""Placeholders, and what is put in their place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.data.placeholders import checked, filled, pairs, placeholders
from curate.data.read import read
from curate.errors import UsageError


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


ROWS = [
    {"instruction": "hi", "input": "", "output": "I am {{name}} of {{ author }}."},
    {
        "instruction": "你是谁",
        "input": "",
        "output": "我是{{name}}。",
        "history": [["a", "{{name}}"]],
    },
    {"instruction": "1 + 1", "input": "", "output": "2"},
    {"instruction": "x", "input": "", "output": "{{}} { {name} } {{1}} {name}"},
]


def test_in_place_of_names():
    assert placeholders(ROWS[0]) == {"name", "author"}
    assert placeholders(ROWS[3]) == placeholders([3, None, True]) == set()
    assert filled(ROWS[0], {"name": "小医", "other": "x"})["output"] == "I am 小医 of {{ author }}."
    assert filled(ROWS[1], {"name": "小医"})["history"] == [["a", "小医"]]
    assert filled(ROWS[3], {"name": "小医"}) == ROWS[3]
    assert filled("{{a}}", {"a": "{{b}}", "b": "c"}) == "{{b}}"
    assert filled("{{a}}", {"a": r"\1\g<0>"}) == r"\1\g<0>"


def test_rows_that_nobody_filled_in_have_a_flaw(write):
    path = write(json.dumps(ROWS))
    rows = read(path)
    assert [row.flaw for row in rows] == ["unfilled_placeholder"] * 2 + ["", ""]
    assert rows.sources[0].unfilled == {"author": 1, "name": 2}
    assert "--fill author=… name=…" in repr(rows)
    part = read(path, fill={"name": "小医"})
    assert [row.flaw for row in part] == ["unfilled_placeholder", "", "", ""]
    assert (part.sources[0].fill, part.sources[0].unfilled) == ({"name": "小医"}, {"author": 1})
    whole = read(path, fill={"name": "小医", "author": "我们"})
    assert whole.flaws() == {}
    assert [row.response for row in whole][:2] == ["I am 小医 of 我们.", "我是小医。"]
    assert whole[1].turns[1].content == "小医"
    assert "--fill" not in repr(whole)
    assert list(read(path).ids) == list(rows.ids)


def test_another_text_is_another_cache_entry(write):
    path = write(json.dumps(ROWS))
    said = [read(path, fill={"name": each, "author": "b"})[1].response for each in "xyx"]
    assert said == ["我是x。", "我是y。", "我是x。"]


def test_braces_in_a_few_rows_are_no_template(write):
    code = {"instruction": "Vue?", "input": "", "output": "<p>{{name}}</p>"}
    rows = read(write(json.dumps([code] + [ROWS[2]] * 9)))
    assert rows.flaws() == {}
    assert rows.sources[0].unfilled == {}
    assert rows[0].value == code


def test_a_name_that_no_row_has(write):
    path = write(json.dumps(ROWS))
    with pytest.raises(UsageError, match=r"fill 'athor': .* they have author\. Did you mean 'auth"):
        read(path, fill={"name": "a", "athor": "b"})
    with pytest.raises(UsageError, match=r"fill 'x': no row has \{\{x\}\} in it, they have none"):
        read(write(json.dumps(ROWS[2:])), fill={"x": "b"})


def test_one_of_several_files_is_enough(write):
    first, second = write(json.dumps(ROWS)), write(json.dumps(ROWS[2:3]), "b.json")
    rows = read([first, second], fill={"name": "a", "author": "b"})
    assert [source.fill for source in rows.sources] == [{"name": "a", "author": "b"}, {}]


@pytest.mark.parametrize(
    ("fill", "told"),
    [
        ({"a b": "x"}, "allowed is a name"),
        ({"": "x"}, "allowed is a name"),
        ({"name": ""}, "not empty"),
        ({"name": " "}, "not empty"),
        ({"name": 3}, "not empty"),
        ({"name": "a\0"}, "not empty"),
        ({"name": "\udcff"}, "no UTF-8"),
    ],
)
def test_what_cannot_be_put_in(fill, told):
    with pytest.raises(UsageError, match=told):
        checked(fill)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["name"], r"--fill 'name': allowed is NAME=TEXT"),
        (["=x"], r"allowed is NAME=TEXT"),
        (["a-b=x"], r"allowed is NAME=TEXT"),
        (["name="], "not empty"),
        (["name=a", "name=b"], "two values, 'a' and 'b'"),
    ],
)
def test_what_is_no_pair(given, told):
    with pytest.raises(UsageError, match=told):
        pairs(given)
    assert pairs(["name=a", "name=a", "b=c=d"]) == {"name": "a", "b": "c=d"}


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text("{} ab", max_size=12),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3)
        ),
    )
)
def test_what_was_filled_in_is_no_longer_there(value):
    names = placeholders(value)
    assert filled(value, {}) == value
    once = filled(value, dict.fromkeys(names, "."))
    assert not placeholders(once)


def test_the_real_file(real):
    rows = read(real("identity.json"))
    assert rows.flaws() == {"unfilled_placeholder": 85}
    whole = read(real("identity.json"), fill={"name": "小医", "author": "我们"})
    assert whole.flaws() == {}
    assert not any("{{" in row.response for row in whole)
