"""Alpaca: an instruction, perhaps an input, and an output; earlier exchanges under `history`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.data.formats import OWN_KEYS, Format
from curate.data.schema import (
    MEDIA,
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
# What may stand beside prompt and response, under LLaMA-Factory's own names.
BESIDE: Mapping[str, str] = {name: name for name in ("system", "history", "tools", *MEDIA)}
OPTIONAL: Mapping[str, str] = {"query": "input", "response": "output", **BESIDE}
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
    fields = {column: value.get(key) for column, key in shape.columns.items()}
    answers = _PAIR if shape.ranking else ("response",)
    texts: dict[str, str] = {}
    for name in ("prompt", "query", "system", *answers):
        text = text_of(fields.get(name))
        if text is None:
            return Parsed(flaw="not_text")
        texts[name] = text
    turns = _history(fields.get("history"))
    if turns is None:
        return Parsed(flaw="bad_history")
    prompt = "\n".join(part for part in (texts["prompt"], texts["query"]) if part)
    turns.append(Turn("user", prompt))
    if not shape.ranking:
        turns.append(Turn("assistant", texts["response"]))
    answered = all(texts[name].strip() for name in answers)
    return Parsed(
        system=texts["system"],
        turns=tuple(turns),
        input=texts["query"],
        chosen=texts.get("chosen"),
        rejected=texts.get("rejected"),
        tools=tools_of(fields.get("tools")),
        verdict=verdict_of(value, shape),
        flaw="empty_response" if not answered else "" if prompt.strip() else "empty_prompt",
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


FORMATS = (
    Format(
        name=NAME,
        keys="instruction, output and perhaps input, system, history",
        rank=OWN_KEYS,
        detect=detect,
        convert=convert,
        optional=OPTIONAL,
    ),
)
