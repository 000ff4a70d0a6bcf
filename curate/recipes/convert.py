"""Rows in another layout or another container: what has no place there is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.choices.emitting import say_what_is_replaced
from curate.data.canonical import canonical_row, canonical_shape
from curate.data.formats.messages import TAGS
from curate.data.read import sources_as_dicts
from curate.data.rows import Row, Rows
from curate.data.schema import MEDIA, Shape
from curate.emission.containers import CONTAINERS
from curate.emission.emit import check_target, write_values
from curate.errors import DataError, UsageError, check_one_of
from curate.system.manifest import versions

NAME = "convert"
_FIELDS = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "system": "system",
    "history": "history",
    "tools": "tools",
}
_PAIR = {"chosen": "chosen", "rejected": "rejected"}
LAYOUTS = ("alpaca", "sharegpt", "messages")


@dataclass(frozen=True)
class ConvertParams:
    """The layout and the container that rows are written in."""

    to: str
    container: str = "jsonl"
    shard_rows: int = 0

    def __post_init__(self) -> None:
        """Refuse what there is not."""
        check_one_of("--to", self.to, LAYOUTS)
        check_one_of("--as", self.container, CONTAINERS)
        if self.shard_rows < 0:
            raise UsageError(f"--shard-rows {self.shard_rows}: allowed is 1 or more rows a file")


def convert(
    rows: Rows, params: ConvertParams, folder: Path, name: str | None, overwrite: bool
) -> tuple[str, dict[str, Any], list[Path]]:
    """Write rows in another layout; return the data set's name, its counts and its files.

    Keys that hold no part of the dialogue go along as they are.
    """
    source = Path(rows.sources[0].name)
    if rows.shape.kind == "pretraining":
        raise UsageError(
            f"--to {params.to}: {source.name} holds texts for pre-training, which have no "
            "prompt and no response; give rows of a dialogue"
        )
    name, target = name or f"{source.stem}_{params.to}", _target(rows.shape, params.to)
    flaws = [row.flaw or _misfit(row, rows.shape, target) for row in rows]
    reasons = np.array(flaws, dtype=object)
    check_target(folder, name, NAME, overwrite, params.shard_rows)
    dropped = Counter(sorted(filter(None, flaws)))
    kept = len(rows) - dropped.total()
    if not kept:
        why = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
        raise DataError(
            f"no row can be written as {params.to} ({why}); give another --to, or other rows"
        )
    columns = {
        "id": pa.array(rows.ids, pa.string()),
        "row": pa.array(np.arange(len(rows))),
        "status": pa.array(["ok"] * len(rows)),
        "kept": pa.array(reasons == ""),
        "reason": pa.array(reasons, pa.string()),
    }
    counts = {"read": len(rows), "scored": 0, "kept": kept, "dropped": dict(dropped)}
    manifest = {
        "recipe": NAME,
        "params": asdict(params),
        "sources": sources_as_dicts(rows),
        "shape": target.as_dict(),
        "counts": counts,
        "versions": versions(),
    }

    def values() -> Iterator[dict[str, Any]]:
        return (_written(row, rows.shape, target) for row in rows if not reasons[row.position])

    if not overwrite:
        say_what_is_replaced(folder, name, {source.sha256 for source in rows.sources})
    how = (pa.table(columns), params.container, params.shard_rows)
    files = write_values(folder, name, values, target, manifest, *how)
    return name, counts, [folder / file for file in files]


def _target(own: Shape, layout: str) -> Shape:
    if layout == "sharegpt":
        shape = canonical_shape(own.kind)
    elif layout == "messages":
        columns = {"messages": "messages", "tools": "tools"}
        shape = Shape("sharegpt", "sharegpt", columns, dict(TAGS), own.ranking)
    else:
        columns = {k: key for k, key in _FIELDS.items() if k != "response" or not own.ranking}
        shape = Shape("alpaca", "alpaca", columns, {}, own.ranking)
    more = dict(_PAIR) if own.ranking else {}
    more |= {"kto_tag": "kto_tag"} if own.kind == "kto" else {}
    more |= {column: column for column in MEDIA if column in own.columns}
    return replace(shape, columns={**shape.columns, **more})


def _misfit(row: Row, own: Shape, target: Shape) -> str:
    try:
        canonical_row(row.parsed, row.value, target, own)
    except ValueError as error:
        return str(error).replace(" ", "_")
    return ""


def _written(row: Row, own: Shape, target: Shape) -> dict[str, Any]:
    """Return the row in the target's shape, without optional columns that hold nothing."""
    new = canonical_row(row.parsed, row.value, target, own)
    always = {target.columns.get(name) for name in ("query", "response", "kto_tag")}
    new = {key: part for key, part in new.items() if part not in ("", []) or key in always}
    if "query" in target.columns:
        new.setdefault(target.columns["query"], "")
    taken = {*own.columns.values(), *new}
    return new | {key: part for key, part in row.value.items() if key not in taken}
