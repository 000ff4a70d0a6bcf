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
    keys = (("title", "ask", "answer"), ("department", "title", "question", "answer"))
    if not any(mostly(samples, *wanted) for wanted in keys):
        return None
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    return Shape("toyhom", "alpaca", columns)


def convert(value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row in alpaca's keys; department and title stay beside them.

    The title goes before the question where the question does not contain it, and stands for a
    question that says nothing.
    """
    asked = "question" if "question" in value and "ask" not in value else "ask"
    texts = [value.get(key) for key in ("title", asked, "answer")]
    if not all(isinstance(text, str | None) for text in texts):
        return Converted(value, flaw="not_text")
    title, question, answer = ((text or "") for text in texts)
    title, question, changes = title.strip(), question.strip(), []
    bare = title.strip(_PUNCTUATION)
    if question in _NOTHING:
        question = title
        changes = ["no question, the title taken for it"] if title else []
    elif bare and bare not in question:
        question = f"{title}\n{question}"
        changes = ["title put before the question"]
    if any(_TAG.search(text or "") for text in texts):
        changes.append("HTML tags in the text left as they are")
    beside = {key: inner for key, inner in value.items() if key not in (asked, "answer")}
    row = {"instruction": question, "input": "", "output": answer, **beside}
    return Converted(row, tuple(changes))


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
