"""One shape for the rows of all sources: their own where it is the same, else the canonical."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curate.data.formats import parse
from curate.data.rows import Rows
from curate.data.schema import Shape
from curate.data.to_sharegpt import canonical_row, canonical_shape
from curate.errors import DataError
from curate.mixture.tokens import text_of_row

_MEDIA = frozenset({"images", "videos", "audios"})


@dataclass(frozen=True)
class CommonShape:
    """How rows are written.

    Attributes:
        shape: Of the output.
        convert: From an original row and its shape to the row that is written; None where rows
            are written whole, as they are.
        note: What was done, for people; '' where rows are written as they are.
    """

    shape: Shape
    convert: Callable[[dict[str, Any], Shape], dict[str, Any]] | None = None
    note: str = ""


def common_shape(sources: Sequence[Rows], stage: str) -> CommonShape:
    """Return the shape in which rows of all sources can be written to one file."""
    for rows in sources:
        _check(rows.sources[0].name, rows.shape.kind, stage)
    shapes = [rows.shape for rows in sources]
    if stage == "pt" and any(shape.kind == "sft" for shape in shapes):
        names = dict.fromkeys(rows.sources[0].name for rows in sources if rows.shape.kind == "sft")
        return CommonShape(
            canonical_shape("pretraining"),
            _as_text,
            f"{', '.join(names)}: instructions are written as text for pre-training, one row a "
            "text: the questions and answers one below the other, without names of roles",
        )
    if shape := _same(shapes):
        return CommonShape(shape)
    media = frozenset(column for each in shapes for column in each.columns if column in _MEDIA)
    target = canonical_shape("pretraining" if stage == "pt" else "sft", media)
    formats = dict.fromkeys(f"{rows.sources[0].name}: {rows.shape.format}" for rows in sources)
    return CommonShape(
        target,
        lambda value, own: canonical_row(parse(value, own), value, target, own),
        f"the sources differ in shape ({', '.join(formats)}): all "
        f"rows are written as {target.format}; keys that hold no part of the dialogue are left out",
    )


def _check(name: str, kind: str, stage: str) -> None:
    wanted = "a mixture is of instructions (--stage sft) or texts (--stage pt); leave it out"
    if kind == "preference":
        raise DataError(f"{name} holds preference pairs (chosen and rejected), and {wanted}")
    if kind == "kto":
        raise DataError(
            f"{name} holds rows with verdicts on their responses (kto_tag), the bad ones among "
            f"them, and {wanted}, or give --good-only, which leaves the bad ones out"
        )
    if kind == "pretraining" and stage == "sft":
        raise DataError(
            f"{name} holds texts without a response, and --stage sft trains on responses; give "
            "instructions, or --stage pt"
        )


def _same(shapes: Sequence[Shape]) -> Shape | None:
    """Return the one shape that all have, perhaps with columns that only some have."""
    first = shapes[0]
    columns: dict[str, str] = {}
    for shape in shapes:
        if (shape.formatting, shape.tags) != (first.formatting, first.tags):
            return None
        if any(columns.get(name, key) != key for name, key in shape.columns.items()):
            return None
        columns = {**shape.columns, **columns}
    # One key under two columns would be read twice.
    return replace(first, columns=columns) if len({*columns.values()}) == len(columns) else None


def _as_text(value: dict[str, Any], own: Shape) -> dict[str, Any]:
    row = parse(value, own)
    return {"text": text_of_row(row.system, [turn.content for turn in row.turns])}
