"""Lists of messages, each with a role and a text, under one of a few names: ShareGPT and OpenAI.

OpenAI's messages with tool calls, parts or a developer are emitted as sharegpt: LLaMA-Factory's own
converter for them adds "detailed thinking off" to every system prompt. So are messages with a
thought beside the text, and LLaMA-Factory's own newer ones, whose parts have a type and a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from curate.data.formats import ITEMS, LISTS, Format, keys_of, kto_column, mostly
from curate.data.formats.named import beside, tools_as_text
from curate.data.messages_as_texts import THINKERS, as_texts, beside_messages
from curate.data.row_keys import ROLES, TEXTS, WHO, WORDS, holds_text, is_about, is_thought
from curate.data.schema import CANONICAL_TAGS, MEDIA, Converted, Shape

_BESIDE: Mapping[str, str] = {column: column for column in ("system", "tools", *MEDIA)}
_LISTS = (
    *("conversations", "conversation", "messages", "dialog", "dialogue", "chat", "items"),
    "contents",
)
# Lists of messages that are a part of the dialogue.
_PARTIAL = ("chosen", "rejected", "prompt", "completion", "history")
_PAIRS = tuple(
    dict.fromkeys(
        (
            *(("from", "value"), ("role", "content"), ("role", "value"), ("from", "content")),
            *((who, text) for who in WHO for text in TEXTS),
        )
    )
)
_WITH_USER = {"user": "user", "assistant": "assistant", "observation": "tool"}
TAGS = {
    **CANONICAL_TAGS,
    "role_tag": "role",
    "content_tag": "content",
    **{f"{role}_tag": word for role, word in _WITH_USER.items()},
}
_WORDED = "who speaks written in the same words everywhere"
_WEIGHT = "weight 0 on an answer, which LLaMA-Factory learns all the same"
_WEIGHTS = ("weight", "loss_weight", "train", "trainable")


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
    if 2 * having < len(samples) or not any(word.lower() in ROLES for word in words):
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
        if role := ROLES.get(word.lower()):
            tags.setdefault(role, word)
    family = _WITH_USER if tags.get("user", "").lower() == "user" else {}
    usual = {role: family.get(role, known[0]) for role, known in WORDS.items()}
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
    key, tags = shape.columns["messages"], shape.tags
    messages = row.get(key)
    if isinstance(messages, list) and (alike := _in_their_words(messages, tags)):
        row, messages = row | {key: alike}, alike
        changes.append(_WORDED)
    if isinstance(messages, list) and not are_plain(messages, tags):
        more, moved = beside_messages(row, messages, tags)
        texts, reworded = as_texts(messages, tags)
        unused, weights = _unused(messages, texts, tags), _weights(messages, tags)
        flaw = "" if any(weights) or not weights else "weight_0"
        changes += [*moved, *reworded, *([_WEIGHT] if any(weights) and not all(weights) else [])]
        # Messages that say no more than before stay as they are, with all their keys.
        pair = (tags["role_tag"], tags["content_tag"])
        alike = [{k: m.get(k) for k in pair} if isinstance(m, dict) else m for m in messages]
        row = row | more if texts in (messages, alike) else row | more | {key: texts}
    row, as_text = tools_as_text(row, shape)
    changes += as_text
    if responses := _responses_as_messages(row, shape):
        row = row | responses
        changes.append("responses to compare made messages")
    return Converted(row, tuple(dict.fromkeys(changes)), flaw, tuple(unused))


def _in_their_words(messages: list[Any], tags: Mapping[str, str]) -> list[Any]:
    """Return messages with the file's words for who speaks; none if they have them already."""
    role_tag, own = tags["role_tag"], tags.values()
    if all(isinstance(m, dict) and m.get(role_tag) in own for m in messages):
        return []
    renamed = []
    for message in messages:
        word = message.get(role_tag) if isinstance(message, dict) else None
        role = ROLES.get(word.lower(), "") if isinstance(word, str) else ""
        known = role in ("user", "assistant", "system") and word not in own
        renamed.append(message | {role_tag: tags[f"{role}_tag"]} if known else message)
    return renamed if renamed != messages else []


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
            messages |= {key: as_texts([answer], tags)[0][0]}
    return messages


def are_plain(messages: list[Any], tags: Mapping[str, str]) -> bool:
    """Tell whether messages hold nothing but a role and a text each."""
    role_tag, content_tag = tags["role_tag"], tags["content_tag"]
    for message in messages:
        if not isinstance(message, dict):
            return True  # nothing that could be understood
        if len(message) > 2 or not isinstance(message.get(content_tag), str | None):
            return False
        if content_tag not in message or message.get(role_tag) in ("developer", *THINKERS):
            return False
    return True


def _unused(messages: list[Any], texts: list[Any], tags: Mapping[str, str]) -> list[str]:
    """Return the keys of messages that hold text which is not used."""
    if not all(isinstance(message, dict) for message in messages):
        return []
    used = {tags["role_tag"], tags["content_tag"], "tools", "channel"}
    if any(text[tags["role_tag"]] == tags["function_tag"] for text in texts):
        used |= {"tool_calls", "function_call"}
    items = {(key, holds_text(value)) for message in messages for key, value in message.items()}
    keys = {key for key, text in items if text and key not in used}
    return sorted(f"{key} of a message" for key in keys if not (is_thought(key) or is_about(key)))


def _weights(messages: list[Any], tags: Mapping[str, str]) -> list[bool]:
    answers = (tags["assistant_tag"], tags["function_tag"])
    return [
        not any(str(message.get(key)).lower() in ("0", "0.0", "false") for key in _WEIGHTS)
        for message in messages
        if isinstance(message, dict) and message.get(tags["role_tag"]) in answers
    ]


def are_openai(messages: Any) -> bool:
    """Tell whether messages have what only OpenAI's have: tool calls, parts, a developer."""
    items = messages if isinstance(messages, list) else ()
    return any(
        bool(message.get("tool_calls") or message.get("function_call"))
        or isinstance(message.get("content"), list | dict)
        or message.get("role") == "developer"
        for message in items
        if isinstance(message, dict)
    )


FORMATS = (
    Format("sharegpt", "conversations, conversation, messages or dialog: a list of {from, value} "
           "or {role, content}", LISTS, detect, convert, _BESIDE, listed="conversations"),
    Format("openai", "messages: a list of {role, content} with tool_calls, parts or a developer",
           ITEMS, detect_openai, convert, _BESIDE, "OpenAI messages", "conversations"),
)  # fmt: skip
