"""OpenAI's messages, as LLaMA-Factory's sharegpt converter takes them.

Its own converter for them is not used: it adds "detailed thinking off" to every system prompt.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from curate.data.schema import CANONICAL_TAGS

TAGS = {
    **CANONICAL_TAGS,
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
}
# Between the results of calls made at once, as LLaMA-Factory 0.9.5 puts them into one message.
_NEXT_RESULT = "\n</tool_response>\n<tool_response>\n"
_LEFT_OUT = "text beside tool calls left out"
_JOINED = "results of tool calls made at once joined"


def are_openai(messages: Any) -> bool:
    """Tell whether messages have what only OpenAI's have: tool calls, parts, a developer."""
    return isinstance(messages, list) and any(
        isinstance(each, dict)
        and bool(
            each.get("tool_calls")
            or each.get("function_call")
            or isinstance(each.get("content"), list)
            or each.get("role") == "developer"
        )
        for each in messages
    )


def flat(
    messages: list[Any], tags: Mapping[str, str] = TAGS
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return messages of a role and a text each, and what was changed that is worth telling.

    A call becomes a text of its own role, `{"name": …, "arguments": {…}}`, several at once a list
    of them; results become observations. What cannot be understood stays as it is.

    Example:
        >>> flat([{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}])
        ([{'role': 'system', 'content': 'Be brief.'}], [])
    """
    role_tag, content_tag = tags["role_tag"], tags["content_tag"]
    made: list[dict[str, Any]] = []
    changes: dict[str, None] = {}
    results = False
    for message in messages:
        if not isinstance(message, dict):
            return messages, []
        result = message.get("role") == "tool" or (
            message.get("role") == "function" and not message.get("function_call")
        )
        content = _text(message.get("content"))
        called = _called(message)
        if result and results and isinstance(content, str) and _is_text(made[-1][content_tag]):
            made[-1][content_tag] += _NEXT_RESULT + content
            changes[_JOINED] = None
            continue
        if called is not None and isinstance(content, str) and content.strip():
            changes[_LEFT_OUT] = None
        role = _role(message.get("role"), result, called is not None, tags)
        made.append({role_tag: role, content_tag: content if called is None else called})
        results = result
    return made, list(changes)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _role(given: Any, result: bool, call: bool, tags: Mapping[str, str]) -> Any:
    if call:
        return tags["function_tag"]
    if result:
        return tags["observation_tag"]
    return tags["system_tag"] if given == "developer" else given


def _text(content: Any) -> Any:
    """Return parts that are all of text as one text, anything else as it is."""
    if not isinstance(content, list):
        return content
    parts = [part.get("text") if isinstance(part, dict) else part for part in content]
    return "\n".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else content


def _called(message: dict[str, Any]) -> str | None:
    """Return the calls of a message as text, None if it has none that can be understood."""
    given = message.get("tool_calls")
    if isinstance(given, list) and given:
        functions = [each.get("function") if isinstance(each, dict) else None for each in given]
    else:
        functions = [message.get("function_call")]
    calls = [
        {"name": each["name"], "arguments": _arguments(each.get("arguments"))}
        for each in functions
        if isinstance(each, dict) and isinstance(each.get("name"), str)
    ]
    if not calls or len(calls) < len(functions):
        return None
    return json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)


def _arguments(given: Any) -> Any:
    """Return arguments as JSON; OpenAI has them as a text that holds JSON."""
    if not isinstance(given, str):
        return {} if given is None else given
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        return given
