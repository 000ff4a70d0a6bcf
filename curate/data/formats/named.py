"""Rows that need no converting: what LLaMA-Factory calls columns stands under other keys.

One line a format. A row is read and emitted as it is; the entry in dataset_info.json says which key
is which. Keys that are not named here stay in the row.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from curate.data.formats import KEYS_ALONE, Format, alpaca
from curate.data.schema import Converted, Shape, kto_column, mostly

# Name, title, LLaMA-Factory's column to the key.
_TABLE: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("qa", "question and answer", {"prompt": "question", "response": "answer"}),
    ("qas", "questions and answers", {"prompt": "questions", "response": "answers"}),
    ("wenda", "问 and 答", {"prompt": "问", "response": "答"}),
    ("query", "query and response", {"prompt": "query", "response": "response"}),
    ("prompt", "prompt and response", {"prompt": "prompt", "response": "response"}),
    ("completion", "prompt and completion", {"prompt": "prompt", "response": "completion"}),
    ("dolly", "instruction and response", {"prompt": "instruction", "response": "response"}),
    ("io", "input and output", {"prompt": "input", "response": "output"}),
    ("firefly", "firefly", {"prompt": "input", "response": "target"}),
    (
        "reward",
        "question and two responses",
        {"prompt": "question", "chosen": "response_chosen", "rejected": "response_rejected"},
    ),
    (
        "preference",
        "prompt and two responses",
        {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
    ),
)
# What goes with an instruction under the one format here that has instructions.
_CONTEXTS = ("context", "input")


def _detect(name: str, columns: Mapping[str, str], samples: list[dict[str, Any]]) -> Shape | None:
    if not mostly(samples, *columns.values()):
        return None
    keys = {key for row in samples for key in row}
    context = next((key for key in _CONTEXTS if key in keys), None)
    query = {"query": context} if name == "dolly" and context else {}
    shape = Shape(name, "alpaca", {**columns, **query}, {}, "chosen" in columns)
    return shape.with_columns({**alpaca.BESIDE, **kto_column(samples)}, keys)


def _convert(value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row with texts for lists of texts: the first wording, the first answer."""
    changes: list[str] = []
    texts: dict[str, str] = {}
    for column in ("prompt", "response"):
        key = shape.columns.get(column, "")
        leaves = _leaves(value.get(key)) if isinstance(value.get(key), list) else []
        if leaves and all(isinstance(leaf, str) for leaf in leaves):
            texts[key] = leaves[0]
            if len(leaves) > 1:
                changes.append(f"the first of several texts of '{key}' taken")
    converted = alpaca.convert(value | texts, shape)
    return Converted(converted.row, (*changes, *converted.changes))


def _leaves(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return [leaf for item in value for leaf in _leaves(item)]


FORMATS = tuple(
    Format(
        name=name,
        keys=", ".join(columns.values()),
        rank=KEYS_ALONE,
        detect=partial(_detect, name, columns),
        convert=_convert,
        optional=alpaca.BESIDE,
        title=title,
    )
    for name, title, columns in _TABLE
)
