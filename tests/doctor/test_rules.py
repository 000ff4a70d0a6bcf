"""What breaks, case by case: the rule, and what becomes of the row."""

# ruff: noqa: E501 - a case is a line
from __future__ import annotations

import pytest

from curate.llamafactory.doctor.data_set import attributes, stage_of
from curate.llamafactory.doctor.findings import rule_named, rules
from curate.llamafactory.doctor.stages import Takes, judge
from curate.llamafactory.doctor.truncation import room
from tests.doctor.agreeing import kind_of
from tests.doctor.mutating import OPENAI_TAGS, PAIR, TAGS, WHOLE, said

ALPACA = {"instruction": "头痛", "input": "三天", "output": "休息"}
COLUMNS = {"prompt": "instruction", "query": "input", "response": "output"}
SHAREGPT = {"formatting": "sharegpt"}
PAIRS = {**SHAREGPT, "ranking": True, "columns": {"messages": "conversations", **PAIR}}
OPENAI = {"formatting": "openai", "columns": {"messages": "messages"}, "tags": OPENAI_TAGS}
BARE = {"conversations": said("human"), "chosen": "好", "rejected": "坏"}
NO_SYSTEM_TAG = {tag: word for tag, word in TAGS.items() if tag != "system_tag"}


def openai(*words):
    return {"messages": said(*words, role="role", text="content")}


def verdict(row, entry, stage=None):
    attr = attributes(entry)
    return judge(row, attr, stage or stage_of(attr))


# Row, entry, stage, what becomes of it, rule or losses.
CASES = [
    (BARE, PAIRS, "dpo", "dropped", "bare_responses"),
    (ALPACA, {"columns": {"prompt": "instruction", "response": "output"}}, "sft", "usable", "lost_query"),
    (ALPACA | {"system": "医生"}, {}, "sft", "usable", "lost_system"),
    (ALPACA | {"history": [["a", "b"]]}, {}, "sft", "usable", "lost_history"),
    (ALPACA, {}, "sft", "usable", ""),
    ({"conversations": []}, SHAREGPT | {"columns": {"system": "s"}}, "sft", "raises", "messages_unnamed"),
    ({"conversations": said("human", "gpt")}, {"format": "sharegpt"}, "sft", "raises", "missing_column"),
    ({"conversations": said("system", "human", "gpt")}, SHAREGPT | {"tags": NO_SYSTEM_TAG}, "sft", "dropped", "unknown_role"),
    ({"conversations": said("system", "human", "gpt")}, SHAREGPT | {"tags": TAGS}, "sft", "usable", ""),
    (openai("user", "assistant"), OPENAI, "sft", "usable", "openai_system_prompt"),
    (openai("system", "user", "assistant"), OPENAI, "sft", "usable", "openai_system_prompt"),
    ({"conversations": said("human", "gpt", "human")}, SHAREGPT, "sft", "dropped", "odd_turns"),
    ({"conversations": said("gpt", "human")}, SHAREGPT, "sft", "dropped", "gpt_first"),
    ({"conversations": said("human", "human")}, SHAREGPT, "sft", "dropped", "wrong_turn_order"),
    ({"conversations": []}, SHAREGPT, "sft", "dropped", "empty_messages"),
    (ALPACA | {"instruction": "", "input": ""}, {}, "sft", "usable", "empty_prompt"),
    (ALPACA | {"output": None}, {}, "sft", "dropped", "response_not_text"),
    (ALPACA | {"output": 5}, {}, "sft", "dropped", "response_not_text"),
    ({"instruction": "a", "output": "b"}, {}, "sft", "raises", "missing_column"),
    (ALPACA | {"history": ["a"]}, {"columns": {**COLUMNS, "history": "history"}}, "sft", "raises", "bad_history"),
    (ALPACA | {"chosen": ["a", "b"], "rejected": "c"}, {"ranking": True, "columns": {"prompt": "instruction", **PAIR}}, "rm", "dropped", "not_a_pair"),
    (ALPACA | {"kto_tag": "true"}, {"columns": {**COLUMNS, "kto_tag": "kto_tag"}}, "sft", "usable", "string_kto_tag_sft"),
    (ALPACA | {"kto_tag": "true"}, {"columns": {**COLUMNS, "kto_tag": "kto_tag"}}, "kto", "dropped", "string_kto_tag"),
    (ALPACA | {"kto_tag": True, "output": ""}, {"columns": {**COLUMNS, "kto_tag": "kto_tag"}}, "kto", "usable", "verdict_turned"),
    (ALPACA | {"kto_tag": True}, {"columns": {**COLUMNS, "kto_tag": "kto_tag"}}, "sft", "dropped", "verdict_in_sft"),
    (ALPACA, {"columns": COLUMNS}, "kto", "dropped", "no_verdict"),
    (ALPACA | {"output": ""}, {}, "sft", "usable", "empty_response"),
    (ALPACA, {}, "pt", "usable", "pt_first_message_only"),
    ({"conversations": [{"from": "human", "value": None}, {"from": "gpt", "value": "a"}]}, SHAREGPT, "sft", "raises", "not_text"),
    (BARE | {"chosen": {"from": "bot", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}}, PAIRS, "dpo", "raises", "unknown_role_stops"),
    (BARE | {"chosen": {"from": "human", "value": "a"}, "rejected": {"from": "gpt", "value": "b"}}, PAIRS, "dpo", "usable", "response_role"),
    ({"conversations": said("human", "gpt"), "tools": "clock"}, SHAREGPT | {"columns": {"messages": "conversations", "tools": "tools"}}, "sft", "raises", "tools_not_described"),
    ({"conversations": said("human", "function_call")}, SHAREGPT, "sft", "raises", "call_not_json"),
    (ALPACA, {"formatting": "multilingual-thinking"}, "sft", "raises", "unknown_formatting"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "entry", "stage", "kind", "rule"), CASES)
def test_what_breaks(row, entry, stage, kind, rule):
    found = verdict(row, entry, stage)
    assert kind_of(found) == kind
    assert rule in ((*found.losses, "") if kind == "usable" else (found.rule,))
    assert kind != "usable" or bool(rule) == bool(found.losses)


def test_a_partial_entry_sets_the_rest_to_nothing():
    attr = attributes({"columns": {"prompt": "text"}, "tags": {"role_tag": "role"}})
    assert attr.columns["prompt"] == "text"
    assert attr.columns["response"] is None
    assert attr.tags["content_tag"] is None
    assert attributes({}).columns["query"] == "input"


def test_stage_that_an_entry_is_meant_for():
    stages = {name: stage_of(attributes(entry)) for name, (_, entry) in WHOLE.items()}
    assert stages["alpaca"] == stages["sharegpt"] == "sft"
    assert stages["pair"] == stages["sharegpt pair"] == "dpo"
    assert stages["kto"] == "kto"
    assert stages["text"] == "pt"


def test_every_rule_says_what_to_do():
    for rule in [*rules().values(), rule_named("lost_query")]:
        assert rule.says.endswith(".")
        assert rule.do
    assert "`query`" in rule_named("lost_query").says


@pytest.mark.parametrize(
    ("source", "target", "cutoff", "kept"),
    [
        (100, 20, 60, (40, 20)),  # a short response is kept whole
        (10, 100, 60, (10, 50)),  # a short prompt is
        (100, 100, 60, (30, 30)),  # half and half
        (300, 100, 100, (75, 25)),  # as 3 to 1
        (5, 5, 100, (5, 5)),
        (0, 9, 4, (0, 4)),
    ],
)
def test_room(source, target, cutoff, kept):
    assert room(source, target, cutoff) == kept


SEEN = {"conversations": [{"from": "human", "value": "<image>看"}, {"from": "gpt", "value": "好"}]}
WITH_IMAGES = {**SHAREGPT, "columns": {"messages": "conversations", "images": "images"}}


@pytest.mark.parametrize(
    ("images", "takes", "rule"),
    [
        (["a.jpg"], None, "media"),
        (["a.jpg"], (), "media_not_taken"),
        (["a.jpg"], ("videos",), "media_not_taken"),
        (["a.jpg"], ("images",), ""),
        ("a.jpg", ("images",), ""),
        (["a.jpg", "b.jpg"], None, "media_miscounted"),
        ([], ("images",), "media_miscounted"),
        ([], (), ""),
        (None, None, ""),
        ([5], None, "bad_media"),
        ("", None, "bad_media"),
    ],
)
def test_pictures_and_the_template(images, takes, rule):
    takes = Takes(media=takes)
    found = judge({**SEEN, "images": images}, attributes(WITH_IMAGES), "sft", takes)
    assert (found.rule or "".join(found.losses)) == rule
    assert kind_of(found) == ("usable" if rule in ("", "media") else "raises")
    # Stage pt does not look at them.
    assert judge({**SEEN, "images": images}, attributes(WITH_IMAGES), "pt", takes).rule == ""


@pytest.mark.parametrize(
    ("tools", "tool_format", "rule"),
    [
        ('[{"name": "clock"}]', None, "tools_by_template"),
        ('[{"name": "clock"}]', "default", "tools_not_described"),
        ('[{"name": "clock"}]', "qwen", ""),
        ('["clock"]', "qwen", "tools_not_described"),
        ("[{}]", "glm4", "tools_not_described"),
        ("[]", None, ""),
    ],
)
def test_tools_and_the_template(tools, tool_format, rule):
    row = {"conversations": said("human", "gpt"), "tools": tools}
    entry = SHAREGPT | {"columns": {"messages": "conversations", "tools": "tools"}}
    found = judge(row, attributes(entry), "sft", Takes(tools=tool_format))
    assert (found.rule or "".join(found.losses)) == rule
    assert judge(row, attributes(entry), "pt", Takes()).rule == ""
