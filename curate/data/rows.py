"""A row as scorers see it, and many rows on disk that look like one list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.canonical import parse
from curate.data.describe import Description, describe, to_html, to_text
from curate.data.ids import id_of, occurrences
from curate.data.schema import STRUCTURAL, Parsed, Shape, Source, Turn

if TYPE_CHECKING:
    from datasets import Dataset

CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, what it says, and the value it was read from."""

    id: str  # 16 hex digits of its content, and a number from the second equal row on
    position: int  # place among all rows, from 0
    source: str  # name of its file
    where: str  # its place in that file, for people
    value: Any  # the row as it is emitted
    parsed: Parsed  # what it says

    @property
    def system(self) -> str:
        """The system prompt, '' without one."""
        return self.parsed.system

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All messages but a leading system message."""
        return self.parsed.turns

    @property
    def input(self) -> str:
        """Alpaca's input, which is also part of the last user turn."""
        return self.parsed.input

    @property
    def flaw(self) -> str:
        """Why the row cannot be trained on, '' if it can."""
        return self.parsed.flaw

    @property
    def prompt(self) -> str:
        """The last thing that was asked."""
        return self.parsed.prompt

    @property
    def response(self) -> str:
        """The last answer; the preferred one of a ranking row."""
        return self.parsed.response


@dataclass(frozen=True)
class Rows:
    """Rows of one shape, memory-mapped: what is held in memory is 8 bytes a row."""

    shape: Shape  # keys and role names, for dataset_info.json
    sources: tuple[Source, ...]  # the files, in the order in which their rows follow each other
    table: pa.Table  # a row as JSON in `raw`, its hash, flaw and place, and counts to describe it

    def __len__(self) -> int:
        """Return how many rows there are."""
        return int(self.table.num_rows)

    def __getitem__(self, position: int) -> Row:
        """Return one row; negative positions count from the end."""
        size = len(self)
        if not -size <= position < size:
            raise IndexError(f"row {position} of {size}")
        position %= size
        return next(self._rows(position, self.table.slice(position, 1)))

    def __iter__(self) -> Iterator[Row]:
        """Yield every row in order."""
        for start in range(0, len(self), CHUNK):
            yield from self._rows(start, self.table.slice(start, CHUNK))

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """Content hashes, shape (n,)."""
        column: NDArray[np.uint64] = self.table.column("hash").to_numpy()
        return column

    @cached_property
    def repeats(self) -> NDArray[np.int64]:
        """Equal rows before each row, shape (n,)."""
        return occurrences(self.hashes)

    @cached_property
    def ids(self) -> NDArray[np.object_]:
        """Ids of all rows, shape (n,); made when they are asked for."""
        pairs = zip(self.hashes.tolist(), self.repeats.tolist(), strict=True)
        return np.array([id_of(content, times) for content, times in pairs], dtype=object)

    @cached_property
    def dataset(self) -> Dataset:
        """The rows as a `datasets.Dataset` over the same memory-mapped file.

        Its columns are those of `table`; `read()` takes it back, filtered or shuffled.

        Example:
            >>> long = rows.dataset.filter(lambda row: row["response_characters"] > 200)
            >>> curate.read(long)
        """
        from datasets import Dataset
        from datasets.table import InMemoryTable

        # Else it would be made from the bytes of all rows.
        fingerprint = hashlib.sha256(self.hashes.tobytes()).hexdigest()[:16]
        return Dataset(InMemoryTable(self.table), fingerprint=fingerprint)

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum([source.rows for source in self.sources])

    def source_of(self, position: int) -> Source:
        """Return the file that the row at a place among all rows came from."""
        return self.sources[int(np.searchsorted(self._ends, position, side="right"))]

    def flaws(self) -> dict[str, int]:
        """Return how many rows have each flaw, the most frequent first."""
        counts = self.table.column("flaw").value_counts().to_pylist()
        ordered = sorted((-flaw["counts"], flaw["values"]) for flaw in counts if flaw["values"])
        return {flaw: -count for count, flaw in ordered}

    def _rows(self, start: int, part: pa.Table) -> Iterator[Row]:
        columns = (part.column(name).to_pylist() for name in ("raw", "hash", "flaw", "where"))
        for position, (raw, content, flaw, where) in enumerate(zip(*columns, strict=True), start):
            value = json.loads(raw)
            # A structural flaw was found before any parsing and leaves nothing to parse.
            view = Parsed() if flaw in STRUCTURAL else parse(value, self.shape)
            yield Row(
                id=id_of(content, int(self.repeats[position])),
                position=position,
                source=self.source_of(position).name,
                where=where,
                value=value,
                parsed=replace(view, flaw=flaw),
            )

    def description(self) -> Description:
        """Return turns, languages, lengths, repeats and flaws, counted when the rows were read."""
        repeats = int((self.repeats > 0).sum())
        return describe(self.table, self.sources, repeats, self.flaws())

    def __repr__(self) -> str:
        return to_text(self.description())

    def _repr_html_(self) -> str:
        return to_html(self.description())
