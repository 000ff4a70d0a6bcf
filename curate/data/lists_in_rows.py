"""Lists that rows have as texts, under other names or in other forms, as the lists formats read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from curate.data.json_values import read_text
from curate.data.message_lists import as_history, as_messages
from curate.data.row_keys import RENAMED, SYSTEMS, are_messages, leaves
from curate.data.schema import MEDIA

# Lists that tables have as text.
_LIST_NAMES = (
    "conversations conversation messages dialog dialogue chat contents history option options "
    "choices data chosen rejected prompt completion input output images videos audios"
)
_LISTED = frozenset(_LIST_NAMES.split())
_DIALOGUES = frozenset(_LIST_NAMES.split()[:7])
_MAY_BE_TEXT = ("chosen", "rejected", "prompt", "completion")
_AS_TEXT = _LISTED - {"input", "output"}
_FORMS = _LISTED - {"option", "options", "choices", *MEDIA}
_SYSTEMS = frozenset({*SYSTEMS, "systemInstruction"})
TOUCHED = _LISTED | _SYSTEMS | RENAMED.keys()
TOUCHED_TEXTS = TOUCHED - _SYSTEMS - {"input", "output"}  # of which a text may be no text
_BETWEEN = re.compile(r"\}\s*\n\s*\{")
_BRACKETS = re.compile(r"\s*(?:\[.*\]|\{.*\})\s*\Z", re.DOTALL)


def with_lists(row: Any, lists: frozenset[str] = frozenset()) -> tuple[Any, tuple[str, ...]]:
    """Return a row with lists for texts that hold lists, and what was changed."""
    if not isinstance(row, dict) or (TOUCHED.isdisjoint(row) and lists.isdisjoint(row)):
        return row, ()
    made: dict[str, Any] = {}
    changes: list[str] = []
    for key, value in row.items():
        if key not in TOUCHED and key not in lists:
            continue
        if isinstance(value, str) and (key in _AS_TEXT or key in lists) and _BRACKETS.match(value):
            inner = _as_list(value)
            if inner is not None and (key in _LISTED - {*_MAY_BE_TEXT} or are_messages(inner)):
                made[key] = value = inner
                changes.append(f"the list in the text of '{key}' read")
        elif key in MEDIA and isinstance(value, str):
            made[key] = [value] if value.strip() else []
            changes.append(f"'{key}' made a list")
        elif (name := RENAMED.get(key)) and value and not row.get(name) and _is_meant(key, row):
            path = value.get("path") if isinstance(value, dict) else value
            texts = [path] if isinstance(path, str) and name in MEDIA else value
            if name not in MEDIA or (
                isinstance(texts, list) and all(isinstance(text, str) for text in texts)
            ):
                made |= {key: None, name: texts}
                changes.append(f"'{key}' read as '{name}'")
                key, value = name, texts
        if isinstance(value, list | dict) and key in _SYSTEMS:
            texts = list(_texts(value))
            if all(isinstance(text, str) for text in texts):
                made[key] = "\n".join(texts)
                changes.append(f"the parts of '{key}' joined")
        elif isinstance(value, list | dict) and (key in _FORMS or key in lists):
            is_history, dialogue = key == "history", key in _DIALOGUES
            form: Any = as_history(value) if is_history else as_messages(value, dialogue)
            if form is not None:
                made[key] = form
                changes.append(f"'{key}' written as the usual list")
    if not made:
        return row, ()
    whole = {key: value for key, value in (row | made).items() if made.get(key, 0) is not None}
    return whole, tuple(sorted(changes))


def _is_meant(key: str, row: dict[str, Any]) -> bool:
    """Tell whether a key is of a picture, video or sound that the row speaks of."""
    medium = RENAMED[key]
    return medium not in MEDIA or key == medium[:-1] or f"<{medium[:-1]}>" in "".join(leaves(row))


def _texts(value: Any) -> Iterator[Any]:
    """Yield the texts of a system prompt that is a message, its parts, or a list of texts."""
    if isinstance(value, dict):
        value = next((value[key] for key in ("content", "parts", "text") if key in value), None)
    for part in value if isinstance(value, list) else [value]:
        yield from _texts(part) if isinstance(part, dict | list) else (part,)


def _as_list(text: str) -> Any:
    """Return a list or an object written as text, as JSON or as Python writes it, else None."""
    value = read_text(_BETWEEN.sub("}, {", text), python=True)  # numpy puts no commas there
    return value if isinstance(value, list | dict) else None


def columns_of_messages(values: Sequence[Any]) -> frozenset[str]:
    texts: dict[str, list[bool]] = {}
    for value in values:
        for key, cell in value.items() if isinstance(value, dict) else ():
            if isinstance(cell, str) and cell and key not in TOUCHED:
                holds = cell.lstrip().startswith("[") and are_messages(_as_list(cell))
                texts.setdefault(key, []).append(holds)
    return frozenset(key for key, holds in texts.items() if 2 * sum(holds) > len(holds))
