"""From the canonical view back to a row, in the one shape that can say everything.

Rows are emitted as they were read. Only what joins files of several shapes, or repairs a file,
writes rows in this shape: LLaMA-Factory's sharegpt, `text` for pre-training.
"""

from __future__ import annotations

from typing import Any

from curate.data.schema import Kind, Parsed, Shape

_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
_SAID = {"messages": "conversations", "system": "system", "tools": "tools"}
_MORE: dict[Kind, dict[str, str]] = {
    "sft": {},
    "preference": {"chosen": "chosen", "rejected": "rejected"},
    "kto": {"kto_tag": "kto_tag"},
}
_MEDIA = ("images", "videos", "audios")


def canonical_shape(kind: Kind, media: frozenset[str] = frozenset()) -> Shape:
    """Return the shape of the rows that canonical_row makes.

    Example:
        >>> canonical_shape("pretraining").columns
        {'prompt': 'text'}
    """
    if kind == "pretraining":
        return Shape("pretraining", "alpaca", {"prompt": "text"})
    beside = {column: column for column in _MEDIA if column in media}
    columns = {**_SAID, **_MORE[kind], **beside}
    return Shape("sharegpt", "sharegpt", columns, dict(_TAGS), kind == "preference")


def canonical_row(
    parsed: Parsed, value: dict[str, Any], shape: Shape, given: Shape
) -> dict[str, Any]:
    """Return a row that says what the canonical view says.

    Example:
        >>> view = Parsed(turns=(Turn("user", "头痛"), Turn("assistant", "休息")))
        >>> canonical_row(view, {}, canonical_shape("sft"), given)["conversations"][1]
        {'from': 'gpt', 'value': '休息'}
    """
    if shape.kind == "pretraining":
        return {"text": parsed.turns[0].content}
    said = [_message(turn.role, turn.content) for turn in parsed.turns]
    row: dict[str, Any] = {
        "conversations": said,
        "system": parsed.system,
        "tools": parsed.tools,
    }
    if shape.kind == "preference":
        row["chosen"] = _message("assistant", parsed.chosen or "")
        row["rejected"] = _message("assistant", parsed.rejected or "")
    if shape.kind == "kto":
        row["kto_tag"] = parsed.verdict
    for column in _MEDIA:
        if column in shape.columns:
            row[column] = value.get(given.columns.get(column, "")) or []
    return row


def _message(role: str, text: str) -> dict[str, str]:
    return {_TAGS["role_tag"]: _TAGS[f"{role}_tag"], _TAGS["content_tag"]: text}
