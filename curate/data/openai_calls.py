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
        isinstance(message, dict)
        and bool(
            message.get("tool_calls")
            or message.get("function_call")
            or isinstance(message.get("content"), list)
            or message.get("role") == "developer"
        )
        for message in messages
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
    texts: list[dict[str, Any]] = []
    changes: dict[str, None] = {}
    after_result = False
    for message in messages:
        if not isinstance(message, dict):
            return messages, []
        role, content = message.get("role"), _text(message.get("content"))
        calls = _calls(message)
        is_result = role == "tool" or (role == "function" and not message.get("function_call"))
        if is_result and after_result and isinstance(content, str):
            before = texts[-1]
            if isinstance(before[content_tag], str):
                before[content_tag] += _NEXT_RESULT + content
                changes[_JOINED] = None
                continue
        if calls is not None:
            if isinstance(content, str) and content.strip():
                changes[_LEFT_OUT] = None
            role, content = tags["function_tag"], calls
        elif is_result:
            role = tags["observation_tag"]
        elif role == "developer":
            role = tags["system_tag"]
        texts.append({role_tag: role, content_tag: content})
        after_result = is_result
    return texts, list(changes)


def _text(content: Any) -> Any:
    """Return parts that are all of text as one text, anything else as it is."""
    if not isinstance(content, list):
        return content
    parts = [part.get("text") if isinstance(part, dict) else part for part in content]
    return "\n".join(map(str, parts)) if all(isinstance(part, str) for part in parts) else content


def _calls(message: dict[str, Any]) -> str | None:
    """Return the calls of a message as text, None if it has none that can be understood."""
    tool_calls = message.get("tool_calls")
    if isinstance(tool_calls, list) and tool_calls:
        functions = [
            call.get("function") if isinstance(call, dict) else None for call in tool_calls
        ]
    else:
        functions = [message.get("function_call")]
    calls = [
        {"name": function["name"], "arguments": _arguments(function.get("arguments"))}
        for function in functions
        if isinstance(function, dict) and isinstance(function.get("name"), str)
    ]
    if not calls or len(calls) < len(functions):
        return None
    return json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)


def _arguments(value: Any) -> Any:
    """Return arguments as JSON; OpenAI has them as a text that holds JSON."""
    if not isinstance(value, str):
        return {} if value is None else value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
