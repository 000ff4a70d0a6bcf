"""From the canonical view back to a row, in the one shape that can say everything.

Rows are emitted as they were read. Only what joins files of several shapes, or repairs a file,
writes rows in this shape: LLaMA-Factory's sharegpt, `text` for pre-training.
"""

from __future__ import annotations

from typing import Any

from curate.data.schema import CANONICAL_TAGS, MEDIA, Kind, Parsed, Shape

_COLUMNS = {"messages": "conversations", "system": "system", "tools": "tools"}
_MORE: dict[Kind, dict[str, str]] = {
    "sft": {},
    "preference": {"chosen": "chosen", "rejected": "rejected"},
    "kto": {"kto_tag": "kto_tag"},
}


def canonical_shape(kind: Kind, media: frozenset[str] = frozenset()) -> Shape:
    """Return the shape of the rows that canonical_row makes."""
    if kind == "pretraining":
        return Shape("pretraining", "alpaca", {"prompt": "text"})
    beside = {column: column for column in MEDIA if column in media}
    columns = {**_COLUMNS, **_MORE[kind], **beside}
    return Shape("sharegpt", "sharegpt", columns, dict(CANONICAL_TAGS), kind == "preference")


def canonical_row(
    parsed: Parsed, value: dict[str, Any], shape: Shape, given: Shape
) -> dict[str, Any]:
    """Return a row of `shape` that says what the canonical view of a row of `given` says."""
    if shape.kind == "pretraining":
        return {"text": parsed.turns[0].content}
    row: dict[str, Any] = {
        "conversations": [message(turn.role, turn.content) for turn in parsed.turns],
        "system": parsed.system,
        "tools": parsed.tools,
    }
    if shape.kind == "preference":
        row["chosen"] = message("assistant", parsed.chosen or "")
        row["rejected"] = message("assistant", parsed.rejected or "")
    if shape.kind == "kto":
        row["kto_tag"] = parsed.verdict
    for column in MEDIA:
        if column in shape.columns:
            row[column] = value.get(given.columns.get(column, "")) or []
    return row


def message(role: str, text: str) -> dict[str, str]:
    """Return a message in LLaMA-Factory's own words."""
    tags = CANONICAL_TAGS
    return {tags["role_tag"]: tags[f"{role}_tag"], tags["content_tag"]: text}
