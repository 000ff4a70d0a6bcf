"""Alpaca: an instruction, perhaps an input, and an output; earlier exchanges under `history`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.data.formats import OWN_KEYS
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

NAME = "alpaca"
KEYS = "instruction, output and perhaps input, system, history"
RANK = OWN_KEYS
OPTIONAL: Mapping[str, str] = {
    "query": "input",
    "response": "output",
    "system": "system",
    "history": "history",
    "tools": "tools",
    "images": "images",
    "videos": "videos",
    "audios": "audios",
}
_PAIR = ("chosen", "rejected")


def detect(samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if most rows have an instruction and something to learn from."""
    ranking = mostly(samples, "instruction", "chosen", "rejected")
    if not ranking and not mostly(samples, "instruction", "output"):
        return None
    pair = {name: name for name in _PAIR} if ranking else {}
    shape = Shape(NAME, "alpaca", {"prompt": "instruction"}, {}, ranking)
    keys = {key for row in samples for key in row}
    return shape.with_columns(OPTIONAL, keys).with_columns(pair | kto_column(samples), keys)


def convert(value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row with its descriptions of tools as text, the one way LLaMA-Factory has them."""
    key = shape.columns.get("tools", "")
    if not value.get(key) or isinstance(value[key], str):
        return Converted(value)
    text = tools_of(value[key])
    return Converted(value | {key: text}, ("descriptions of tools written as text",))


def parse(value: dict[str, Any], shape: Shape) -> Parsed:
    """Return the canonical view; prompt and query are joined as LLaMA-Factory joins them."""
    given = {column: value.get(key) for column, key in shape.columns.items()}
    names = ("prompt", "query", "system", *(_PAIR if shape.ranking else ("response",)))
    texts = {name: text_of(given.get(name)) for name in names}
    if any(text is None for text in texts.values()):
        return Parsed(flaw="not_text")
    said = {name: text or "" for name, text in texts.items()}
    turns = _history(given.get("history"))
    if turns is None:
        return Parsed(flaw="bad_history")
    prompt = "\n".join(part for part in (said["prompt"], said["query"]) if part)
    turns.append(Turn("user", prompt))
    if not shape.ranking:
        turns.append(Turn("assistant", said["response"]))
    answered = all(said[name].strip() for name in names[3:])
    return Parsed(
        said["system"],
        tuple(turns),
        said["query"],
        said.get("chosen"),
        said.get("rejected"),
        tools_of(given.get("tools")),
        verdict_of(value, shape),
        "empty_response" if not answered else "" if prompt.strip() else "empty_prompt",
    )


def _history(value: Any) -> list[Turn] | None:
    """Return earlier exchanges as turns, None if they are not pairs of texts."""
    turns: list[Turn] = []
    if value is None or value == "":  # what an empty cell of a CSV is
        return turns
    if not isinstance(value, list):
        return None
    for pair in value:
        if not isinstance(pair, list) or [type(text) for text in pair] != [str, str]:
            return None
        turns += [Turn("user", pair[0]), Turn("assistant", pair[1])]
    return turns
