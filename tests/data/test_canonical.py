"""What a row says is the same after it was written in another shape."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.data.canonical import canonical_row, canonical_shape, parse
from curate.data.schema import Parsed, Shape, Turn

_WORDS = st.text("ab 头痛？\n", min_size=1).filter(str.strip)
_BESIDE = {"system": "system", "tools": "tools"}
ALPACA = {"prompt": "instruction", "query": "input", "response": "output", "history": "history"}
FIELDS = Shape("alpaca", "alpaca", {**ALPACA, **_BESIDE})
TAGS = {
    "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
    "observation_tag": "tool", "function_tag": "function_call", "system_tag": "system",
}  # fmt: skip
MESSAGES = Shape("sharegpt", "sharegpt", {"messages": "messages", "tools": "tools"}, TAGS)


def as_kind(shape, kind):
    """Return the shape for rows of a kind."""
    if kind == "sft":
        return shape
    if kind == "kto":
        return replace(shape, columns={**shape.columns, "kto_tag": "good"})
    columns = {name: key for name, key in shape.columns.items() if name != "response"}
    return replace(shape, columns={**columns, "chosen": "c", "rejected": "r"}, ranking=True)


@st.composite
def views(draw, kind):
    texts = draw(st.lists(_WORDS, min_size=2, max_size=6))
    turns = [Turn(("user", "assistant")[at % 2], text) for at, text in enumerate(texts)]
    turns = turns[: len(turns) // 2 * 2]
    view = Parsed(
        system=draw(st.text("ab你")), turns=tuple(turns), tools=draw(st.just("[]") | st.just(""))
    )
    if kind == "kto":
        return view._replace(verdict=draw(st.booleans()))
    if kind == "preference":
        return view._replace(turns=tuple(turns[:-1]), chosen=draw(_WORDS), rejected=draw(_WORDS))
    return view


@pytest.mark.parametrize("kind", ["sft", "kto", "preference"])
@pytest.mark.parametrize("shape", [FIELDS, MESSAGES, None], ids=["alpaca", "messages", "sharegpt"])
@given(data=st.data())
def test_what_is_written_reads_the_same(kind, shape, data):
    view = data.draw(views(kind))
    target = as_kind(shape, kind) if shape else canonical_shape(kind)
    assert parse(canonical_row(view, {}, target, FIELDS), target) == view


def test_an_input_stays_apart_where_there_is_a_place_for_it():
    row = {"instruction": "译成英文", "input": "头痛", "output": "headache"}
    view = parse(row, FIELDS)
    assert canonical_row(view, row, FIELDS, FIELDS) == {
        **row,
        "system": "",
        "tools": "",
        "history": [],
    }


@pytest.mark.parametrize(
    ("view", "lost"),
    [
        (
            Parsed(
                turns=(
                    Turn("user", "a"),
                    Turn("function", "{}"),
                    Turn("observation", "b"),
                    Turn("assistant", "c"),
                )
            ),
            "calls of tools",
        ),
        (Parsed(turns=(Turn("user", "a"),), chosen="b", rejected="c"), "two responses"),
        (Parsed(turns=(Turn("user", "a"), Turn("assistant", "b")), verdict=True), "a verdict"),
    ],
)
def test_what_has_no_place_is_named(view, lost):
    with pytest.raises(ValueError, match=lost):
        canonical_row(view, {}, FIELDS, FIELDS)


def test_pictures_that_have_no_place_are_named():
    view = Parsed(turns=(Turn("user", "a"), Turn("assistant", "b")))
    own = replace(FIELDS, columns={**FIELDS.columns, "images": "pictures"})
    with pytest.raises(ValueError, match="images"):
        canonical_row(view, {"pictures": ["a.png"]}, FIELDS, own)
    assert canonical_row(view, {"pictures": ["a.png"]}, own, own)["pictures"] == ["a.png"]


def test_a_text_for_pretraining_has_no_place_for_a_response():
    with pytest.raises(ValueError, match="a response"):
        canonical_row(
            Parsed(turns=(Turn("user", "a"), Turn("assistant", "b"))),
            {},
            canonical_shape("pretraining"),
            FIELDS,
        )
