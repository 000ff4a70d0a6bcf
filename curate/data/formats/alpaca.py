"""Alpaca: an instruction, perhaps an input, and an output; earlier exchanges under `history`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.data.shape import Parsed, Shape, Turn, kto_column, mostly, text_of, tools_of

NAME = "alpaca"
KEYS = "instruction, output and perhaps input, system, history"
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


def detect(samples: list[dict[str, Any]]) -> Shape | None:
    """Return the shape if most rows have an instruction and something to learn from.

    Args:
        samples: The file's first rows.
    """
    ranking = mostly(samples, "instruction", "chosen", "rejected")
    if not ranking and not mostly(samples, "instruction", "output"):
        return None
    pair = {"chosen": "chosen", "rejected": "rejected"} if ranking else {}
    shape = Shape(NAME, "alpaca", {"prompt": "instruction"}, {}, ranking)
    keys = {key for row in samples for key in row}
    return shape.with_columns(OPTIONAL, keys).with_columns(pair | kto_column(samples), keys)


def parse(value: dict[str, Any], shape: Shape) -> Parsed:
    """Return the canonical view; instruction and input are joined as LLaMA-Factory joins them.

    Args:
        value: A row.
        shape: Of its file.
    """
    names = ("instruction", "input", "output", "system", "chosen", "rejected")
    texts = [text_of(value.get(name)) for name in names]
    if not shape.ranking:
        texts[4:] = ["", ""]
    if any(text is None for text in texts):
        return Parsed(flaw="not_text")
    instruction, given, output, system, chosen, rejected = (text or "" for text in texts)
    turns = _history(value.get("history"))
    if turns is None:
        return Parsed(flaw="bad_history")
    prompt = "\n".join(part for part in (instruction, given) if part)
    turns.append(Turn("user", prompt))
    if not shape.ranking:
        turns.append(Turn("assistant", output))
    answered = chosen.strip() and rejected.strip() if shape.ranking else output.strip()
    return Parsed(
        system,
        tuple(turns),
        given,
        chosen if shape.ranking else None,
        rejected if shape.ranking else None,
        tools_of(value.get("tools")),
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
