"""Lists of messages, each with a role and a text, under one of a few names: ShareGPT and OpenAI.

OpenAI's messages with tool calls, parts or a developer are emitted as sharegpt: LLaMA-Factory's own
converter for them adds "detailed thinking off" to every system prompt. So are messages with a
thought beside the text, and LLaMA-Factory's own newer ones, whose parts have a type and a value.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from curate.data.formats import ITEMS, LISTS, Format, keys_of, kto_column, mostly
from curate.data.formats.named import beside, tools_as_text
from curate.data.row_keys import (
    TOOLS_AS_TEXT,
    holds_text,
    is_about,
    is_thought,
    with_thought,
)
from curate.data.schema import CANONICAL_TAGS, MEDIA, Converted, Shape

_BESIDE: Mapping[str, str] = {column: column for column in ("system", "tools", *MEDIA)}
_LISTS = ("conversations", "conversation", "messages", "dialog", "dialogue", "chat", "items")
# Lists of messages that are a part of the dialogue.
_PARTIAL = ("chosen", "rejected", "prompt", "completion", "history")
_PAIRS = (
    *(("from", "value"), ("role", "content"), ("role", "value"), ("from", "content")),
    *(("role", "text"), ("from", "text")),
)
# No word stands for two roles, so tags that are guessed never collide with tags that were seen.
_WORDS = {
    "user": ("human", "user", "prompter", "用户"),
    "assistant": ("gpt", "assistant", "bot", "model", "助手"),
    "observation": ("observation", "tool"),
    "function": ("function_call", "function"),
    "system": ("system",),
}
_ROLES = {word: role for role, words in _WORDS.items() for word in words}
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
_THOUGHT = "thoughts put before their answers"
_WEIGHT = "weight 0 on an answer, which LLaMA-Factory learns all the same"
_WEIGHTS = ("weight", "loss_weight", "train", "trainable")
_WHOLE_THOUGHT = re.compile(r"\s*<think>.*</think>\s*", re.DOTALL)
_MARKS = {"image": "<image>", "video": "<video>", "audio": "<audio>"}


def detect(samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if most rows have a list of messages with a role that is known."""
    layouts = Counter(layout for row in samples for layout in message_keys(row))
    if not layouts:
        return None
    (key, role_tag, content_tag), having = layouts.most_common(1)[0]
    words = Counter(
        message[role_tag]
        for row in samples
        for message in (row[key] if isinstance(row.get(key), list) else [])
        if isinstance(message, dict) and isinstance(message.get(role_tag), str)
    )
    if 2 * having < len(samples) or not any(word.lower() in _ROLES for word in words):
        return None
    ranking = mostly(samples, "chosen", "rejected")
    verdict = {} if ranking else kto_column(samples)
    columns = {"chosen": "chosen", "rejected": "rejected"} if ranking else {}
    columns |= {**verdict, **beside(_BESIDE, keys_of(samples)), "messages": key}
    tags = {"role_tag": role_tag, "content_tag": content_tag, **tags_of(words)}
    return Shape("sharegpt", "sharegpt", columns, tags, ranking)


def detect_openai(samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if some row has what only OpenAI's messages have."""
    shape = detect(samples)
    if shape is None or shape.tags["role_tag"] != "role":
        return None
    if not any(are_openai(row.get(shape.columns["messages"])) for row in samples):
        return None
    return replace(shape, format="openai", tags=dict(TAGS))


def message_keys(row: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the (key of the list, key of the role, key of the text) that the row has."""
    lists = {
        key: value[0]
        for key, value in row.items()
        if isinstance(value, list) and value and isinstance(value[0], dict)
    }
    for usual in (_LISTS, [key for key in lists if key not in _PARTIAL]):
        layouts = [
            (key, *pair)
            for key in usual
            for pair in _PAIRS
            if key in lists and all(name in lists[key] for name in pair)
        ]
        if layouts:
            return layouts
    return []


def tags_of(words: Counter[str]) -> dict[str, str]:
    """Return the word for each role: the most frequent one seen, else the one of its family."""
    tags: dict[str, str] = {}
    for word, _ in words.most_common():
        if role := _ROLES.get(word.lower()):
            tags.setdefault(role, word)
    family = _WITH_USER if tags.get("user", "").lower() == "user" else {}
    usual = {role: family.get(role, known[0]) for role, known in _WORDS.items()}
    return {f"{role}_tag": word for role, word in {**usual, **tags}.items()}


def convert(value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row with what LLaMA-Factory takes only as a message, or only as a text.

    It takes a preference pair of texts for plain SFT and then drops the row, without a word of it;
    it does not see OpenAI's tool calls, thoughts beside a text or weights; and it wants
    descriptions of tools as text.
    """
    row, flaw = value, ""
    changes: list[str] = []
    unused: list[str] = []
    key = shape.columns["messages"]
    messages = row.get(key)
    if isinstance(messages, list) and not are_plain(messages, shape.tags):
        unused = _unused(messages, shape.tags)
        flaw = _unlearnt(messages, shape.tags)
        more, texts, changes = _flat_row(row, messages, shape.tags)
        row = row | more if _same(texts, messages, shape.tags) else row | more | {key: texts}
        if flaw == _WEIGHT:
            changes.append(flaw)
            flaw = ""
    with_tools = tools_as_text(row, shape)
    row, changes = with_tools.row, [*changes, *with_tools.changes]
    if responses := _responses_as_messages(row, shape):
        row = row | responses
        changes.append("responses to compare made messages")
    return Converted(row, tuple(dict.fromkeys(changes)), flaw, tuple(unused))


def _same(texts: list[Any], messages: list[Any], tags: Mapping[str, str]) -> bool:
    """Tell whether flat messages say no more than those they were made from."""
    keys = (tags["role_tag"], tags["content_tag"])
    return texts is messages or (
        len(texts) == len(messages)
        and all(
            text[key] == message.get(key)
            for text, message in zip(texts, messages, strict=True)
            for key in keys
        )
    )


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
        answer = messages.get(key, response)
        if isinstance(answer, dict) and not are_plain([answer], tags):
            messages |= {key: flat([answer], tags)[0][0]}
    return messages


def are_plain(messages: list[Any], tags: Mapping[str, str]) -> bool:
    """Tell whether messages hold nothing but a role and a text each."""
    role_tag, content_tag = tags["role_tag"], tags["content_tag"]
    for message in messages:
        if not isinstance(message, dict):
            return True  # nothing that could be understood
        if len(message) > 2 or not isinstance(message.get(content_tag), str | None):
            return False
        if content_tag not in message or message.get(role_tag) == "developer":
            return False
    return True


def _unused(messages: list[Any], tags: Mapping[str, str]) -> list[str]:
    """Return the keys of messages that hold text which is not used."""
    used = {tags["role_tag"], tags["content_tag"], "tool_calls", "function_call", "tools"}
    return sorted(
        {
            f"{key} of a message"
            for message in messages
            for key, value in message.items()
            if key not in used and not is_thought(key) and not is_about(key) and holds_text(value)
        }
        if all(isinstance(message, dict) for message in messages)
        else ()
    )


def _unlearnt(messages: list[Any], tags: Mapping[str, str]) -> str:
    """Return the flaw if no answer is to be learnt, the change if some are not."""
    answers = (tags["assistant_tag"], tags["function_tag"])
    weights = [
        not any(str(message.get(key)).lower() in ("0", "0.0", "false") for key in _WEIGHTS)
        for message in messages
        if isinstance(message, dict) and message.get(tags["role_tag"]) in answers
    ]
    if all(weights):
        return ""
    return _WEIGHT if any(weights) else "weight_0"


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


def _flat_row(
    row: dict[str, Any], messages: list[Any], tags: Mapping[str, str]
) -> tuple[dict[str, Any], list[Any], list[str]]:
    """Return what messages have for the row beside them, the messages flat, and the changes."""
    more: dict[str, Any] = {}
    changes: list[str] = []
    dicts = [message for message in messages if isinstance(message, dict)]
    tools = next((m["tools"] for m in dicts if m.get("tools")), None)
    if tools and not row.get("tools"):
        more["tools"] = tools if isinstance(tools, str) else json.dumps(tools, ensure_ascii=False)
        changes.append(TOOLS_AS_TEXT)
    for medium in MEDIA:
        places = [
            place
            for message in dicts
            if isinstance(parts := message.get(tags["content_tag"]), list)
            for part in parts
            if message.get(tags["role_tag"]) != tags["assistant_tag"]
            and (place := _place(part, medium[:-1]))
        ]
        if places and not row.get(medium):
            more[medium] = places
            changes.append(f"{medium} of parts put beside the messages")
    texts, said = flat(messages, tags)
    return more, texts, [*changes, *said]


def flat(
    messages: list[Any], tags: Mapping[str, str] = TAGS
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return OpenAI's messages as a role and a text each, and what was changed worth telling.

    A call becomes a text of its own role, `{"name": …, "arguments": {…}}`, several at once a list
    of them; results become observations; a thought goes before its answer or call. What cannot be
    understood stays as it is.
    """
    role_tag, content_tag = tags["role_tag"], tags["content_tag"]
    texts: list[dict[str, Any]] = []
    changes: dict[str, None] = {}
    after_result = False
    for message in messages:
        if not isinstance(message, dict):
            return messages, []
        role, content = message.get(role_tag), message.get(content_tag)
        thought = next((m for k, m in message.items() if is_thought(k) and holds_text(m)), "")
        calls = _calls(message)
        if isinstance(content, list):
            thought = thought or _joined(content, "reasoning", "thinking")
            calls = calls or _calls_of_parts(content)
            content = (
                content if role == tags["assistant_tag"] and _media(content) else _text(content)
            )
        is_result = role in ("tool", tags["observation_tag"]) or (
            role == "function" and tags["function_tag"] != role and not calls
        )
        if is_result and after_result and isinstance(content, str):
            before = texts[-1]
            if isinstance(before[content_tag], str):
                before[content_tag] += _NEXT_RESULT + content
                changes[_JOINED] = None
                continue
        if calls is not None:
            if isinstance(content, str) and _WHOLE_THOUGHT.fullmatch(content):
                calls = content.strip() + "\n\n" + calls
            elif isinstance(content, str) and content.strip():
                changes[_LEFT_OUT] = None
            role, content = tags["function_tag"], calls
        elif is_result:
            role = tags["observation_tag"]
        elif role == "developer":
            role = tags["system_tag"]
        if isinstance(thought, str) and isinstance(content, str) and content.strip():
            framed = with_thought(thought, content)
            if framed != content:
                content, changes[_THOUGHT] = framed, None
        texts.append({role_tag: role, content_tag: content})
        after_result = is_result
    return texts, list(changes)


def _place(part: Any, medium: str) -> str:
    """Return where the picture, video or sound of a part lies, '' where it is none."""
    if not isinstance(part, dict) or not str(part.get("type", "")).startswith(medium):
        return ""
    place = part.get("value") or part.get(f"{medium}_url") or part.get(medium)
    place = place.get("url") if isinstance(place, dict) else place
    return place if isinstance(place, str) else ""


def _media(parts: list[Any]) -> bool:
    return any(_place(part, name) for part in parts for name in _MARKS)


def _text(parts: list[Any]) -> Any:
    """Return parts of texts and media as one text, anything else as it is."""
    texts: list[str] = []
    after_text = False
    for part in parts:
        kind = part.get("type", "text") if isinstance(part, dict) else "text"
        if kind in ("reasoning", "thinking", "tool_call"):
            continue
        mark = next((m for name, m in _MARKS.items() if _place(part, name)), "")
        text = part.get("text", part.get("value")) if isinstance(part, dict) else part
        if not isinstance(mark or text, str):
            return parts
        texts.append(("\n" if after_text and not mark else "") + str(mark or text))
        after_text = not mark
    return "".join(texts)


def _joined(parts: list[Any], *kinds: str) -> str:
    """Return the texts of some kinds of parts."""
    dicts = [part for part in parts if isinstance(part, dict) and part.get("type") in kinds]
    texts = [part.get("value", part.get("text", part.get(part["type"]))) for part in dicts]
    return "\n".join(text for text in texts if isinstance(text, str))


def _calls_of_parts(parts: list[Any]) -> str | None:
    """Return the calls among parts as `_calls` does those beside a text."""
    texts = [p.get("value") for p in parts if isinstance(p, dict) and p.get("type") == "tool_call"]
    calls = [_arguments(text) for text in texts]
    if not calls or not all(isinstance(call, dict) and "name" in call for call in calls):
        return None
    return json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)


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
        listed="conversations",
    ),
    Format(
        name="openai",
        keys="messages: a list of {role, content} with tool_calls, parts or a developer",
        rank=ITEMS,
        detect=detect_openai,
        convert=convert,
        optional=_BESIDE,
        title="OpenAI messages",
        listed="conversations",
    ),
)
