"""Dialogues written as texts that begin with who speaks: 问：… 医生: … Patient: … ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from curate.data.schema import CANONICAL_TAGS, Converted, Shape

ASKS = ("问", "提问", "患者", "病人", "用户", "patient", "user", "human", "q")
ANSWERS = ("答", "回答", "医生", "大夫", "助手", "doctor", "assistant", "gpt", "a")
# A colon of either width. What stands before the speaker is space or a mark of order.
_SPEAKER = re.compile(rf"[\s\ufeff]*({'|'.join([*ASKS, *ANSWERS])})\s*[:：]", re.IGNORECASE)
MERGED = "a speaker's messages in a row joined"
TRIMMED = "question without an answer at the end left out"
OPENED = "doctor speaks first, the patient's description put before"
KEY = "conversations"


class Said(NamedTuple):
    """What somebody said.

    Attributes:
        asks: Whether it is the one who asks.
        text: Without the name of who speaks.
    """

    asks: bool
    text: str


def said(text: Any) -> Said | None:
    """Return who says what, None for a text that does not begin with a speaker.

    Example:
        >>> said("病人：头痛三天怎么办？")
        Said(asks=True, text='头痛三天怎么办？')
    """
    found = _SPEAKER.match(text) if isinstance(text, str) else None
    if found is None:
        return None
    return Said(found[1].lower() in ASKS, text[found.end() :].strip())


def are_said(value: Any) -> bool:
    """Tell whether a value is a list of texts most of which begin with a speaker."""
    if not isinstance(value, list) or not value:
        return False
    return 2 * sum(said(each) is not None for each in value) >= len(value)


def shape_of(name: str) -> Shape:
    """Return the shape of rows that `converted` makes."""
    return Shape(name, "sharegpt", {"messages": KEY}, dict(CANONICAL_TAGS))


def converted(texts: Any, beside: dict[str, Any], given: dict[str, Any], opening: str) -> Converted:
    """Return a dialogue as messages in turn.

    Messages of one speaker in a row are joined by a line break, a question at the end that nobody
    answers is left out, and where the doctor speaks first, the patient's description goes before.
    """
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        return Converted(given, flaw="not_text")
    all_said = [said(each) for each in texts]
    parts = [each for each in all_said if each is not None]
    if len(parts) < len(texts):
        return Converted(given, flaw="unknown_role")
    changes: list[str] = []
    if parts and not parts[0].asks and opening.strip():
        parts.insert(0, Said(True, opening.strip()))
        changes.append(OPENED)
    turns = _joined(parts)
    if len(turns) < len(parts):
        changes.append(MERGED)
    if len(turns) > 1 and turns[-1].asks:
        turns.pop()
        changes.append(TRIMMED)
    return Converted({KEY: [_message(each) for each in turns], **beside}, tuple(changes))


def _joined(parts: Sequence[Said]) -> list[Said]:
    turns: list[Said] = []
    for each in parts:
        if turns and turns[-1].asks == each.asks:
            both = "\n".join(text for text in (turns[-1].text, each.text) if text)
            turns[-1] = Said(each.asks, both)
        else:
            turns.append(each)
    return turns


def _message(each: Said) -> dict[str, str]:
    tags = CANONICAL_TAGS
    role = tags["user_tag"] if each.asks else tags["assistant_tag"]
    return {tags["role_tag"]: role, tags["content_tag"]: each.text}
