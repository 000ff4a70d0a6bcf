"""Rows whose layout is a table: which of their keys is which of LLaMA-Factory's columns.

One line a layout. A row is read and emitted as it is; the entry in dataset_info.json says which key
is which. Keys that are not named here stay in the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from curate.data.canonical import tools_of
from curate.data.formats import KEYS_ALONE, ONE_TEXT, OWN_KEYS, Format, kto_column, mostly
from curate.data.schema import MEDIA, Converted, Shape

# What may stand beside prompt and response, under LLaMA-Factory's own names.
_BESIDE = {column: column for column in ("system", "history", "tools", *MEDIA)}


def tools_as_text(value: dict[str, Any], shape: Shape) -> Converted:
    """Return the row with its descriptions of tools as text, the one way LLaMA-Factory has them."""
    key = shape.columns.get("tools", "")
    if not key or not value.get(key) or isinstance(value[key], str):
        return Converted(value)
    return Converted(
        value | {key: tools_of(value[key])}, ("descriptions of tools written as text",)
    )


def _first_texts(value: dict[str, Any], shape: Shape) -> Converted:
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
    with_tools = tools_as_text(value | texts, shape)
    return Converted(with_tools.row, (*changes, *with_tools.changes))


def _leaves(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return [leaf for item in value for leaf in _leaves(item)]


class Layout(NamedTuple):
    """A line of the table; columns are LLaMA-Factory's, each with the key of the rows."""

    name: str
    title: str
    columns: Mapping[str, str]  # what a row has
    optional: Mapping[str, str] = _BESIDE  # what a row may lack
    needs: tuple[str, ...] = ()  # optional columns that most rows have all the same
    pair: tuple[str, ...] = ()  # keys of two responses to compare, which may stand for `needs`
    context: tuple[str, ...] = ()  # keys that may go with the prompt; the first that occurs does
    rank: int = KEYS_ALONE
    convert: Callable[[dict[str, Any], Shape], Converted] = _first_texts
    keys: str = ""  # for people; '' for those of `columns`


LAYOUTS = (
    Layout(
        "alpaca", "", {"prompt": "instruction"},
        optional={"query": "input", "response": "output", **_BESIDE},
        needs=("response",), pair=("chosen", "rejected"), rank=OWN_KEYS, convert=tools_as_text,
        keys="instruction, output and perhaps input, system, history",
    ),
    Layout(
        "pretraining", "", {"prompt": "text"}, optional={}, rank=ONE_TEXT, convert=tools_as_text
    ),
    Layout("qa", "question and answer", {"prompt": "question", "response": "answer"}),
    Layout("qas", "questions and answers", {"prompt": "questions", "response": "answers"}),
    Layout("wenda", "问 and 答", {"prompt": "问", "response": "答"}),
    Layout("query", "query and response", {"prompt": "query", "response": "response"}),
    Layout("prompt", "prompt and response", {"prompt": "prompt", "response": "response"}),
    Layout("completion", "prompt and completion", {"prompt": "prompt", "response": "completion"}),
    Layout(
        "dolly", "instruction and response", {"prompt": "instruction", "response": "response"},
        context=("context", "input"),
    ),
    Layout("io", "input and output", {"prompt": "input", "response": "output"}),
    Layout("firefly", "firefly", {"prompt": "input", "response": "target"}),
    Layout(
        "reward", "question and two responses",
        {"prompt": "question", "chosen": "response_chosen", "rejected": "response_rejected"},
    ),
    Layout(
        "preference", "prompt and two responses",
        {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
    ),
)  # fmt: skip


def _detect(layout: Layout, samples: list[dict[str, Any]]) -> Shape | None:
    prompt = layout.columns.values()
    pair = dict(zip(layout.pair, layout.pair, strict=True))
    if not pair or not mostly(samples, *prompt, *pair):
        pair = {}
        if not mostly(samples, *prompt, *(layout.optional[column] for column in layout.needs)):
            return None
    keys = {key for row in samples for key in row}
    context = next(({"query": key} for key in layout.context if key in keys), {})
    columns = {**layout.columns, **context}
    # A bare text has no response that a verdict could be on.
    verdict = {} if layout.rank == ONE_TEXT else kto_column(samples)
    shape = Shape(layout.name, "alpaca", columns, {}, ranking=bool(pair) or "chosen" in columns)
    return shape.with_columns({**pair, **verdict, **layout.optional}, keys)


FORMATS = tuple(
    Format(
        name=layout.name,
        keys=layout.keys or ", ".join(layout.columns.values()),
        rank=layout.rank,
        detect=partial(_detect, layout),
        convert=layout.convert,
        optional=layout.optional,
        title=layout.title,
    )
    for layout in LAYOUTS
)
