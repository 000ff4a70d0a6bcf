"""What the stage makes of a converted row: usable, dropped, or the end of the run."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from curate.llamafactory.doctor.converting import CONVERTERS, Made, Message
from curate.llamafactory.doctor.entry import COLUMNS, STAGES, Attributes
from curate.llamafactory.doctor.rules import Ends

_OF_ALPACA = {"prompt", "query", "response", "history"}
# Columns that a converter does not look at.
_UNUSED = {"alpaca": {"messages"}, "sharegpt": _OF_ALPACA, "openai": _OF_ALPACA}
_CALL = re.compile("<tool_call>(.*?)</tool_call>", re.DOTALL)
_THOUGHT = re.compile("<think>\n(.*?)\n</think>\n\n", re.DOTALL)


@dataclass(frozen=True)
class Verdict:
    """What becomes of a row.

    Attributes:
        kind: `usable`, `dropped` or `raises`.
        rule: Why it is not usable.
        said: What LLaMA-Factory says itself.
        made: What the row became; None where that failed.
        losses: Rules of what is lost though the row is usable.
    """

    kind: Literal["usable", "dropped", "raises"]
    rule: str = ""
    said: str = ""
    made: Made | None = None
    losses: tuple[str, ...] = ()


def judge(value: dict[str, Any], attr: Attributes, stage: str) -> Verdict:
    """Return what becomes of one row.

    Example:
        >>> judge({"instruction": "a", "input": "", "output": None}, attributes({}), "sft").rule
        'response_not_text'
    """
    stage = STAGES[stage]
    try:
        if str(attr.formatting) not in CONVERTERS:
            raise Ends("unknown_formatting", f"ValueError: converter {attr.formatting} not found")
        made = CONVERTERS[attr.formatting](value, attr)
    except Ends as end:
        return Verdict("raises", end.rule, end.said)
    try:
        dropped = "" if stage == "pt" else _dropped(made, value, attr, stage)
        if dropped:
            return Verdict("dropped", dropped, made=made)
        _check_texts(made, stage)
    except Ends as end:
        return Verdict("raises", end.rule, end.said, made)
    losses = (*made.losses, *_lost(value, attr), *_losses(made, value, attr, stage))
    return Verdict("usable", made=made, losses=losses)


def _dropped(made: Made, value: dict[str, Any], attr: Attributes, stage: str) -> str:
    """Return why the processor of a stage leaves a row out, '' if it does not."""
    answers = len(made.response)
    if len(made.prompt) % 2 == 1 and (answers == 1 if stage == "sft" else answers >= 2):
        return ""
    if stage == "kto" and answers < 2 and made.rule in ("", "no_response"):
        given = _given(value, attr.columns["kto_tag"])
        return "no_verdict" if given is None else "string_kto_tag"
    if stage == "sft" and answers > 1 and not made.rule:
        return "verdict_in_sft" if attr.columns["kto_tag"] else "pair_in_sft"
    return made.rule or "not_a_pair"


def _given(value: dict[str, Any], key: Any) -> Any:
    return value.get(key) if key else None


def _check_texts(made: Made, stage: str) -> None:
    """Raise what the template raises."""
    if stage == "pt":
        if not made.prompt:
            why = f" ({made.rule})" if made.rule else ""
            raise Ends("pt_without_text", f"IndexError: list index out of range{why}")
        if not isinstance(made.prompt[0]["content"], str):
            raise Ends("not_text", "TypeError: unsupported operand type(s) for +")
        return
    for each in [*made.prompt, *trained(made, stage)]:
        _check_message(each)
    if made.tools:
        _check_tools(made.tools)
    if made.system and not isinstance(made.system, str):
        raise Ends("system_not_text", "TypeError: unsupported operand type(s) for +")


def trained(made: Made, stage: str) -> list[Message]:
    """Return the responses that a stage trains on."""
    if stage == "kto":
        return [made.response[0] if made.response[0]["content"] else made.response[1]]
    return made.response[:2]


def _check_message(each: Message) -> None:
    if each["role"] == "function":
        _check_call(each["content"])
    elif each["role"] == "system":
        raise Ends("unknown_role_stops", "NotImplementedError: Unexpected role: system")
    elif not isinstance(each["content"], str):
        raise Ends("not_text", f"RuntimeError: Expected a string, got {each['content']}"[:80])


def _check_call(content: Any) -> None:
    """Raise what reading a function call raises; thoughts may stand before it."""
    if not isinstance(content, str):
        raise Ends("not_text", "TypeError: expected string or bytes-like object")
    try:
        _, found = parts_of_call(content)
        for each in found if isinstance(found, list) else [found]:
            json.dumps([each["name"], each["arguments"]])
    except (ValueError, KeyError, TypeError, IndexError) as problem:
        raise Ends("call_not_json", f"{type(problem).__name__}: {problem}"[:80]) from None


def parts_of_call(content: str) -> tuple[str, Any]:
    """Return what stands beside a function call, and the call."""
    call = _CALL.search(content)
    if call:
        return content.replace(call[0], ""), json.loads(call[1])
    thought = _THOUGHT.search(content)
    if thought:
        return thought[0], json.loads(content.replace(thought[0], ""))
    return "", json.loads(content)


def _check_tools(tools: Any) -> None:
    if not isinstance(tools, str):
        raise Ends("tools_not_text", "TypeError: the JSON object must be str")
    try:
        described = json.loads(tools)
        if len(described):
            _describe(described)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise Ends("tools_not_described", f"{type(problem).__name__}: {problem}"[:80]) from None


def _describe(tools: Any) -> None:
    """Touch everything that a description of tools has to have, so that what is missing raises."""
    names = []
    for tool in tools:
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


def _lost(value: dict[str, Any], attr: Attributes) -> list[str]:
    """Return a rule for every column under its usual name that the entry does not read."""
    columns = attr.columns
    read = {key for column, key in columns.items() if column not in _UNUSED[attr.formatting]}
    usual = {column: COLUMNS[column] or column for column in COLUMNS}
    return [
        f"lost_{column}"
        for column, key in usual.items()
        if column not in _UNUSED[attr.formatting]
        and not columns[column]
        and key not in read
        and (value.get(key) or isinstance(value.get(key), bool))
    ]


def _losses(made: Made, value: dict[str, Any], attr: Attributes, stage: str) -> list[str]:
    if stage == "pt":
        more = len(made.prompt) > 1 or any(each["content"] for each in made.response)
        empty = not made.prompt[0]["content"].strip()
        return ["empty_prompt"] * empty + ["pt_first_message_only"] * bool(more or made.system)
    found = []
    if not made.prompt[-1]["content"].strip():
        found.append("empty_prompt")
    if (
        stage == "kto"
        and _given(value, attr.columns["kto_tag"])
        and not made.response[0]["content"]
    ):
        found.append("verdict_turned")
    elif any(not each["content"].strip() for each in trained(made, stage)):
        found.append("empty_response")
    verdict = _given(value, attr.columns["kto_tag"])
    if stage == "sft" and verdict is not None and not isinstance(verdict, bool):
        found.append("string_kto_tag_sft")
    return found
