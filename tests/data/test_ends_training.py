"""Rows that would end LLaMA-Factory's training have a flaw, and are emitted by nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

import curate
from curate.data.ends_training import wrong_tools
from tests.calling import Caller
from tests.converter import factory, train_in, train_on

CALL = '{"name": "clock", "arguments": {"zone": 8}}'
TOOL = {
    "name": "clock",
    "description": "时间",
    "parameters": {"type": "object", "properties": {"zone": {"type": "integer"}}},
}


def talk(*turns, **beside):
    return {"conversations": [{"from": tag, "value": text} for tag, text in turns], **beside}


def called(call=CALL, tools=None):
    turns = [("human", "几点"), ("function_call", call), ("observation", "9"), ("gpt", "九点")]
    return talk(*turns, tools=json.dumps([TOOL]) if tools is None else tools)


def seen(images, text="<image>看", answer="好"):
    return talk(("human", text), ("gpt", answer), tools="", images=images)


ENDING = [
    (called(""), "call_not_json"),
    (called("clock(8)"), "call_not_json"),
    (called("{'name': 'clock', 'arguments': {}}"), "call_not_json"),
    (called('{"name": "clock"}'), "call_not_json"),
    (called('{"arguments": {}}'), "call_not_json"),
    (called('[{"name": "clock", "arguments": {}}, 5]'), "call_not_json"),
    (called('"clock"'), "call_not_json"),
    (called("[" * 100_000), "call_not_json"),
    (called("<think>\n嗯\n</think>\n\nclock"), "call_not_json"),
    (called(tools="clock"), "tools_not_described"),
    (called(tools="null"), "tools_not_described"),
    (called(tools='["clock"]'), "tools_not_described"),
    (called(tools="5"), "tools_not_described"),
    (called(tools=5), "tools_not_described"),
    (called(tools=False), "tools_not_described"),
]
WHOLE = [
    called(),
    called(f"[{CALL}, {CALL}]"),
    called(f"<think>\n嗯\n</think>\n\n{CALL}"),
    called(f"好的<tool_call>{CALL}</tool_call>"),
    called(tools=json.dumps([{"type": "function", "function": TOOL}])),
    called(tools=[TOOL]),
    called(tools="[]"),
    called(tools={}),
    called(tools=TOOL),
    called(tools=json.dumps(TOOL)),
    called(tools={"clock": TOOL}),
    called(tools=[json.dumps(TOOL)]),
    called(tools=str([TOOL])),
    called(tools='[{"name": "clock"}]'),  # Qwen's template takes them
    called(tools='[{"type": "function"}]'),
]


@pytest.fixture
def read(tmp_path, scratch_cache):
    def read(rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return curate.read(path)

    return read


def test_each_is_flagged_and_the_others_are_not(read):
    rows = read([*WHOLE, *(row for row, _ in ENDING)])
    assert [row.flaw for row in rows] == [""] * len(WHOLE) + [flaw for _, flaw in ENDING]


@pytest.mark.slow
@pytest.mark.parametrize(("row", "flaw"), ENDING[:15:3])
def test_it_ends_the_training(row, flaw):
    tools = row["tools"] if isinstance(row["tools"], str) else json.dumps(row["tools"])
    columns = {"messages": "conversations", "tools": "tools"}
    ended = train_on([row | {"tools": tools}], {"formatting": "sharegpt", "columns": columns})
    assert ended.error
    assert ended.usable == 0


def test_what_is_emitted_is_trained_on(read, tmp_path, capsys):
    many = [called(f'{{"name": "clock", "arguments": {{"zone": {place}}}}}') for place in range(3)]
    read([row for pair in zip(many, [row for row, _ in ENDING], strict=False) for row in pair])
    out = tmp_path / "out"
    options = ("--input", tmp_path / "rows.jsonl", "--output", out, "--name", "s")
    assert Caller(capsys)("dedup", *options).code == 0
    became = train_in(out, "s")
    assert (became.error, became.usable) == ("", 3)


# What every tool format of LLaMA-Factory makes of descriptions that lack something.
LACKING: list[Any] = [
    *([TOOL], [{"type": "function", "function": TOOL}], [{"name": "clock"}], [{}], [{"name": 5}]),
    *([{"type": "function"}], [{**TOOL, "parameters": {}}], [{**TOOL, "parameters": None}]),
    *([{**TOOL, "parameters": {"properties": {"zone": 5}}}], [{"parameters": TOOL["parameters"]}]),
    *([{**TOOL, "parameters": {"properties": {"zone": {"enum": [1]}}}}], [TOOL, {}], {}, []),
    *(
        [{**TOOL, "parameters": {"required": 5}}],
        [{**TOOL, "response": 5}],
        TOOL,
        ["clock"],
        "x",
        5,
    ),
]


@pytest.mark.parametrize(
    "tool_format", ["", "default", "glm4", "gemma4", "qwen", "llama3", "mistral"]
)
def test_descriptions_end_what_they_end_in_llamafactory(tool_format):
    from llamafactory.data.tool_utils import get_tool_utils

    factory()
    formatter = get_tool_utils(tool_format or "qwen").tool_formatter
    for tools in LACKING:
        try:
            ended = bool(len(tools) and not formatter(tools))
        except Exception:  # noqa: BLE001 - whatever ends it
            ended = True
        assert (tools, bool(wrong_tools(json.dumps(tools), tool_format))) == (tools, ended)


def test_tools_of_alpaca_rows(read):
    row = {"instruction": "几点", "input": "", "output": "九点"}
    rows = read([row | {"tools": json.dumps([TOOL])}, row | {"tools": "{"}, row | {"tools": ""}])
    assert [found.flaw for found in rows] == ["", "tools_not_described", ""]


def test_a_call_to_compare(read):
    pair = {"conversations": [{"from": "human", "value": "几点"}]}

    def answered(call):
        chosen = {"from": "function_call", "value": call}
        return pair | {"chosen": chosen, "rejected": {"from": "gpt", "value": "不知道"}}

    assert [row.flaw for row in read([answered(CALL), answered("clock")])] == ["", "call_not_json"]


@pytest.mark.parametrize(
    ("images", "text", "flaw"),
    [
        (["a.jpg"], "<image>看", ""),
        (["a.jpg", "b.jpg"], "<image><image>看", ""),
        ([], "看", ""),
        (None, "看", ""),
        ([], "<image> 是一个标签", ""),  # a text like others to a model that does not see
        (["a.jpg"], "看", "media_miscounted"),
        (["a.jpg"], "<image><image>看", "media_miscounted"),
        (["a.jpg"], "<image><video>看", "media_miscounted"),
        ([5], "<image>看", "bad_media"),
        ([None], "<image>看", "bad_media"),
        ([""], "<image>看", "bad_media"),
        (["a.jpg", 5], "<image><image>看", "bad_media"),
        ("a.jpg", "<image>看", ""),  # one path is a list of one
        ("", "看", ""),
        ({"a": "b"}, "<image>看", "bad_media"),
        (7, "<image>看", "bad_media"),
        ([{"path": "a.jpg"}], "<image>看", ""),
        ([{"path": None}], "<image>看", "bad_media"),
    ],
)
def test_pictures(read, images, text, flaw):
    rows = read([seen(images, text), seen(["z.jpg"])])
    assert [row.flaw for row in rows] == [flaw, ""]
