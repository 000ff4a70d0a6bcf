"""Rows in another layout or another container: what has no place there is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.data.canonical import canonical_row, canonical_shape
from curate.data.formats.messages import TAGS
from curate.data.read import sources_as_dicts
from curate.data.rows import Row, Rows
from curate.data.schema import MEDIA, Shape
from curate.emission.emit import CONTAINERS, write_values
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


def _alpaca(own: Shape) -> Shape:
    columns = {name: key for name, key in _FIELDS.items() if name != "response" or not own.ranking}
    return Shape("alpaca", "alpaca", columns, {}, own.ranking)


def _messages(own: Shape) -> Shape:
    columns = {"messages": "messages", "tools": "tools"}
    return Shape("sharegpt", "sharegpt", columns, dict(TAGS), own.ranking)


LAYOUTS: dict[str, Callable[[Shape], Shape]] = {
    "alpaca": _alpaca,
    "sharegpt": lambda own: canonical_shape(own.kind),
    "messages": _messages,
}


@dataclass(frozen=True)
class ConvertParams:
    """The layout and the container that rows are written in."""

    to: str
    container: str = "jsonl"

    def __post_init__(self) -> None:
        """Refuse what there is not."""
        check_one_of("--to", self.to, LAYOUTS)
        check_one_of("--as", self.container, CONTAINERS)


@dataclass(frozen=True)
class Conversion:
    """Rows to be written in another layout.

    Attributes:
        rows: As they were read.
        params: See ConvertParams.
        reasons: (n,) why a row cannot be written, '' for one that can.
    """

    rows: Rows
    params: ConvertParams
    reasons: np.ndarray[Any, np.dtype[np.object_]]
    recipe: str = NAME

    @property
    def name(self) -> str:
        """The name of the data set, unless another is given."""
        return f"{Path(self.rows.sources[0].name).stem}_{self.params.to}"

    @cached_property
    def shape(self) -> Shape:
        """The shape that rows are written in, with a place for all that the file has."""
        return _target(self.rows.shape, self.params.to)

    def counts(self) -> dict[str, Any]:
        """Return how many rows were read and written, and why others were not."""
        dropped = Counter(sorted(reason for reason in self.reasons if reason))
        kept = len(self.rows) - dropped.total()
        return {"read": len(self.rows), "scored": 0, "kept": kept, "dropped": dict(dropped)}

    def values(self) -> Iterator[dict[str, Any]]:
        """Yield the rows as they are written."""
        for row in self.rows:
            if not self.reasons[row.position]:
                yield _written(row, self.rows.shape, self.shape)

    def emit_to(self, folder: Path, name: str) -> list[str]:
        """Write the rows and all that belongs to them; return the names of the files."""
        counts = self.counts()
        if not counts["kept"]:
            reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in counts["dropped"].items())
            raise DataError(
                f"no row can be written as {self.params.to} ({reasons}); give another --to, or "
                "other rows"
            )
        ids, reasons = pa.array(self.rows.ids, pa.string()), pa.array(self.reasons, pa.string())
        table = pa.table(
            {
                "id": ids,
                "row": pa.array(np.arange(len(self.rows))),
                "status": pa.array(["ok"] * len(self.rows)),
                "kept": pa.array(self.reasons == ""),
                "reason": reasons,
            }
        )
        manifest = {
            "recipe": NAME,
            "params": asdict(self.params),
            "sources": sources_as_dicts(self.rows),
            "shape": self.shape.as_dict(),
            "counts": counts,
            "versions": versions(),
        }
        container = self.params.container
        return write_values(folder, name, self.values, self.shape, manifest, table, container)


def convert(rows: Rows, params: ConvertParams) -> Conversion:
    """Return rows to be written in another layout, and why for those that have no place there.

    Keys that hold no part of the dialogue go along as they are.

    Raises:
        UsageError: Texts for pre-training have no dialogue to be laid out.

    Example:
        >>> convert(curate.read("huatuo.json"), ConvertParams("alpaca")).counts()["kept"]
        5000
    """
    if rows.shape.kind == "pretraining":
        raise UsageError(
            f"--to {params.to}: {rows.sources[0].name} holds texts for pre-training, which have no "
            "prompt and no response; give rows of a dialogue"
        )
    target = _target(rows.shape, params.to)
    reasons = np.full(len(rows), "", dtype=object)
    for row in rows:
        reasons[row.position] = row.flaw or _misfit(row, rows.shape, target)
    return Conversion(rows=rows, params=params, reasons=reasons)


def _target(own: Shape, layout: str) -> Shape:
    shape = LAYOUTS[layout](own)
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
