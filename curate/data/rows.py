"""A row as scorers see it, and many rows on disk that look like one list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.canonical import parse
from curate.data.describe import Description, counted, describe, lengths, to_html, to_text
from curate.data.ids import id_of, occurrences
from curate.data.places import places_of
from curate.data.schema import STRUCTURAL, Parsed, Shape, Source, Turn
from curate.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset

    from curate.notebook.pictures import Picture

CHUNK = 1000
_CARDS = 10  # of so few rows each shows itself


@dataclass(frozen=True, slots=True)
class Row:
    """One row: where it stands, what it says, and the value it was read from."""

    id: str  # 16 hex digits of its content, and a number from the second equal row on
    position: int  # place among all rows, from 0
    source: str  # name of its file
    where: str  # its place in that file, for people
    value: Any  # the row as it is emitted
    parsed: Parsed  # what it says
    named: frozenset[str] = frozenset()  # keys of the value that are read

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

    def __repr__(self) -> str:
        from curate.data.cards import card_lines

        return "\n".join(card_lines(self, {}, brief=True))

    def _repr_html_(self) -> str:
        from curate.data.cards import card_html

        return card_html(self, {})


@dataclass(frozen=True)
class Part:
    """What rows that were taken out of more cannot tell of themselves."""

    repeats: NDArray[np.int64]  # (n,) equal rows before each among all
    numbers: NDArray[np.int64]  # (n,) of each row's file among the sources


@dataclass(frozen=True)
class Rows:
    """Rows of one shape, memory-mapped: what is held in memory is 8 bytes a row.

    A place, an id of any table, a slice, a list of them or a mask takes out one row, or rows that
    have the ids they had and go into whatever takes rows:

    Example:
        >>> rows[3], rows["35bb6cdee57bdaf5"]
        >>> rows[2:5], rows[[1, 5]], rows[cherry.scores["tokens"] < 500], rows.sample(5, seed=1)
    """

    shape: Shape  # keys and role names, for dataset_info.json
    sources: tuple[Source, ...]  # the files, in the order in which their rows follow each other
    table: pa.Table  # a row as JSON in `raw`, its hash, flaw and place, and counts to describe it
    part: Part | None = field(default=None, repr=False, compare=False)  # where there were more

    def __len__(self) -> int:
        """Return how many rows there are."""
        return int(self.table.num_rows)

    @overload
    def __getitem__(self, key: int | str) -> Row: ...

    @overload
    def __getitem__(
        self, key: slice | list[Any] | NDArray[Any] | pd.Series[Any] | pd.Index[Any]
    ) -> Rows: ...

    def __getitem__(self, key: Any) -> Row | Rows:
        """Return one row, or several in the order in which they are named."""
        places = self.places(key)
        if isinstance(places, int):
            return next(self._rows(places, self.table.slice(places, 1)))
        return self.at(places)

    def __contains__(self, row_id: object) -> bool:
        """Tell whether one of the rows has an id."""
        return row_id in self._by_id

    def places(self, key: Any) -> int | NDArray[np.int64]:
        """Return the place, or places, of what may stand in the brackets of `rows[…]`."""
        return places_of(key, len(self), lambda: self._by_id)

    def at(self, places: NDArray[np.int64], how: str = "what is counted is of all") -> Rows:
        """Return the rows at some places (m,), in their order, with the ids they have here.

        `how` goes behind "3 of 120 rows" where it is told how the file was read.
        """
        ordered = np.unique(places)
        if len(ordered) and ordered[-1] - ordered[0] + 1 == len(ordered):
            table = self.table.slice(int(ordered[0]), len(ordered))
        else:
            among = np.zeros(len(self), dtype=bool)
            among[ordered] = True
            table = self.table.filter(pa.array(among))
        if not np.array_equal(places, ordered):
            table = table.take(pa.array(np.searchsorted(ordered, places)))
        files, numbers = np.unique(self._numbers[places], return_inverse=True)
        sources = []
        for new, number in enumerate(files.tolist()):
            own, source = numbers == new, self.sources[number]
            if own.sum() < source.rows or not (np.diff(places[own]) > 0).all():
                source = _part_of(source, table if own.all() else table.filter(own), how)
            sources.append(source)
        sources = sources or [_part_of(self.sources[0], table, how)]
        return Rows(self.shape, tuple(sources), table, Part(self.repeats[places], numbers))

    def head(self, n: int = 5) -> Rows:
        """Return the first n rows."""
        return self.at(np.arange(min(_count("head", n), len(self))))

    def sample(self, n: int = 5, seed: int = 0) -> Rows:
        """Return n rows in the order in which they are drawn, by their ids; never a row twice."""
        if _count("sample", n) > len(self):
            raise UsageError(f"sample({n}): of {counted(len(self))}; give as many or fewer")
        order = np.random.default_rng(seed).permutation(len(self))[:n]
        return self.at(np.argsort(self.ids.astype(str), kind="stable")[order])

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows with their own columns, as they are emitted; `read()` takes them back."""
        from curate.data.in_memory import as_frame

        return as_frame(row.value for row in self)

    def to_dataset(self) -> Dataset:
        """Return the rows with their own columns as a `datasets.Dataset`; `read()` takes it back.

        A column has one type there: values of several are written as text, as `emit()` does it.
        """
        from curate.data.in_memory import as_dataset

        return as_dataset([row.value for row in self], set(self.shape.columns.values()))

    def by_file(self) -> Iterator[tuple[NDArray[np.int64] | slice, Rows]]:
        """Yield the rows of each file alone, and their places among all."""
        for number, (source, end) in enumerate(zip(self.sources, self._ends, strict=True)):
            if self.part is None:
                span = slice(int(end) - source.rows, int(end))
                yield span, Rows(self.shape, (source,), self.table.slice(span.start, source.rows))
            else:
                places = np.flatnonzero(self.part.numbers == number)
                yield places, replace(self.at(places), sources=(source,))

    def __iter__(self) -> Iterator[Row]:
        """Yield every row in order."""
        for start in range(0, len(self), CHUNK):
            yield from self._rows(start, self.table.slice(start, CHUNK))

    @cached_property
    def identity(self) -> str:
        """A sha256 over all that the rows say, in their order, and what is wrong with them."""
        shape = sorted(self.shape.as_dict().items())
        flaws = "\0".join(self.table.column("flaw").to_pylist())
        return hashlib.sha256(f"{shape}\0{flaws}\0".encode() + self.hashes.tobytes()).hexdigest()

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """Content hashes, shape (n,)."""
        column: NDArray[np.uint64] = self.table.column("hash").to_numpy()
        return column

    @cached_property
    def repeats(self) -> NDArray[np.int64]:
        """Equal rows before each row, shape (n,)."""
        if self.part:
            return self.part.repeats
        return occurrences(self.hashes)

    @cached_property
    def ids(self) -> NDArray[np.object_]:
        """Ids of all rows, shape (n,); made when they are asked for."""
        return np.array(self.ids_of(0, len(self)), dtype=object)

    def ids_of(self, start: int, end: int) -> list[str]:
        """Return the ids of the rows from one place to before another."""
        pairs = zip(self.hashes[start:end].tolist(), self.repeats[start:end].tolist(), strict=True)
        return [id_of(content, times) for content, times in pairs]

    @cached_property
    def id_keys(self) -> NDArray[np.bytes_]:
        """Ids as bytes, (n,), to be sorted by: a quarter of the memory that texts take."""
        longest = id_of(0, int(self.repeats.max(initial=0)))
        keys = np.empty(len(self), f"S{len(longest)}")
        for start in range(0, len(self), CHUNK):
            keys[start : start + CHUNK] = self.ids_of(start, start + CHUNK)
        return keys

    @cached_property
    def _by_id(self) -> dict[str, int]:
        return {row_id: place for place, row_id in enumerate(self.ids.tolist())}

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

    @cached_property
    def _numbers(self) -> NDArray[np.int64]:
        if self.part:
            return self.part.numbers
        return np.repeat(np.arange(len(self.sources)), [source.rows for source in self.sources])

    @property
    def source_names(self) -> NDArray[np.object_]:
        """Name of each row's file, shape (n,)."""
        return np.array([source.name for source in self.sources], dtype=object)[self._numbers]

    def source_of(self, position: int) -> Source:
        """Return the file that the row at a place among all rows came from."""
        return self.sources[int(self._files(np.array([position]))[0])]

    def _files(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.part:
            return self.part.numbers[places]
        return np.searchsorted(self._ends, places, side="right")

    def flaws(self) -> dict[str, int]:
        """Return how many rows have each flaw, the most frequent first."""
        counts = self.table.column("flaw").value_counts().to_pylist()
        ordered = sorted((-flaw["counts"], flaw["values"]) for flaw in counts if flaw["values"])
        return {flaw: -count for count, flaw in ordered}

    def _rows(self, start: int, part: pa.Table) -> Iterator[Row]:
        named = frozenset(self.shape.columns.values())
        columns = [part.column(name).to_pylist() for name in ("raw", "hash", "flaw", "where")]
        places = np.arange(start, start + len(part))
        columns += [self._files(places).tolist(), self.repeats[places].tolist()]
        lines = enumerate(zip(*columns, strict=True), start)
        for position, (raw, content, flaw, where, source, before) in lines:
            value = json.loads(raw)
            # A structural flaw was found before any parsing and leaves nothing to parse.
            view = Parsed() if flaw in STRUCTURAL else parse(value, self.shape)
            yield Row(
                id=id_of(content, before),
                position=position,
                source=self.sources[source].name,
                where=where,
                value=value,
                parsed=view if view.flaw == flaw else view._replace(flaw=flaw),
                named=named,
            )

    def description(self) -> Description:
        """Return turns, languages, lengths, repeats and flaws, counted when the rows were read."""
        repeats = int((self.repeats > 0).sum())
        return describe(self.table, self.sources, repeats, self.flaws())

    def plot(self) -> Picture:
        """Return a figure of the lengths of prompts and responses, in characters."""
        return lengths(self.table)

    def __repr__(self) -> str:
        if self.part and 0 < len(self) <= _CARDS:
            return "\n".join(map(repr, self))
        return to_text(self.description())

    def _repr_html_(self) -> str:
        if self.part and 0 < len(self) <= _CARDS:
            return "".join(row._repr_html_() for row in self)
        return to_html(self.description())


def _count(what: str, n: object) -> int:
    if not isinstance(n, int | np.integer) or n < 0:
        raise UsageError(f"{what}({n!r}): allowed is a number of rows, 0 and more")
    return int(n)


def _part_of(source: Source, table: pa.Table, how: str) -> Source:
    """Return what is known of a file of which some rows are taken; `part` tells which."""
    digest = hashlib.sha256(table.column("hash").to_numpy().tobytes())
    digest.update("\n".join(table.column("where").to_pylist()).encode("utf-8", "surrogatepass"))
    rows = f"{len(table):,} of {source.rows:,} rows"
    return replace(
        source,
        rows=len(table),
        part=f"{source.part} {rows} {digest.hexdigest()[:12]}".strip(),
        changes={f"{rows}, {how}": 0, **source.changes},
    )
