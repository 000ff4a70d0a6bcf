"""Toyhom's Chinese medical dialogues: department, title, question and answer, in CSV or in text."""

from __future__ import annotations

import re
from typing import Any

from curate.data.formats import OWN_KEYS, Format, mostly
from curate.data.schema import Converted, Shape

# What stands where a patient wrote nothing below the title.
_NOTHING = ("", "无")
_TAG = re.compile(
    r"</?(?:a|b|br|div|font|h[1-6]|i|img|li|ol|p|span|strong|table|td|tr|u|ul)\b[^<>]*>"
)
_PUNCTUATION = "？?。.！!，, \t\r\n\u3000"


def detect(samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if most rows have a title, a question and an answer."""
    if not mostly(samples, "title", "ask", "answer") and not mostly(
        samples, "department", "title", "question", "answer"
    ):
        return None
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    return Shape("toyhom", "alpaca", columns)


def convert(value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row in alpaca's keys; department and title stay beside them.

    The title goes before the question where the question does not contain it, and stands for a
    question that says nothing.
    """
    asked = "question" if "question" in value and "ask" not in value else "ask"
    title, ask, answer = (value.get(key) for key in ("title", asked, "answer"))
    if not all(isinstance(text, str | None) for text in (title, ask, answer)):
        return Converted(value, flaw="not_text")
    instruction, change = _question((title or "").strip(), (ask or "").strip())
    changes = [change] if change else []
    if any(_TAG.search(text or "") for text in (title, ask, answer)):
        changes.append("HTML tags in the text left as they are")
    beside = {key: inner for key, inner in value.items() if key not in (asked, "answer")}
    row = {"instruction": instruction, "input": "", "output": answer or "", **beside}
    return Converted(row, tuple(changes))


def _question(title: str, ask: str) -> tuple[str, str]:
    """Return the whole question, and what was done to get it."""
    if ask in _NOTHING:
        return title, "no question, the title taken for it" if title else ""
    bare = title.strip(_PUNCTUATION)
    if not bare or bare in ask:
        return ask, ""
    return f"{title}\n{ask}", "title put before the question"


FORMATS = (
    Format(
        name="toyhom",
        keys="department, title, ask (or question), answer",
        rank=OWN_KEYS,
        detect=detect,
        convert=convert,
        title="Toyhom",
    ),
)
