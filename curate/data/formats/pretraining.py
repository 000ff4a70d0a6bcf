"""Pre-training: a text a row, to go on from its first word to its last."""

from __future__ import annotations

from typing import Any

from curate.data.formats import ONE_TEXT, Format
from curate.data.schema import Parsed, Shape, Turn, mostly, text_of

NAME = "pretraining"


def detect(samples: list[dict[str, Any]]) -> Shape | None:
    return Shape(NAME, "alpaca", {"prompt": "text"}) if mostly(samples, "text") else None


def parse(value: dict[str, Any], shape: Shape) -> Parsed:
    """Return the text as the one turn of a user, which is where LLaMA-Factory wants it."""
    text = text_of(value.get(shape.columns["prompt"]))
    if text is None:
        return Parsed(flaw="not_text")
    return Parsed(turns=(Turn("user", text),), flaw="" if text.strip() else "empty_text")


FORMATS = (Format(name=NAME, keys="text", rank=ONE_TEXT, detect=detect),)
