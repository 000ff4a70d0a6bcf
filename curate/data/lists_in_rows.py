"""Lists that rows have as texts, under other names or in other forms, as the lists formats read.

A message is an object with who speaks and a text; earlier turns are pairs of texts, as
LLaMA-Factory has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from curate.data.formats.dialogues import ANSWERS, ASKS, utterance_of
from curate.data.json_values import read_text
from curate.data.row_keys import (
    RENAMED,
    ROLES,
    SYSTEMS,
    TEXTS,
    WHO,
    are_messages,
    folded_row,
    leaves,
    texts_in,
)
from curate.data.schema import MEDIA

_ASKING = {*ASKS, "question", "query", "input", "instruction", "prompt"}
_ANSWERING = {*ANSWERS, "answer", "response", "output", "bot", "moss", "ai", "model"}
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
    changed: dict[str, Any] = {}
    changes: list[str] = []
    for key, value in row.items():
        if key not in TOUCHED and key not in lists:
            continue
        if isinstance(value, str) and (key in _AS_TEXT or key in lists) and _BRACKETS.match(value):
            inner = _as_list(value)
            if inner is not None and (key in _LISTED - {*_MAY_BE_TEXT} or are_messages(inner)):
                changed[key] = value = inner
                changes.append(f"the list in the text of '{key}' read")
        elif key in MEDIA and isinstance(value, str):
            changed[key] = [value] if value.strip() else []
            changes.append(f"'{key}' made a list")
        elif (name := RENAMED.get(key)) and value and not row.get(name) and _is_meant(key, row):
            path = value.get("path") if isinstance(value, dict) else value
            texts = [path] if isinstance(path, str) and name in MEDIA else value
            if name not in MEDIA or (
                isinstance(texts, list) and all(isinstance(text, str) for text in texts)
            ):
                changed |= {key: None, name: texts}
                changes.append(f"'{key}' read as '{name}'")
                key, value = name, texts
        if isinstance(value, list | dict) and key in _SYSTEMS:
            texts = list(texts_in(value))
            if all(isinstance(text, str) for text in texts):
                changed[key] = "\n".join(texts)
                changes.append(f"the parts of '{key}' joined")
        elif isinstance(value, list | dict) and (key in _FORMS or key in lists):
            is_history, dialogue = key == "history", key in _DIALOGUES
            form: Any = as_history(value) if is_history else as_messages(value, dialogue)
            if form is not None:
                changed[key] = form
                changes.append(f"'{key}' written as the usual list")
    if not changed:
        return row, ()
    whole = {
        key: value for key, value in (row | changed).items() if changed.get(key, 0) is not None
    }
    return whole, tuple(sorted(changes))


def _is_meant(key: str, row: dict[str, Any]) -> bool:
    """Tell whether a key is of a picture, video or sound that the row speaks of."""
    medium = RENAMED[key]
    return medium not in MEDIA or key == medium[:-1] or f"<{medium[:-1]}>" in "".join(leaves(row))


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


def as_messages(value: Any, of_pairs: bool = False) -> list[dict[str, Any]] | None:
    """Return messages that are written in another form; None if they are in none that is known.

    `of_pairs`: they may be pairs of a question and its answer.
    """
    if isinstance(value, dict):  # a list of each key, as `datasets` has a list of records
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        even = len(lists) == len(value) > 1 and len({len(inner) for inner in lists}) == 1
        if even and _who(value) and _text_key(value):
            return [dict(zip(value, cells, strict=True)) for cells in zip(*lists, strict=True)]
        return None
    if not isinstance(value, list) or not value:
        return None
    if _message(value[0]) is None:
        return _of_pairs(value) if of_pairs else None
    messages = [_message(item) for item in value]
    whole = [message for message in messages if message is not None]
    return whole if len(whole) == len(messages) else None


def _of_pairs(value: list[Any]) -> list[dict[str, Any]] | None:
    if not all(isinstance(p, list) and [type(text) for text in p] == [str, str] for p in value):
        return None
    roles = ("user", "assistant")
    return [{"role": roles[at], "content": pair[at]} for pair in value for at in (0, 1)]


def _who(item: dict[str, Any]) -> str:
    return next((key for key in WHO if key in item), "")


def _text_key(item: dict[str, Any]) -> str:
    return next((key for key in TEXTS if key in item), "")


def _message(item: Any) -> dict[str, Any] | None:
    """Return [role, text], {role: text} and {author: {role}, content: {parts}} as a message."""
    if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str):
        known = item[0].lower() in ROLES
        return {"role": item[0], "content": item[1]} if known else None
    if not isinstance(item, dict):
        return None
    if len(item) == 1:
        ((word, text),) = item.items()
        return {"role": word, "content": text} if word.lower() in ROLES else None
    author, content = item.get("author"), item.get("content")
    if isinstance(author, dict) and isinstance(author.get("role"), str):
        parts = content.get("parts") if isinstance(content, dict) else content
        return {"role": author["role"], "content": parts}
    return None


def as_history(value: Any) -> list[list[str]] | None:
    """Return earlier turns as pairs; None if they are pairs of texts, or cannot be paired."""
    if not isinstance(value, list) or not value:
        return None
    pairs = list(_pairs_among(value))
    if any(len(pair) != 2 or not all(isinstance(text, str) for text in pair) for pair in pairs):
        return None
    kept = [pair for pair in pairs if pair[0].strip() or pair[1].strip()]
    return None if kept == value else kept


def _pairs_among(value: list[Any]) -> Iterator[list[Any]]:
    messages = as_messages(value) or value
    if all(isinstance(text, str) for text in value):
        utterances = [utterance_of(text) for text in value]
        named = [u.text for u in utterances if u]
        texts = named if len(named) == len(value) else value
        yield from (list(texts[at : at + 2]) for at in range(0, len(texts), 2))
    elif all(isinstance(item, dict) and _who(item) and _text_key(item) for item in messages):
        roles = [ROLES.get(str(item[_who(item)]).lower()) for item in messages]
        texts = [item[_text_key(item)] for item in messages]
        in_turn = roles == ["user", "assistant"] * (len(roles) // 2)
        for at in range(0, len(texts), 2):
            yield list(texts[at : at + 2]) if in_turn else []
    else:
        for item in value:
            # A pair that says nothing is two empty texts.
            pair = item if isinstance(item, list) and any(item) else ["", ""]
            yield exchange(item) if isinstance(item, dict) else pair


def exchange(item: dict[str, Any]) -> list[Any]:
    """Return the question and the answer of an object that holds one of each, else nothing."""
    texts = folded_row(item)
    keys = [name for names in (_ASKING, _ANSWERING) for name in texts.keys() & names]
    one_each = len(keys) == 2 and keys[0] in _ASKING and keys[1] in _ANSWERING
    return [texts[name] for name in keys] if one_each else []
