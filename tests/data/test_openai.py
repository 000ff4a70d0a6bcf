"""OpenAI's messages: read, and made into what LLaMA-Factory's sharegpt converter takes."""

import json

import pytest

from curate.data.canonical import parse
from curate.data.formats import formats
from curate.data.formats import messages as listed
from curate.data.formats.messages import TAGS, are_openai
from curate.data.messages_as_texts import as_texts
from curate.data.read import read
from curate.data.schema import Turn
from curate.llamafactory.dataset_info import entry_for


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


def call(name, arguments, number=1):
    return {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "dose",
            "description": "查剂量",
            "parameters": {"type": "object", "properties": {"drug": {"type": "string"}}},
        },
    }
]
ROW = {
    "messages": [
        {"role": "developer", "content": "你是一个医生。"},
        {
            "role": "user",
            "content": [{"type": "text", "text": "头孢和"}, {"type": "text", "text": "阿莫西林"}],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                call("dose", '{"drug": "头孢"}'),
                call("dose", '{"drug": "阿莫西林"}', 2),
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "1 g"},
        {"role": "tool", "tool_call_id": "call_2", "content": "2 g"},
        {"role": "assistant", "content": "我再查。", "tool_calls": [call("dose", "{}")]},
        {"role": "tool", "tool_call_id": "call_1", "content": "3 g"},
        {"role": "assistant", "content": "好。"},
    ],
    "tools": TOOLS,
    "id": 7,
}


def test_a_row_with_calls_results_parts_and_a_developer(write):
    rows = read(write(json.dumps([ROW])))
    assert rows.sources[0].format == "openai"
    row = rows[0]
    both = [
        {"name": "dose", "arguments": {"drug": "头孢"}},
        {"name": "dose", "arguments": {"drug": "阿莫西林"}},
    ]
    assert row.system == "你是一个医生。"
    assert [turn.role for turn in row.turns] == [
        "user",
        "function",
        "observation",
        "function",
        "observation",
        "assistant",
    ]
    assert row.turns[0] == Turn("user", "头孢和\n阿莫西林")
    assert json.loads(row.turns[1].content) == both
    assert "阿莫西林" in row.turns[1].content
    assert row.turns[2].content == "1 g\n</tool_response>\n<tool_response>\n2 g"
    assert json.loads(row.turns[3].content) == {"name": "dose", "arguments": {}}
    assert (row.response, row.flaw) == ("好。", "")
    assert json.loads(row.parsed.tools) == TOOLS
    assert row.value["id"] == 7
    assert all(each.keys() == {"role", "content"} for each in row.value["messages"])
    assert rows.sources[0].changes == {
        "descriptions of tools written as text": 1,
        "results of tool calls made at once joined": 1,
        "text beside tool calls left out": 1,
    }


def test_it_is_never_emitted_as_openai():
    shape = listed.detect_openai([ROW])
    entry = entry_for(shape, "x.jsonl")
    assert entry["formatting"] == "sharegpt"
    assert entry["tags"] == TAGS
    assert len(entry["tags"]) == 7


def test_functions_of_the_first_interface():
    messages = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": "b"},
    ]
    shape = listed.detect_openai([{"messages": messages}])
    view = parse(listed.convert({"messages": messages}, shape).row, shape)
    assert [turn.role for turn in view.turns] == ["user", "function", "observation", "assistant"]
    assert view.flaw == ""


def test_plain_messages_stay_sharegpt_and_untouched(write):
    messages = [
        {"role": "system", "content": "s", "tool_calls": None},
        {"role": "user", "content": "a", "tool_calls": []},
        {"role": "assistant", "content": "b", "name": "x"},
    ]
    rows = read(write(json.dumps([{"messages": messages, "tools": "[]"}])))
    assert rows.sources[0].format == "sharegpt"
    assert rows[0].value == {"messages": messages, "tools": "[]"}
    assert rows.sources[0].changes == {}


def test_calls_that_turn_up_late_are_seen(write):
    plain = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    values = [plain] * 300 + [{"messages": ROW["messages"]}]
    rows = read(write(json.dumps(values)))
    assert rows.sources[0].format == "sharegpt"
    assert [turn.role for turn in rows[300].turns][1:3] == ["function", "observation"]
    assert rows.sources[0].changes["text beside tool calls left out"] == 1


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": "{}"}}]},
        {"role": "assistant", "content": None, "tool_calls": "f()"},
        {"role": "assistant", "content": None, "tool_calls": [None, call("f", "{}")]},
        {"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
        {"role": 3, "content": "a", "tool_calls": [1]},
        "text",
    ],
)
def test_what_cannot_be_understood_is_a_flaw(message):
    row = {"messages": [{"role": "user", "content": "a"}, message]}
    shape = listed.detect_openai([ROW])
    made = listed.convert(row, shape).row
    assert parse(made, shape).flaw


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ("no json", "no json"),
        (None, {}),
        ("", ""),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_arguments(arguments, expected):
    asked = {"role": "assistant", "content": "", "tool_calls": [call("f", arguments)]}
    made, _ = as_texts([asked], TAGS)
    assert json.loads(made[0]["content"])["arguments"] == expected


def test_results_are_joined_only_where_they_follow_each_other():
    tool = {"role": "tool", "content": "1"}
    talk = [tool, {"role": "user", "content": "a"}, tool, {**tool, "content": None}]
    made, changes = as_texts(talk, TAGS)
    assert [each["content"] for each in made] == ["1", "a", "1", None]
    assert changes == []


@pytest.mark.parametrize("value", [None, [], "x", [1], [{"role": "tool", "content": "a"}]])
def test_what_is_not_openai(value):
    assert not are_openai(value)


def test_a_developer_alone_is_enough():
    messages = [{"role": "developer", "content": "s"}, {"role": "user", "content": "a"}]
    assert are_openai(messages)
    row = {"messages": [*messages, {"role": "assistant", "content": "b"}]}
    shape = listed.detect_openai([row])
    view = parse(listed.convert(row, shape).row, shape)
    assert (view.system, view.flaw) == ("s", "")


# Tools and roles in other formats


def test_tools_as_json_become_text_everywhere():
    alpaca_row = {"instruction": "a", "output": "b", "tools": TOOLS}
    says = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
    sharegpt_row = {"conversations": says, "tools": TOOLS}
    for name, row in (("alpaca", alpaca_row), ("sharegpt", sharegpt_row)):
        form = formats()[name]
        made = form.convert(row, form.detect([row]))
        assert json.loads(made.row["tools"]) == TOOLS
        assert "查剂量" in made.row["tools"]
        assert made.changes == ("descriptions of tools written as text",)
        as_text = {**row, "tools": json.dumps(TOOLS)}
        assert form.convert(as_text, form.detect([row])).row == as_text


def test_a_response_to_compare_must_be_one_by_its_role():
    says = [{"from": "human", "value": "a"}]
    good, wrong = {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}
    shape = listed.detect([{"conversations": says, "chosen": good, "rejected": good}])
    assert parse({"conversations": says, "chosen": good, "rejected": good}, shape).flaw == ""
    for pair in ((good, wrong), (wrong, good), (good, {"value": "c"})):
        row = {"conversations": says, "chosen": pair[0], "rejected": pair[1]}
        assert parse(row, shape).flaw == "unknown_role"


def test_responses_to_compare_as_lists_of_messages():
    asked = [{"role": "user", "content": "a"}]
    good, bad = ({"role": "assistant", "content": text} for text in "bc")
    want = {"messages": asked, "chosen": good, "rejected": bad}
    shape = listed.detect([want])
    for pair in (([good], [bad]), ([*asked, good], [*asked, bad]), (good, [bad])):
        row = {"messages": asked, "chosen": pair[0], "rejected": pair[1]}
        made = listed.convert(row, shape)
        assert made.row == want
        assert made.changes == ("responses to compare made messages",)
        assert parse(made.row, shape).flaw == ""
    other = {"messages": asked, "chosen": [good, bad], "rejected": []}
    assert listed.convert(other, shape).row == other
    assert parse(other, shape).flaw == "not_text"
