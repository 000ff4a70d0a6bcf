"""The entry that a user would most likely write for a file: LLaMA-Factory's own defaults."""

from __future__ import annotations

from typing import Any

from curate.data.rows import Rows
from curate.data.schema import Shape
from curate.llamafactory.doctor.attributes import COLUMNS, TAGS

_DEFAULTS = {"prompt": "instruction", "query": "input", "response": "output"}
# What LLaMA-Factory's own README names for rows of role and content.
_NAMED = ("role_tag", "content_tag", "user_tag", "assistant_tag", "system_tag")


def usual_entry(rows: Rows | None, first: dict[str, Any], file_name: str) -> dict[str, Any]:
    """Return the entry: the defaults of the rows' shape, columns only where there is no default.

    Example:
        >>> usual_entry(read("dpo_zh.jsonl"), first_row, "dpo_zh.jsonl")
        {'file_name': 'dpo_zh.jsonl', 'formatting': 'sharegpt', 'ranking': True, 'columns': {…}}
    """
    entry: dict[str, Any] = {"file_name": file_name}
    shape = rows.shape if rows else None
    if shape is None or any(key not in first for key in shape.columns.values()):
        return _of_keys(entry, first)
    if shape.formatting == "sharegpt":
        entry["formatting"] = "sharegpt"
    if shape.ranking:
        entry["ranking"] = True
    columns = _columns(shape, first)
    if columns:
        entry["columns"] = {each: columns[each] for each in COLUMNS if each in columns}
    if shape.formatting == "sharegpt" and (shape.tags["role_tag"], shape.tags["content_tag"]) != (
        TAGS["role_tag"],
        TAGS["content_tag"],
    ):
        entry["tags"] = {tag: shape.tags[tag] for tag in _NAMED}
    return entry


def _columns(shape: Shape, first: dict[str, Any]) -> dict[str, str]:
    """Return the columns that have to be named: none where the defaults read the file."""
    named = dict(shape.columns)
    if isinstance(first.get("kto_tag"), str | bool | int):
        named["kto_tag"] = "kto_tag"
    if shape.formatting == "sharegpt":
        if set(named) & {"chosen", "rejected", "kto_tag"} or named["messages"] != "conversations":
            return named
        return {}
    # `input` is a default: an entry without columns wants it to be there.
    plain = {column: _DEFAULTS.get(column) for column in named}
    usual = {"prompt": "instruction", "response": "output"}
    if usual.items() <= named.items() and not set(named) & {"chosen", "rejected", "kto_tag"}:
        return {} if all(named[each] == plain[each] for each in plain if plain[each]) else named
    return named


def _of_keys(entry: dict[str, Any], first: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of rows that LLaMA-Factory does not load as curate reads them."""
    if isinstance(first.get("conversations"), list) or isinstance(first.get("messages"), list):
        entry["formatting"] = "sharegpt"
    if list(first) == ["text"]:
        entry["columns"] = {"prompt": "text"}
    return entry
