"""ShareGPT: a list of messages, each with a role and a text, under one of a few names.

OpenAI's messages with tool calls, parts or a developer are read here too, and emitted as sharegpt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from curate.data import openai_calls
from curate.data.formats import ITEMS, LISTS, Format, alpaca
from curate.data.schema import (
    MEDIA,
    Converted,
    Parsed,
    Shape,
    Turn,
    kto_column,
    mostly,
    text_of,
    tools_of,
    verdict_of,
)

OPTIONAL: Mapping[str, str] = {name: name for name in ("system", "tools", *MEDIA)}
_LISTS = ("conversations", "conversation", "messages", "dialog")
_PAIRS = (("from", "value"), ("role", "content"))
# No word stands for two roles, so tags that are guessed never collide with tags that were seen.
_ROLES = {
    "user": ("human", "user"),
    "assistant": ("gpt", "assistant", "bot"),
    "observation": ("observation", "tool"),
    "function": ("function_call", "function"),
    "system": ("system",),
}
_WITH_USER = {"user": "user", "assistant": "assistant", "observation": "tool"}
_ASKS = ("user", "observation")
_ANSWERS = ("assistant", "function")


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
    known = any(words[word] for role_words in _ROLES.values() for word in role_words)
    if 2 * having < len(samples) or not known:
        return None
    ranking = mostly(samples, "chosen", "rejected")
    pair = {"chosen": "chosen", "rejected": "rejected"} if ranking else {}
    tags = {"role_tag": role_tag, "content_tag": content_tag, **_tags(words)}
    shape = Shape("sharegpt", "sharegpt", {"messages": key}, tags, ranking)
    keys = {key for row in samples for key in row}
    return shape.with_columns(OPTIONAL, keys).with_columns(pair | kto_column(samples), keys)


def detect_openai(samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if some row has what only OpenAI's messages have."""
    shape = detect(samples)
    if shape is None or shape.tags["role_tag"] != "role":
        return None
    if not any(openai_calls.are_openai(row.get(shape.columns["messages"])) for row in samples):
        return None
    return replace(shape, format="openai", tags=dict(openai_calls.TAGS))


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
    tags = {role: max(known, key=lambda word: words[word]) for role, known in _ROLES.items()}
    if tags["user"] == "user":
        tags |= {role: word for role, word in _WITH_USER.items() if not words[tags[role]]}
    return {f"{role}_tag": word for role, word in tags.items()}


def convert(value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row with what LLaMA-Factory takes only as a message, or only as a text.

    It takes a preference pair of texts for plain SFT and then drops the row, without a word of it;
    it does not see OpenAI's tool calls; and it wants descriptions of tools as text.
    """
    with_tools = alpaca.convert(value, shape)
    row, changes = with_tools.row, list(with_tools.changes)
    key = shape.columns["messages"]
    if shape.tags["role_tag"] == "role" and openai_calls.are_openai(row.get(key)):
        messages, more = openai_calls.flat(row[key], shape.tags)
        row = row | {key: messages}
        changes += more
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


def parse(value: dict[str, Any], shape: Shape) -> Parsed:
    """Return the canonical view, with the first flaw that the row has."""
    messages = value.get(shape.columns["messages"])
    outer = text_of(value.get("system"))
    if not isinstance(messages, list | None) or outer is None:
        return Parsed(flaw="not_text")
    turns, flaw, gap = _turns(messages or [], shape.tags)
    if flaw:
        return Parsed(flaw=flaw)
    # As in LLaMA-Factory, a system message wins over a system column.
    system = turns.pop(0).content if turns and turns[0].role == "system" else outer
    chosen = rejected = None
    if shape.ranking:
        two = [value.get(name) for name in ("chosen", "rejected")]
        chosen, rejected = (_message_text(response, shape.tags) for response in two)
        if chosen is None or rejected is None:
            return Parsed(flaw="not_text")
        # By its role a response has to be one: LLaMA-Factory ends with a KeyError.
        answers = [shape.tags[f"{role}_tag"] for role in _ANSWERS]
        roles = [each.get(shape.tags["role_tag"]) for each in two if isinstance(each, dict)]
        if not all(role in answers for role in roles):
            return Parsed(flaw="unknown_role")
    view = Parsed(
        system=system,
        turns=tuple(turns),
        chosen=chosen,
        rejected=rejected,
        tools=tools_of(value.get("tools")),
        verdict=verdict_of(value, shape),
    )
    return replace(view, flaw=_flaw(view) or ("not_text" if gap else ""))


def _turns(messages: list[Any], tags: dict[str, str]) -> tuple[list[Turn], str, bool]:
    """Return the messages, the flaw that makes them unreadable, and whether a text is null."""
    role_tag, content_tag = tags["role_tag"], tags["content_tag"]
    roles = {tags[f"{role}_tag"]: role for role in _ROLES}
    turns, gap = [], False
    for message in messages:
        role = message.get(role_tag) if isinstance(message, dict) else None
        if not isinstance(role, str) or not isinstance(message.get(content_tag), str | None):
            return [], "not_text", gap
        if role not in roles:
            return [], "unknown_role", gap
        gap = gap or message.get(content_tag) is None
        turns.append(Turn(roles[role], message.get(content_tag) or ""))
    return turns, "", gap


def _message_text(value: Any, tags: dict[str, str]) -> str | None:
    """Return the text of a response to compare, None if it is no text."""
    return text_of(value.get(tags["content_tag"]) if isinstance(value, dict) else value)


def _flaw(view: Parsed) -> str:
    answers: Sequence[str | None] = [view.chosen, view.rejected]
    if view.chosen is None:
        answers = [turn.content for turn in view.turns if turn.role == "assistant"][-1:]
    if not answers and view.turns and view.turns[-1].role == "function":
        answers = [view.turns[-1].content]
    if not answers or not all(answer and answer.strip() for answer in answers):
        return "empty_response"
    if not any(turn.content.strip() for turn in view.turns if turn.role in _ASKS):
        return "empty_prompt"
    odd = len(view.turns) % 2
    in_turn = all(
        turn.role in (_ANSWERS if place % 2 else _ASKS) for place, turn in enumerate(view.turns)
    )
    return "" if in_turn and odd == (view.chosen is not None) else "bad_turn_order"


FORMATS = (
    Format(
        name="sharegpt",
        keys="conversations, conversation, messages or dialog: a list of {from, value} or "
        "{role, content}",
        rank=LISTS,
        detect=detect,
        convert=convert,
        optional=OPTIONAL,
    ),
    Format(
        name="openai",
        keys="messages: a list of {role, content} with tool_calls, parts or a developer",
        rank=ITEMS,
        detect=detect_openai,
        convert=convert,
        optional=OPTIONAL,
        title="OpenAI messages",
    ),
)
