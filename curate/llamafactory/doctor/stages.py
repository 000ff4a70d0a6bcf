"""What the stage makes of a converted row: usable, dropped, or the end of the run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from curate.llamafactory.doctor.converting import CONVERTERS, Made, Message
from curate.llamafactory.doctor.data_set import COLUMNS, Attributes, loader_stage
from curate.llamafactory.doctor.findings import Ends

_OF_ALPACA = {"prompt", "query", "response", "history"}
# Columns that a converter does not look at.
_UNUSED = {"alpaca": {"messages"}, "sharegpt": _OF_ALPACA, "openai": _OF_ALPACA}
_CALL = re.compile("<tool_call>(.*?)</tool_call>", re.DOTALL)
_THOUGHT = re.compile("<think>\n(.*?)\n</think>\n\n", re.DOTALL)


@dataclass(frozen=True)
class Verdict:
    """What becomes of a row."""

    kind: Literal["usable", "dropped", "raises"]
    rule: str = ""
    said: str = ""
    made: Made | None = None
    losses: tuple[str, ...] = ()


def judge(row: dict[str, Any], attr: Attributes, stage: str) -> Verdict:
    """Return what becomes of one row.

    Example:
        >>> judge({"instruction": "a", "input": "", "output": None}, attributes({}), "sft").rule
        'response_not_text'
    """
    stage = loader_stage(stage)
    try:
        if str(attr.formatting) not in CONVERTERS:
            raise Ends("unknown_formatting", f"ValueError: converter {attr.formatting} not found")
        made = CONVERTERS[attr.formatting](row, attr)
    except Ends as end:
        return Verdict("raises", end.rule, end.said)
    key = attr.columns["kto_tag"]
    tag = row.get(key) if isinstance(key, str) else None
    try:
        if stage != "pt" and (dropped := _dropped(made, stage, tag, bool(key))):
            return Verdict("dropped", dropped, made=made)
        _check_texts(made, stage)
    except Ends as end:
        return Verdict("raises", end.rule, end.said, made)
    losses = (*made.losses, *_lost_columns(row, attr), *_lost_texts(made, stage, tag))
    return Verdict("usable", made=made, losses=losses)


def trained(made: Made, stage: str) -> list[Message]:
    """Return the responses that a stage trains on."""
    if stage == "kto":
        return [made.response[0] if made.response[0]["content"] else made.response[1]]
    return made.response[:2]


def parts_of_call(content: str) -> tuple[str, Any]:
    """Return what stands beside a function call, and the call."""
    call = _CALL.search(content)
    if call:
        return content.replace(call[0], ""), json.loads(call[1])
    thought = _THOUGHT.search(content)
    if thought:
        return thought[0], json.loads(content.replace(thought[0], ""))
    return "", json.loads(content)


def _dropped(made: Made, stage: str, tag: Any, has_tag: bool) -> str:
    """Return why the processor of a stage leaves a row out, '' if it does not."""
    answers = len(made.response)
    if len(made.prompt) % 2 == 1 and (answers == 1 if stage == "sft" else answers >= 2):
        return ""
    if stage == "kto" and answers < 2 and made.rule in ("", "no_response"):
        return "no_verdict" if tag is None else "string_kto_tag"
    if stage == "sft" and answers > 1 and not made.rule:
        return "verdict_in_sft" if has_tag else "pair_in_sft"
    return made.rule or "not_a_pair"


def _check_texts(made: Made, stage: str) -> None:
    """Raise what the template raises."""
    if stage == "pt":
        if not made.prompt:
            why = f" ({made.rule})" if made.rule else ""
            raise Ends("pt_without_text", f"IndexError: list index out of range{why}")
        if not isinstance(made.prompt[0]["content"], str):
            raise Ends("not_text", "TypeError: unsupported operand type(s) for +")
        return
    for message in [*made.prompt, *trained(made, stage)]:
        content = message["content"]
        if message["role"] == "system":
            raise Ends("unknown_role_stops", "NotImplementedError: Unexpected role: system")
        if not isinstance(content, str):
            raise Ends("not_text", f"RuntimeError: Expected a string, got {content}"[:80])
        if message["role"] == "function":
            _check_call(content)
    if made.tools:
        _check_tools(made.tools)
    if made.system and not isinstance(made.system, str):
        raise Ends("system_not_text", "TypeError: unsupported operand type(s) for +")


def _check_call(content: str) -> None:
    """Raise what reading a function call raises; thoughts may stand before it."""
    try:
        _, calls = parts_of_call(content)
        for call in calls if isinstance(calls, list) else [calls]:
            json.dumps([call["name"], call["arguments"]])
    except (ValueError, KeyError, TypeError, IndexError) as problem:
        raise Ends("call_not_json", f"{type(problem).__name__}: {problem}"[:80]) from None


def _check_tools(text: Any) -> None:
    """Touch everything that a description of tools has to have, so that what is missing raises."""
    if not isinstance(text, str):
        raise Ends("tools_not_text", "TypeError: the JSON object must be str")
    try:
        tools = json.loads(text)
        names = []
        for tool in tools if len(tools) else ():
            inner = tool.get("function", "") if tool.get("type") == "function" else tool
            parameters = inner["parameters"]
            for name, about in parameters["properties"].items():
                bool(name in parameters.get("required", []))
                ", ".join(about.get("enum", None) or ())
                if about.get("items", None):
                    about["items"].get("type", "")
                about.get("type", "")
            names.append(inner["name"])
            inner.get("description", "")
        ", ".join(names)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise Ends("tools_not_described", f"{type(problem).__name__}: {problem}"[:80]) from None


def _lost_columns(row: dict[str, Any], attr: Attributes) -> list[str]:
    """Return a rule for every column under its usual name that the entry does not read."""
    looked_at = [column for column in COLUMNS if column not in _UNUSED[attr.formatting]]
    read = {attr.columns[column] for column in looked_at}
    lost = []
    for column in looked_at:
        key = COLUMNS[column] or column
        there = row.get(key) or isinstance(row.get(key), bool)
        if there and not attr.columns[column] and key not in read:
            lost.append(f"lost_{column}")
    return lost


def _lost_texts(made: Made, stage: str, tag: Any) -> list[str]:
    losses = ["empty_prompt"] * (not made.prompt[0 if stage == "pt" else -1]["content"].strip())
    if stage == "pt":
        more = len(made.prompt) > 1 or any(each["content"] for each in made.response)
        return losses + ["pt_first_message_only"] * bool(more or made.system)
    if stage == "kto" and tag and not made.response[0]["content"]:
        losses.append("verdict_turned")
    elif any(not each["content"].strip() for each in trained(made, stage)):
        losses.append("empty_response")
    if stage == "sft" and tag is not None and not isinstance(tag, bool):
        losses.append("string_kto_tag_sft")
    return losses
