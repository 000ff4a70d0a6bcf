import pytest

from curate.data import canonical
from curate.data.formats import messages
from curate.data.schema import Parsed, Shape, Turn

TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
OPENAI_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}


def user(text):
    return Turn("user", text)


def bot(text):
    return Turn("assistant", text)


def says(*pairs):
    return [{"from": role, "value": text} for role, text in pairs]


@pytest.mark.parametrize("key", ["conversations", "conversation", "messages", "dialog"])
def test_sharegpt_shape_has_every_tag(key):
    assert messages.detect([{key: says(("human", "a"), ("gpt", "b")), "x": 1}]) == Shape(
        "sharegpt", "sharegpt", {"messages": key}, TAGS
    )
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert messages.detect([{key: said, "tools": "[]"}]) == Shape(
        "sharegpt", "sharegpt", {"messages": key, "tools": "tools"}, OPENAI_TAGS
    )


def test_sharegpt_tags_are_the_words_that_are_seen_most():
    said = says(("user", "a"), ("bot", "b"), ("tool", "c"), ("function", "d"))
    tags = messages.detect([{"messages": said}] * 2 + [{"messages": says(("human", "a"))}]).tags
    found = {role: tags[f"{role}_tag"] for role in ("user", "assistant", "observation", "function")}
    assert found == {
        "user": "user",
        "assistant": "bot",
        "observation": "tool",
        "function": "function",
    }
    assert len(set(tags.values())) == 7


@pytest.mark.parametrize(
    "value",
    [
        {"messages": "human: a"},
        {"messages": []},
        {"messages": ["a", "b"]},
        {"messages": [{"who": "human", "says": "a"}]},
        {"messages": says(("nurse", "a"), ("guest", "b"))},
        {"messages": None},
        {"messages": [{"from": None, "value": "a"}]},
    ],
)
def test_what_is_no_sharegpt(value):
    assert messages.detect([value]) is None


def test_sharegpt_with_rows_that_are_odd_among_good_ones():
    good = {"messages": says(("human", "a"), ("gpt", "b"))}
    odd = [{"messages": 3}, {"messages": None}, {"messages": [3]}, {"messages": [{"from": 3}]}]
    assert messages.detect([good] * 4 + odd).columns == {"messages": "messages"}


def test_sharegpt_preferences_and_verdicts():
    row = {"conversations": says(("human", "a")), "chosen": "b", "rejected": "c"}
    shape = messages.detect([row])
    assert shape.ranking
    assert shape.columns == {
        "messages": "conversations",
        "chosen": "chosen",
        "rejected": "rejected",
    }
    assert "kto_tag" not in messages.detect([{**row, "label": True}]).columns
    said = {"conversations": says(("human", "a"), ("gpt", "b"))}
    assert messages.detect([{**said, "label": True}]).columns["kto_tag"] == "label"
    assert "kto_tag" not in messages.detect([{**said, "label": "内科"}]).columns


COLUMNS = {"messages": "conversations", "system": "system", "tools": "tools"}
TALK = Shape("sharegpt", "sharegpt", COLUMNS, TAGS)
TALK_PAIRS = Shape(
    "sharegpt", "sharegpt", {**COLUMNS, "chosen": "chosen", "rejected": "rejected"}, TAGS, True
)


def parse(*pairs, shape=TALK, **more):
    return canonical.parse({"conversations": says(*pairs), **more}, shape)


def test_sharegpt_turns_and_system():
    assert parse(("human", "a"), ("gpt", "b")) == Parsed(turns=(user("a"), bot("b")))
    assert parse(("system", "s"), ("human", "a"), ("gpt", "b"), system="outer").system == "s"
    assert parse(("human", "a"), ("gpt", "b"), system="outer").system == "outer"
    call = '{"name": "f", "arguments": {}}'
    called = parse(("human", "a"), ("function_call", call), ("observation", "o"), ("gpt", "b"))
    assert [turn.role for turn in called.turns] == ["user", "function", "observation", "assistant"]
    assert called.flaw == ""
    assert parse(("human", "a"), ("function_call", call)).flaw == ""


@pytest.mark.parametrize(
    ("pairs", "flaw"),
    [
        ([("human", "a"), ("gpt", "")], "empty_response"),
        ([("human", "a"), ("gpt", "b"), ("human", "c"), ("gpt", " ")], "empty_response"),
        ([("human", "a")], "empty_response"),
        ([], "empty_response"),
        ([("human", " "), ("gpt", "b")], "empty_prompt"),
        ([("gpt", "b")], "empty_prompt"),
        ([("gpt", "b"), ("human", "a")], "bad_turn_order"),
        ([("human", "a"), ("gpt", "b"), ("human", "c")], "bad_turn_order"),
        ([("human", "a"), ("human", "b"), ("gpt", "c")], "bad_turn_order"),
        ([("human", "a"), ("system", "s"), ("gpt", "c")], "bad_turn_order"),
        ([("doctor", "a"), ("gpt", "b")], "unknown_role"),
        ([("human", "a"), ("gpt", 3)], "not_text"),
        ([(None, "a"), ("gpt", "b")], "not_text"),
        ([("human", None), ("gpt", "b")], "empty_prompt"),
        ([("human", "a"), ("gpt", None), ("human", "b"), ("gpt", "c")], "not_text"),
    ],
)
def test_sharegpt_flaws(pairs, flaw):
    assert parse(*pairs).flaw == flaw


@pytest.mark.parametrize("value", ["human: a", {"from": "human"}, 3, ["a"], [["human", "a"]]])
def test_sharegpt_without_a_list_of_messages(value):
    assert canonical.parse({"conversations": value}, TALK).flaw == "not_text"


def test_sharegpt_missing_or_null_messages():
    for row in ({}, {"conversations": None}, {"conversations": []}):
        assert canonical.parse(row, TALK) == Parsed(flaw="empty_response")


@pytest.mark.parametrize(
    ("chosen", "flaw"),
    [
        ("b", ""),
        ({"from": "gpt", "value": "b"}, ""),
        ("", "empty_response"),
        (None, "empty_response"),
        ({"from": "gpt"}, "empty_response"),
        (["b"], "not_text"),
        ({"from": "gpt", "value": 3}, "not_text"),
    ],
)
def test_sharegpt_preference(chosen, flaw):
    found = parse(("human", "a"), shape=TALK_PAIRS, chosen=chosen, rejected="c")
    assert found.flaw == flaw
    if not flaw:
        assert (found.turns, found.chosen, found.rejected) == ((user("a"),), "b", "c")
    both = parse(("human", "a"), ("gpt", "x"), shape=TALK_PAIRS, chosen="b", rejected="c")
    assert both.flaw == "bad_turn_order"
