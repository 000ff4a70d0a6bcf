"""Rows and entries as users bring them, with something wrong."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

PAIR = {"chosen": "chosen", "rejected": "rejected"}
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
    "function_tag": "function",
    "system_tag": "system",
}
ALPACA_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output"}
TOOLS = '[{"name": "look", "parameters": {"properties": {"at": {"type": "string"}}}}]'


def said(*words: str, role: str = "from", text: str = "value") -> list[dict[str, Any]]:
    return [{role: word, text: f"{place} 头痛"} for place, word in enumerate(words)]


def _message(word: str, text: Any = "休息") -> dict[str, Any]:
    return {"from": word, "value": text}


# A row, and the entry that is right for it.
WHOLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "alpaca": (
        {
            "instruction": "头痛",
            "input": "三天",
            "output": "休息",
            "system": "你是医生",
            "history": [["一", "二"]],
        },
        {"columns": {**ALPACA_COLUMNS, "system": "system", "history": "history"}},
    ),
    "pair": (
        {"instruction": "头痛", "input": "", "chosen": "休息", "rejected": "忍"},
        {"ranking": True, "columns": {"prompt": "instruction", "query": "input", **PAIR}},
    ),
    "kto": (
        {"instruction": "头痛", "input": "", "output": "休息", "kto_tag": True},
        {"columns": {**ALPACA_COLUMNS, "kto_tag": "kto_tag"}},
    ),
    "text": ({"text": "头痛要休息"}, {"columns": {"prompt": "text"}}),
    "sharegpt": (
        {
            "conversations": said("human", "gpt", "human", "gpt"),
            "system": "你是医生",
            "tools": TOOLS,
        },
        {
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "system": "system", "tools": "tools"},
            "tags": TAGS,
        },
    ),
    "system message": (
        {"conversations": said("system", "human", "gpt")},
        {"formatting": "sharegpt"},
    ),
    "call": (
        {
            "conversations": [
                _message("human", "几点"),
                _message("function_call", '{"name": "clock", "arguments": {"zone": 8}}'),
                _message("observation", "12"),
                _message("gpt", "十二点"),
            ]
        },
        {"formatting": "sharegpt"},
    ),
    "sharegpt pair": (
        {
            "conversations": said("human"),
            "chosen": _message("gpt"),
            "rejected": _message("gpt", "忍"),
        },
        {
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "conversations", **PAIR},
            "tags": TAGS,
        },
    ),
    "sharegpt kto": (
        {"messages": said("user", "assistant", role="role", text="content"), "label": False},
        {
            "formatting": "sharegpt",
            "columns": {"messages": "messages", "kto_tag": "label"},
            "tags": OPENAI_TAGS,
        },
    ),
    "openai": (
        {
            "messages": said("system", "user", "assistant", role="role", text="content"),
            "tools": "",
        },
        {
            "formatting": "openai",
            "columns": {"messages": "messages", "tools": "tools"},
            "tags": OPENAI_TAGS,
        },
    ),
    "openai calls": (
        {
            "messages": [
                {"role": "user", "content": "几点", "tool_calls": None},
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"function": {"name": "clock", "arguments": "{}"}}],
                },
                {"role": "tool", "content": "12", "tool_calls": None},
                {"role": "tool", "content": "Uhr", "tool_calls": None},
                {"role": "assistant", "content": "十二点", "tool_calls": None},
            ],
            "tools": TOOLS,
        },
        {
            "formatting": "openai",
            "columns": {"messages": "messages", "tools": "tools"},
            "tags": OPENAI_TAGS,
        },
    ),
}
WRONG = st.sampled_from(
    [None, "", " ", 5, 0, True, False, "true", [], ["a", "b"], "text", {}, {"from": "gpt"}, 1.5]
)
_WORDS = st.sampled_from(
    ["human", "gpt", "user", "assistant", "system", "observation", "function_call", "bot", "", None]
)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw a row and an entry, each with up to two things changed."""
    row, entry = copy.deepcopy(WHOLE[draw(st.sampled_from(list(WHOLE)))])
    for change in draw(st.lists(st.sampled_from(ROWS), max_size=2)):
        change(draw, row)
    for change in draw(st.lists(st.sampled_from(ENTRIES), max_size=2)):
        change(draw, entry)
    return row, entry


def _key(draw: st.DrawFn, row: dict[str, Any]) -> str:
    return draw(st.sampled_from([*row] or ["instruction"]))


def _drop_key(draw: st.DrawFn, row: dict[str, Any]) -> None:
    row.pop(_key(draw, row), None)


def _rename_key(draw: st.DrawFn, row: dict[str, Any]) -> None:
    new = draw(st.sampled_from(["prompt", "output", "messages", "conversations", "Input"]))
    row[new] = row.pop(_key(draw, row), "x")


def _set(draw: st.DrawFn, row: dict[str, Any]) -> None:
    row[_key(draw, row)] = draw(WRONG)


def _messages(draw: st.DrawFn, row: dict[str, Any]) -> list[Any]:
    lists = [each for each in row.values() if isinstance(each, list) and each]
    return draw(st.sampled_from(lists)) if lists else [{}]


def _drop_turn(draw: st.DrawFn, row: dict[str, Any]) -> None:
    del _messages(draw, row)[draw(st.sampled_from([0, -1]))]


def _swap_turns(draw: st.DrawFn, row: dict[str, Any]) -> None:
    _messages(draw, row).reverse()


def _double_turn(draw: st.DrawFn, row: dict[str, Any]) -> None:
    messages = _messages(draw, row)
    messages.append(messages[-1])


def _change_turn(draw: st.DrawFn, row: dict[str, Any]) -> None:
    message = draw(st.sampled_from(_messages(draw, row)))
    if isinstance(message, dict) and message:
        key = draw(st.sampled_from([*message]))
        words = _WORDS if key in ("from", "role") else st.sampled_from([None, "", "{}", "头痛"])
        message[key] = draw(words)


def _of_response(draw: st.DrawFn, row: dict[str, Any]) -> None:
    key = draw(st.sampled_from(["chosen", "rejected"]))
    if isinstance(row.get(key), dict):
        name = draw(st.sampled_from([*row[key]] or ["from"]))
        row[key][name] = draw(_WORDS)


ROWS = [
    _drop_key,
    _rename_key,
    _set,
    _drop_turn,
    _swap_turns,
    _double_turn,
    _change_turn,
    _of_response,
]


def _formatting(draw: st.DrawFn, entry: dict[str, Any]) -> None:
    entry["formatting"] = draw(st.sampled_from(["alpaca", "sharegpt", "openai", "ShareGPT"]))


def _format(draw: st.DrawFn, entry: dict[str, Any]) -> None:
    entry["format"] = entry.pop("formatting", "sharegpt")


def _ranking(draw: st.DrawFn, entry: dict[str, Any]) -> None:
    entry["ranking"] = draw(st.sampled_from([True, False, "true", None, 1, 0]))


def _drop_part(draw: st.DrawFn, entry: dict[str, Any]) -> None:
    part = entry.get(draw(st.sampled_from(["columns", "tags"])))
    if isinstance(part, dict) and part:
        del part[draw(st.sampled_from([*part]))]


def _no_part(draw: st.DrawFn, entry: dict[str, Any]) -> None:
    entry.pop(draw(st.sampled_from(["columns", "tags"])), None)


def _add_column(draw: st.DrawFn, entry: dict[str, Any]) -> None:
    name = draw(st.sampled_from(["query", "system", "tools", "history", "kto_tag", "response"]))
    key = draw(st.sampled_from(["input", "system", "missing", "output", None]))
    columns = entry.get("columns")
    entry["columns"] = {**(columns if isinstance(columns, dict) else {}), name: key}


def _part(draw: st.DrawFn, entry: dict[str, Any]) -> None:
    entry[draw(st.sampled_from(["columns", "tags"]))] = draw(st.sampled_from([None, [], {}, "x"]))


ENTRIES = [_formatting, _format, _ranking, _drop_part, _no_part, _add_column, _part]
STAGES = st.sampled_from(["pt", "sft", "rm", "dpo", "kto"])
