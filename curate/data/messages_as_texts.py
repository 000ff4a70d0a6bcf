"""Messages of a role and a text each, out of messages with calls, parts, thoughts and results.

LLaMA-Factory takes a call as a text of its own role, `{"name": …, "arguments": {…}}`, several at
once as a list of them, a thought before its answer or call, and pictures beside the messages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from curate.data.json_values import read_text
from curate.data.row_keys import TOOLS_AS_TEXT, holds_text, is_thought, texts_in, with_thought

# Between the results of calls made at once, as LLaMA-Factory 0.9.5 puts them into one message.
_NEXT_RESULT = "\n</tool_response>\n<tool_response>\n"
_LEFT_OUT = "text beside tool calls left out"
_JOINED = "results of tool calls made at once joined"
_THOUGHT = "thoughts put before their answers"
_WHOLE_THOUGHT = re.compile(r"\s*<think>.*</think>\s*", re.DOTALL)
_MARKS = {"image": "<image>", "video": "<video>", "audio": "<audio>"}
_THINKING = ("reasoning", "thinking", "reasoning.text")
THINKERS = ("reasoning", "thinking", "thought", "think", "analysis")  # roles and channels
_ARGUMENTS = ("arguments", "args", "parameters", "input")
_CALLS = ("tool_call", "tool_use")


def beside_messages(
    row: dict[str, Any], messages: list[Any], tags: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Return what messages have for the row beside them, and what was changed worth telling."""
    more: dict[str, Any] = {}
    changes: list[str] = []
    dicts = [message for message in messages if isinstance(message, dict)]
    tools = next((m["tools"] for m in dicts if m.get("tools")), None)
    if tools and not row.get("tools"):
        more["tools"] = tools if isinstance(tools, str) else json.dumps(tools, ensure_ascii=False)
        changes.append(TOOLS_AS_TEXT)
    asked = [m for m in dicts if m.get(tags["role_tag"]) != tags["assistant_tag"]]
    parts = [part for m in asked for part in _dicts(m.get(tags["content_tag"]))]
    for medium in _MARKS:
        places = [place for part in parts if (place := _place(part, medium))]
        if places and not row.get(f"{medium}s"):
            more[f"{medium}s"] = places
            changes.append(f"{medium}s of parts put beside the messages")
    return more, changes


def as_texts(
    messages: list[Any], tags: Mapping[str, str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return messages as a role and a text each, and what was changed worth telling."""
    role_tag, content_tag = tags["role_tag"], tags["content_tag"]
    texts: list[dict[str, Any]] = []
    changes: dict[str, None] = {}
    after_result, thoughts_before = False, ""
    for message in _with_results_apart(messages, tags):
        if not isinstance(message, dict):
            return messages, []
        role, content = message.get(role_tag), message.get(content_tag)
        content = [content] if isinstance(content, dict) else content
        if isinstance(content, str) and (role in THINKERS or message.get("channel") in THINKERS):
            thoughts_before += content
            continue
        thought = next((m for k, m in message.items() if is_thought(k) and holds_text(m)), "")
        if thoughts_before and role not in (tags["assistant_tag"], tags["function_tag"]):
            return messages, []  # nobody's thought
        parts = [part for part in texts_in(thought) if isinstance(part, str)]
        thought = "\n".join(parts) or thoughts_before
        thoughts_before = ""
        calls = _calls(message, content)
        if isinstance(content, list):
            thoughts = [part for part in _dicts(content) if part.get("type") in _THINKING]
            thought_texts = [p.get("value", p.get("text", p.get(p["type"]))) for p in thoughts]
            thought = thought or "\n".join(text for text in thought_texts if isinstance(text, str))
            if role != tags["assistant_tag"] or not any(map(_mark, _dicts(content))):
                content = _text(content)
        is_result = role in ("tool", tags["observation_tag"]) or (
            role == "function" and tags["function_tag"] != role and not calls
        )
        is_data = isinstance(content, list) and not any("type" in p for p in _dicts(content))
        if is_result and is_data:  # an object or list of values, no parts of text
            content = json.dumps(message[content_tag], ensure_ascii=False)
        if is_result and after_result and isinstance(content, str):
            before = texts[-1]
            if isinstance(before[content_tag], str):
                before[content_tag] += _NEXT_RESULT + content
                changes[_JOINED] = None
                continue
        if calls:
            if isinstance(content, str) and _WHOLE_THOUGHT.fullmatch(content):
                calls = content.strip() + "\n\n" + calls
            elif isinstance(content, str) and content.strip():
                changes[_LEFT_OUT] = None
            role, content = tags["function_tag"], calls
        elif is_result:
            role = tags["observation_tag"]
        elif role == "developer":
            role = tags["system_tag"]
        if isinstance(content, str) and content.strip():
            framed = with_thought(thought, content)
            if framed != content:
                content, changes[_THOUGHT] = framed, None
        texts.append({role_tag: role, content_tag: content})
        after_result = is_result
    return (messages, []) if thoughts_before else (texts, list(changes))


def _dicts(parts: Any) -> Iterator[dict[str, Any]]:
    if isinstance(parts, list):
        yield from (part for part in parts if isinstance(part, dict))


def _place(part: dict[str, Any], medium: str) -> str:
    if not str(part.get("type", "")).startswith(medium):
        return ""
    place = part.get("value") or part.get(f"{medium}_url") or part.get(medium)
    place = place.get("url") if isinstance(place, dict) else place
    return place if isinstance(place, str) else ""


def _mark(part: dict[str, Any]) -> str:
    return next((mark for medium, mark in _MARKS.items() if _place(part, medium)), "")


def _text(parts: list[Any]) -> Any:
    """Return parts of texts and media as one text, anything else as it is."""
    texts: list[str] = []
    after_text = False
    for item in parts:
        part = item if isinstance(item, dict) else {"text": item}
        if part.get("type", "text") in (*_THINKING, *_CALLS):
            continue
        mark = _mark(part)
        text = mark or part.get("text", part.get("value"))
        if not isinstance(text, str):
            return parts
        texts.append(("\n" if after_text and not mark else "") + text)
        after_text = not mark
    return "".join(texts)


def _calls(message: dict[str, Any], content: Any) -> str:
    """Return the calls of a message, beside its text or among its parts, as text."""
    functions = read_text(message.get("tool_calls")) or [message.get("function_call")]
    if not isinstance(functions, list):
        return ""
    if not functions[0]:
        parts = [part for part in _dicts(content) if part.get("type") in _CALLS]
        functions = [read_text(part.get("value", part)) for part in parts]
    functions = [f.get("function", f) if isinstance(f, dict) else None for f in functions]
    calls = [
        {"name": function["name"], "arguments": _arguments(function)}
        for function in functions
        if isinstance(function, dict) and isinstance(function.get("name"), str)
    ]
    if not calls or len(calls) < len(functions):
        return ""
    return json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)


def _arguments(function: dict[str, Any]) -> Any:
    value = next((function[key] for key in _ARGUMENTS if key in function), None)
    return {} if value is None else read_text(value)


def _with_results_apart(messages: list[Any], tags: Mapping[str, str]) -> Iterator[Any]:
    """Yield messages; results of tools among the parts of one, as Anthropic has them, before it."""
    content_tag = tags["content_tag"]
    for message in messages:
        parts = message.get(content_tag) if isinstance(message, dict) else None
        results = [part for part in _dicts(parts) if part.get("type") == "tool_result"]
        for part in results:
            yield {tags["role_tag"]: tags["observation_tag"], content_tag: part.get("content", "")}
        rest = [part for part in parts or () if part not in results] if results else []
        if rest or not results:
            yield message | {content_tag: rest} if results else message
