"""ShareGPT: a list of messages, each with a role and a text, under one of a few names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from curate.data import openai_calls
from curate.data.formats import LISTS, alpaca
from curate.data.schema import (
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

NAME = "sharegpt"
KEYS = "conversations, conversation, messages or dialog: a list of {from, value} or {role, content}"
RANK = LISTS
OPTIONAL: Mapping[str, str] = {
    name: name for name in ("system", "tools", "images", "videos", "audios")
}
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
    rows = Counter(fit for row in samples for fit in _fits(row))
    if not rows:
        return None
    (key, role_tag, content_tag), having = rows.most_common(1)[0]
    words = Counter(
        message[role_tag]
        for row in samples
        for message in _list(row.get(key))
        if isinstance(message, dict) and isinstance(message.get(role_tag), str)
    )
    if 2 * having < len(samples) or not any(
        word in words for known in _ROLES.values() for word in known
    ):
        return None
    ranking = mostly(samples, "chosen", "rejected")
    pair = {"chosen": "chosen", "rejected": "rejected"} if ranking else {}
    tags = {"role_tag": role_tag, "content_tag": content_tag, **_tags(words)}
    shape = Shape(NAME, "sharegpt", {"messages": key}, tags, ranking)
    keys = {each for row in samples for each in row}
    return shape.with_columns(OPTIONAL, keys).with_columns(pair | kto_column(samples), keys)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _fits(row: dict[str, Any]) -> list[tuple[str, str, str]]:
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
    said = {role: max(known, key=lambda word: words[word]) for role, known in _ROLES.items()}
    if said["user"] == "user":
        for role, usual in _WITH_USER.items():
            if not words[said[role]]:
                said[role] = usual
    return {f"{role}_tag": word for role, word in said.items()}


def convert(value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row with what LLaMA-Factory takes only as a message, or only as a text.

    It takes a preference pair of texts for plain SFT and then drops the row, without a word of it;
    it does not see OpenAI's tool calls; and it wants descriptions of tools as text.
    """
    made = alpaca.convert(value, shape)
    row, changes = made.row, list(made.changes)
    key = shape.columns["messages"]
    if shape.tags["role_tag"] == "role" and openai_calls.are_openai(row.get(key)):
        messages, more = openai_calls.flat(row[key], shape.tags)
        row = row | {key: messages}
        changes += more
    if wrapped := _wrapped(row, shape):
        row = row | wrapped
        changes.append("responses to compare made messages")
    return Converted(row, tuple(changes))


def _wrapped(value: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """Return as messages those of two responses that are texts or lists."""
    if not shape.ranking:
        return {}
    tags, asked = shape.tags, value.get(shape.columns["messages"])
    made = {}
    for key in (shape.columns["chosen"], shape.columns["rejected"]):
        given = value.get(key)
        if isinstance(given, str):
            made[key] = {tags["role_tag"]: tags["assistant_tag"], tags["content_tag"]: given}
        elif isinstance(given, list) and _ends_with_message(given) and given[:-1] in ([], asked):
            made[key] = given[-1]  # a list of one message, or all messages and the response
    return made


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
    view = Parsed(system, tuple(turns), tools=tools_of(value.get("tools")))
    view = replace(view, verdict=verdict_of(value, shape))
    if shape.ranking:
        two = [value.get(name) for name in ("chosen", "rejected")]
        pair = [_message_text(each, shape.tags) for each in two]
        if None in pair:
            return Parsed(flaw="not_text")
        if any(isinstance(each, dict) and not _answers(each, shape.tags) for each in two):
            return Parsed(flaw="unknown_role")
        view = replace(view, chosen=pair[0], rejected=pair[1])
    return replace(view, flaw=_flaw(view) or ("not_text" if gap else ""))


def _turns(messages: list[Any], tags: dict[str, str]) -> tuple[list[Turn], str, bool]:
    """Return the messages, the flaw that makes them unreadable, and whether a text is null."""
    role_tag, content_tag = tags["role_tag"], tags["content_tag"]
    roles = {tags[f"{role}_tag"]: role for role in _ROLES}
    turns, gap = [], False
    for message in messages:
        role = message.get(role_tag) if isinstance(message, dict) else None
        if not isinstance(role, str):
            return [], "not_text", gap
        content = message.get(content_tag)
        if not isinstance(content, str):
            if content is not None:
                return [], "not_text", gap
            content, gap = "", True
        if role not in roles:
            return [], "unknown_role", gap
        turns.append(Turn(roles[role], content))
    return turns, "", gap


def _ends_with_message(given: list[Any]) -> bool:
    return bool(given) and isinstance(given[-1], dict)


def _answers(message: dict[str, Any], tags: dict[str, str]) -> bool:
    """Tell whether a response to compare is one by its role: LLaMA-Factory ends with a KeyError."""
    return message.get(tags["role_tag"]) in [tags[f"{role}_tag"] for role in _ANSWERS]


def _message_text(value: Any, tags: dict[str, str]) -> str | None:
    """Return the text of a response to compare, None if it is no text."""
    return text_of(value.get(tags["content_tag"]) if isinstance(value, dict) else value)


def _flaw(view: Parsed) -> str:
    said = [turn.content for turn in view.turns if turn.role == "assistant"]
    answers = [view.chosen, view.rejected] if view.chosen is not None else said[-1:]
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
