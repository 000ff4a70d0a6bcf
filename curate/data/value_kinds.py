"""Kinds of values at every place of a file's rows, found once for each file.

With them, rows can be copied as text: that no value has to be changed is known beforehand.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from curate.data.even_columns import Place, collect
from curate.data.row_cache import READER
from curate.data.rows import Rows
from curate.system.cache import kept_bytes

# Part of the key: a changed way of looking never takes an older answer.
_LOOKING = "2"
_BLOCK = 16 << 20


@dataclass
class ValueKinds:
    """What is known of some rows.

    Attributes:
        rows: How many.
        keys: Key to the rows that have it.
        kinds: Place to the kinds of the values there.
    """

    rows: int = 0
    keys: Counter[str] = field(default_factory=Counter)
    kinds: dict[Place, set[str]] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        """Look at one row."""
        self.rows += 1
        self.keys.update(row.keys())
        collect(row, self.kinds)

    def join(self, other: ValueKinds) -> None:
        """Take over what is known of other rows."""
        self.rows += other.rows
        self.keys.update(other.keys)
        for place, kinds in other.kinds.items():
            self.kinds.setdefault(place, set()).update(kinds)

    def same_keys(self) -> bool:
        """Tell whether every row has every key."""
        return all(count == self.rows for count in self.keys.values())


def kinds_of(rows: Rows) -> ValueKinds:
    """Return what is known of a file's rows without a flaw; the second time, nothing is parsed."""

    def look() -> bytes:
        seen = ValueKinds()
        for block in blocks(rows.table.select(["raw", "flaw"])):
            columns = (block.column(name).to_pylist() for name in ("raw", "flaw"))
            for raw, flaw in zip(*columns, strict=True):
                if not flaw:
                    seen.add(json.loads(raw))
        kinds = [[place, sorted(kinds)] for place, kinds in seen.kinds.items()]
        return json.dumps([seen.rows, seen.keys, kinds]).encode()

    source = rows.sources[0]
    read = [READER, source.sha256, source.format, source.fill, source.rows, len(rows)]
    answer = kept_bytes("value_kinds", "kinds of values", [_LOOKING, *read], look)
    count, keys, kinds = json.loads(answer)
    return ValueKinds(count, Counter(keys), {tuple(place): set(seen) for place, seen in kinds})


def blocks(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Yield all rows of a memory-mapped table in order, some megabytes at a time."""
    waiting: list[pa.RecordBatch] = []
    size = 0
    for batch in table.to_batches():
        waiting.append(batch)
        size += batch.nbytes
        if size >= _BLOCK:
            yield pa.concat_batches(waiting)
            waiting, size = [], 0
    if waiting:
        yield pa.concat_batches(waiting)
