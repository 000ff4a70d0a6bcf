"""From a loaded row to messages, as LLaMA-Factory's openai converter does it."""

from __future__ import annotations

import json
from typing import Any

from curate.llamafactory.doctor.attributes import Attributes
from curate.llamafactory.doctor.converting import (
    SIDES,
    Made,
    Message,
    beside,
    finished,
    message,
    opened,
    part,
    roles_of,
)
from curate.llamafactory.doctor.rules import Ends

# What the converter adds to the system prompt of every row that has no tools.
ADDED = "detailed thinking off"
_EITHER = ("detailed thinking on", ADDED)
_BETWEEN = "\n</tool_response>\n<tool_response>\n"


def openai(value: dict[str, Any], attr: Attributes) -> Made:
    """Return what a row becomes under `formatting: openai`."""
    system, said = opened(value, attr)
    aligned, left_over = _aligned(said, attr)
    made = finished(value, attr, aligned, _order(aligned), bool(said))
    if left_over:
        made.losses.append("observation_at_end")
    key = attr.columns["tools"]
    tools = value.get(key, "") if key else ""
    made.tools = json.dumps(tools, ensure_ascii=False) if isinstance(tools, dict | list) else tools
    made.system = _system(system, made)
    if any([beside(value, attr, column) for column in ("images", "videos", "audios")]):
        made.losses.append("media")
    return made


def _order(aligned: list[Message]) -> str:
    for place, each in enumerate(aligned):
        if each["role"] not in SIDES[place % 2]:
            answers = place == 0 and each["role"] in SIDES[1]
            return "gpt_first" if answers else "wrong_turn_order"
    return ""


def _aligned(said: list[Any], attr: Attributes) -> tuple[list[Message], bool]:
    """Return the messages with LLaMA-Factory's roles, and whether tool answers are left over."""
    tags, roles = attr.tags, roles_of(attr)
    aligned: list[Message] = []
    results: list[Any] = []
    for each in said:
        word, content = part(each, tags["role_tag"]), part(each, tags["content_tag"])
        if word in (tags["assistant_tag"], tags["function_tag"]) and each.get("tool_calls"):
            content, word = _calls(each["tool_calls"]), tags["function_tag"]
        if word == tags["observation_tag"]:
            results.append(content)
            continue
        if results:
            aligned.append(message("observation", _joined(results)))
            results = []
        if not isinstance(word, str | None) or word not in roles:
            raise Ends("unknown_role_stops", f"KeyError: {word!r}")
        aligned.append(message(roles[word], content))
    return aligned, bool(results)


def _calls(calls: Any) -> str:
    try:
        return json.dumps([each["function"] for each in calls], ensure_ascii=False)
    except (KeyError, TypeError) as problem:
        raise Ends("call_not_json", f"{type(problem).__name__}: {problem}") from None


def _joined(results: list[Any]) -> str:
    if not all(isinstance(each, str) for each in results):
        raise Ends("not_text", "TypeError: sequence item: expected str instance")
    return _BETWEEN.join(results)


def _system(system: Any, made: Made) -> Any:
    """Return the system prompt with what the converter adds; that is noted as a loss."""
    if not system:
        if not made.tools:
            made.losses.append("openai_system_prompt")
            return ADDED
        return system
    if not isinstance(system, str):
        raise Ends("system_not_text", f"TypeError: the system prompt is {type(system).__name__}")
    if made.tools:
        return system + "\n"
    if any(each in system for each in _EITHER):
        return system
    made.losses.append("openai_system_prompt")
    return f"{system}\n{ADDED}"
