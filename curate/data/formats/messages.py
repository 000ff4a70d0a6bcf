"""Lists of messages, each with a role and a text, under one of a few names: ShareGPT and OpenAI.

OpenAI's messages with tool calls, parts or a developer are emitted as sharegpt: LLaMA-Factory's own
converter for them adds "detailed thinking off" to every system prompt.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from curate.data.formats import ITEMS, LISTS, Format, kto_column, mostly
from curate.data.formats.named import tools_as_text
from curate.data.schema import CANONICAL_TAGS, MEDIA, Converted, Shape

_BESIDE: Mapping[str, str] = {column: column for column in ("system", "tools", *MEDIA)}
_LISTS = ("conversations", "conversation", "messages", "dialog")
_PAIRS = (("from", "value"), ("role", "content"))
# No word stands for two roles, so tags that are guessed never collide with tags that were seen.
_WORDS = {
    "user": ("human", "user"),
    "assistant": ("gpt", "assistant", "bot"),
    "observation": ("observation", "tool"),
    "function": ("function_call", "function"),
    "system": ("system",),
}
_WITH_USER = {"user": "user", "assistant": "assistant", "observation": "tool"}
TAGS = {
    **CANONICAL_TAGS,
    "role_tag": "role",
    "content_tag": "content",
    **{f"{role}_tag": word for role, word in _WITH_USER.items()},
}
# Between the results of calls made at once, as LLaMA-Factory 0.9.5 puts them into one message.
_NEXT_RESULT = "\n</tool_response>\n<tool_response>\n"
_LEFT_OUT = "text beside tool calls left out"
_JOINED = "results of tool calls made at once joined"


def detect(samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if most rows have a list of messages with a role that is known."""
    layouts = Counter(layout for row in samples for layout in _layouts(row))
    if not layouts:
        return None
    (key, role_tag, content_tag), having = layouts.most_common(1)[0]
    words = Counter(
        message[role_tag]
        for row in samples
        for message in (row[key] if isinstance(row.get(key), list) else [])
        if isinstance(message, dict) and isinstance(message.get(role_tag), str)
    )
    known = any(words[word] for role_words in _WORDS.values() for word in role_words)
    if 2 * having < len(samples) or not known:
        return None
    ranking = mostly(samples, "chosen", "rejected")
    pair = {"chosen": "chosen", "rejected": "rejected"} if ranking else {}
    tags = {"role_tag": role_tag, "content_tag": content_tag, **_tags(words)}
    shape = Shape("sharegpt", "sharegpt", {"messages": key}, tags, ranking)
    keys = {key for row in samples for key in row}
    return shape.with_columns({**pair, **kto_column(samples), **_BESIDE}, keys)


def detect_openai(samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if some row has what only OpenAI's messages have."""
    shape = detect(samples)
    if shape is None or shape.tags["role_tag"] != "role":
        return None
    if not any(are_openai(row.get(shape.columns["messages"])) for row in samples):
        return None
    return replace(shape, format="openai", tags=dict(TAGS))


def _layouts(row: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return every (key of the list, key of the role, key of the text) that the row has."""
    return [
        (key, *pair)
        for key in _LISTS
        if isinstance(row.get(key), list) and row[key] and isinstance(row[key][0], dict)
        for pair in _PAIRS
        if all(name in row[key][0] for name in pair)
    ]


def _tags(words: Counter[str]) -> dict[str, str]:
    """Return the word for each role: the most frequent one seen, else the one of its family."""
    tags = {role: max(known, key=lambda word: words[word]) for role, known in _WORDS.items()}
    if tags["user"] == "user":
        tags |= {role: word for role, word in _WITH_USER.items() if not words[tags[role]]}
    return {f"{role}_tag": word for role, word in tags.items()}


def convert(value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row with what LLaMA-Factory takes only as a message, or only as a text.

    It takes a preference pair of texts for plain SFT and then drops the row, without a word of it;
    it does not see OpenAI's tool calls; and it wants descriptions of tools as text.
    """
    with_tools = tools_as_text(value, shape)
    row, changes = with_tools.row, list(with_tools.changes)
    key = shape.columns["messages"]
    if shape.tags["role_tag"] == "role" and are_openai(row.get(key)):
        messages, changed = flat(row[key], shape.tags)
        row = row | {key: messages}
        changes += changed
    if responses := _responses_as_messages(row, shape):
        row = row | responses
        changes.append("responses to compare made messages")
    return Converted(row, tuple(changes))


def _responses_as_messages(value: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """Return as messages those of two responses that are texts or lists."""
    if not shape.ranking:
        return {}
    tags, asked = shape.tags, value.get(shape.columns["messages"])
    messages = {}
    for key in (shape.columns["chosen"], shape.columns["rejected"]):
        response = value.get(key)
        if isinstance(response, str):
            role = {tags["role_tag"]: tags["assistant_tag"]}
            messages[key] = {**role, tags["content_tag"]: response}
        elif isinstance(response, list) and response and response[:-1] in ([], asked):
            # A list of one message, or all messages and the response.
            messages |= {key: response[-1]} if isinstance(response[-1], dict) else {}
    return messages


def are_openai(messages: Any) -> bool:
    """Tell whether messages have what only OpenAI's have: tool calls, parts, a developer."""
    return isinstance(messages, list) and any(
        bool(
            message.get("tool_calls")
            or message.get("function_call")
            or isinstance(message.get("content"), list)
            or message.get("role") == "developer"
        )
        for message in messages
        if isinstance(message, dict)
    )


def flat(
    messages: list[Any], tags: Mapping[str, str] = TAGS
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return OpenAI's messages as a role and a text each, and what was changed worth telling.

    A call becomes a text of its own role, `{"name": …, "arguments": {…}}`, several at once a list
    of them; results become observations. What cannot be understood stays as it is.
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
    functions = [message.get("function_call")]
    if isinstance(tool_calls, list) and tool_calls:
        functions = [
            call.get("function") if isinstance(call, dict) else None for call in tool_calls
        ]
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


FORMATS = (
    Format(
        name="sharegpt",
        keys="conversations, conversation, messages or dialog: a list of {from, value} or "
        "{role, content}",
        rank=LISTS,
        detect=detect,
        convert=convert,
        optional=_BESIDE,
    ),
    Format(
        name="openai",
        keys="messages: a list of {role, content} with tool_calls, parts or a developer",
        rank=ITEMS,
        detect=detect_openai,
        convert=convert,
        optional=_BESIDE,
        title="OpenAI messages",
    ),
)
