"""One shape for the rows of all sources: their own where it is the same, else the canonical."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.data.canonical import canonical_row, canonical_shape, parse
from curate.data.row_lines import as_table
from curate.data.rows import Rows
from curate.data.schema import MEDIA, Shape
from curate.errors import DataError

if TYPE_CHECKING:
    from curate.mixture.mixed import Mixed

_WANTED = "a mixture is of instructions (--stage sft) or texts (--stage pt); leave it out"
_REFUSED = {
    "preference": f"holds preference pairs (chosen and rejected), and {_WANTED}",
    "kto": "holds rows with verdicts on their responses (kto_tag), the bad ones among them, and "
    f"{_WANTED}, or give --good-only, which leaves the bad ones out",
}
_NO_RESPONSE = (
    "holds texts without a response, and --stage sft trains on responses; give instructions, or "
    "--stage pt"
)


@dataclass(frozen=True)
class CommonShape:
    shape: Shape  # of the output
    # From an original row and its shape to the row that is written; None: as it is.
    convert: Callable[[dict[str, Any], Shape], dict[str, Any]] | None = None
    note: str = ""  # what was done, for people


def common_shape(sources: Sequence[Rows], stage: str) -> CommonShape:
    """Return the shape in which rows of all sources can be written to one file."""
    refused = _REFUSED | ({"pretraining": _NO_RESPONSE} if stage == "sft" else {})
    for rows in sources:
        if why := refused.get(rows.shape.kind):
            raise DataError(f"{rows.sources[0].name} {why}")
    if stage == "pt" and any(rows.shape.kind == "sft" for rows in sources):

        def as_text(value: dict[str, Any], own: Shape) -> dict[str, Any]:
            row = parse(value, own)
            return {"text": text_of_row(row.system, [turn.content for turn in row.turns])}

        names = dict.fromkeys(rows.sources[0].name for rows in sources if rows.shape.kind == "sft")
        return CommonShape(
            shape=canonical_shape("pretraining"),
            convert=as_text,
            note=f"{', '.join(names)}: instructions are written as text for pre-training, one row "
            "a text: the questions and answers one below the other, without names of roles",
        )
    shapes = [rows.shape for rows in sources]
    same: Shape | None = shapes[0]
    for shape in shapes[1:]:
        same = same and same.joined(shape)
    if same:
        return CommonShape(same)
    media = frozenset(name for shape in shapes for name in shape.columns if name in MEDIA)
    target = canonical_shape("pretraining" if stage == "pt" else "sft", media)
    formats = dict.fromkeys(f"{rows.sources[0].name}: {rows.shape.format}" for rows in sources)
    return CommonShape(
        shape=target,
        convert=lambda value, own: canonical_row(parse(value, own), value, target, own),
        note=f"the sources differ in shape ({', '.join(formats)}): all rows are written as "
        f"{target.format}; keys that hold no part of the dialogue are left out",
    )


def text_of_row(system: str, turns: list[str]) -> str:
    """Return an instruction as text for pre-training: what is said, one line after the other.

    The system prompt and every exchange stand apart by an empty line. No names of roles are put
    in: they would be words that the base model learns to write.
    """
    pairs = ["\n".join(turns[at : at + 2]) for at in range(0, len(turns), 2)]
    return "\n\n".join([system, *pairs] if system else pairs)


def kept_rows(mixed: Mixed) -> Rows:
    """Return the rows that are written, each as often as it is, domain first."""
    taken, shape = [], mixed.common.shape
    for part in mixed.pool.parts:
        times = mixed.times[part.span].astype(np.int64)
        if times.any():
            rows = part.rows.at(np.repeat(np.arange(len(times)), times))
            if convert := mixed.common.convert:
                values = [convert(row.value, rows.shape) for row in rows]
                lines = [
                    (v, parse(v, shape), row.where) for v, row in zip(values, rows, strict=True)
                ]
                source = rows.sources[0]
                source = replace(source, part=f"{source.part} as {shape.format}".strip())
                rows = Rows(shape, (source,), as_table(lines))
            taken.append(rows)
    if not taken:
        return mixed.pool.parts[0].rows[:0]
    table = pa.concat_tables([rows.table for rows in taken])
    return Rows(shape, tuple(rows.sources[0] for rows in taken), table)
