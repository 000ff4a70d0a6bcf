"""A mixture that was made: which rows, how often, what each file gave, and how it is written."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.data.emit import default_name, told, write_files, write_values
from curate.data.even_columns import HEAD, columns_ahead
from curate.data.shuffle import Shuffle
from curate.data.value_kinds import ValueKinds, blocks, kinds_of
from curate.errors import DataError
from curate.html import html_table
from curate.mixture.common_shape import CommonShape
from curate.mixture.draw import Cut, Part, Pool, drawn
from curate.mixture.ratio import Ratio
from curate.mixture.spec import SIDES, Mixture
from curate.system.manifest import versions

if TYPE_CHECKING:
    import pandas as pd

NAME = "mix"
NOT_DRAWN = "not_drawn"
# More ids than this do not belong in a manifest; the table of scores has all.
_IDS = 1000
# Rows of a row group of the table of scores.
_GROUP = 65_000


@dataclass(frozen=True)
class SourceCount:
    """What a mixture took from one file.

    Attributes:
        side: `domain` or `general`.
        name: Of the file.
        read: Rows it has.
        left_out: Why rows cannot be used, to how many.
        kept: Different rows that were taken.
        written: Rows that were taken, each as often as it was.
        tokens: Of the rows that were taken; None by rows.
    """

    side: str
    name: str
    read: int
    left_out: dict[str, int]
    kept: int
    written: int
    tokens: int | None

    @property
    def usable(self) -> int:
        """Rows that could be taken."""
        return self.read - sum(self.left_out.values())

    def as_dict(self) -> dict[str, Any]:
        """Return what a manifest adds to what is known of the file."""
        tokens = {} if self.tokens is None else {"tokens": self.tokens}
        counts = {"usable": self.usable, "kept": self.kept, "written": self.written}
        return {"side": self.side, **counts, "left_out": self.left_out, **tokens}


@dataclass(frozen=True)
class Summary:
    """How many rows went where; `read` is `kept` plus all of `dropped`.

    Attributes:
        read: Rows of all sources.
        kept: Different rows that the mixture has.
        written: Rows of the output: kept rows, and their repeats.
        dropped: Reason to the rows it left out.
    """

    read: int
    kept: int
    written: int
    dropped: dict[str, int]


@dataclass(frozen=True)
class Mixed:
    """Domain and general rows at a ratio.

    Attributes:
        mixture: What was asked for.
        ratio: Which of its ratios this is.
        pool: All rows of all sources.
        cuts: For each file of the pool, how often its rows are taken.
        common: How rows are written.
        tokens: (n,) tokens of each row; None by rows.
        notes: What a user should be told, a sentence each.
        seconds: Wall time of reading and counting.
    """

    mixture: Mixture
    ratio: Ratio
    pool: Pool
    cuts: tuple[Cut, ...]
    common: CommonShape
    tokens: NDArray[np.int32] | None = None
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)
    recipe: str = NAME

    def times(self, number: int, start: int = 0, stop: int | None = None) -> NDArray[np.int32]:
        """Return how often rows of a file are taken: of file `number`, from place to place."""
        part, cut = self.pool.parts[number], self.cuts[number]
        stop = len(part.rows) if stop is None else stop
        span = slice(part.start + start, part.start + stop)
        times = np.full(stop - start, cut.passes, dtype=np.int32)
        if cut.last is not None:
            times += self.pool.order[span] <= np.uint64(cut.last)
        times[self.pool.state[span] != 0] = 0
        return times

    @cached_property
    def sources(self) -> tuple[SourceCount, ...]:
        """Counts of every file, domain first."""
        return tuple(self._count(number, part) for number, part in enumerate(self.pool.parts))

    def _count(self, number: int, part: Part) -> SourceCount:
        times = self.times(number)
        tokens = None
        if self.tokens is not None:
            tokens = int(np.dot(self.tokens[part.span].astype(np.int64), times))
        return SourceCount(
            side=part.side,
            name=part.source.name,
            read=len(part.rows),
            left_out=self.pool.left_out(part),
            kept=int((times > 0).sum()),
            written=int(times.sum()),
            tokens=tokens,
        )

    def summary(self) -> Summary:
        """Return the counts over all sources."""
        dropped: Counter[str] = Counter()
        for source in self.sources:
            dropped.update({**source.left_out, NOT_DRAWN: source.usable - source.kept})
        ordered = sorted((-rows, reason) for reason, rows in dropped.items() if rows)
        return Summary(
            read=sum(source.read for source in self.sources),
            kept=sum(source.kept for source in self.sources),
            written=sum(source.written for source in self.sources),
            dropped={reason: -rows for rows, reason in ordered},
        )

    def realised(self) -> str:
        """Return the ratio that came out, in rows, and in tokens where they were counted."""
        units = {"rows": "written"} | ({} if self.tokens is None else {"tokens": "tokens"})
        told = []
        for unit, counted in units.items():
            domain, general = (
                sum(getattr(source, counted) for source in self.sources if source.side == side)
                for side in SIDES
            )
            told.append(
                f"domain {domain:,} : general {general:,} {unit} = {_plain(domain, general)}"
            )
        return "; ".join(told)

    def table(self) -> tuple[list[tuple[object, ...]], tuple[str, ...]]:
        """Return a line for each file, for people, and the names of the columns."""
        tokens = () if self.tokens is None else ("tokens",)
        header = ("side", "source", "read", "usable", "kept", "written", *tokens)
        names = ["name" if column == "source" else column for column in header]
        return [tuple(getattr(each, name) for name in names) for each in self.sources], header

    @property
    def name(self) -> str:
        """The name of the output if none is given."""
        return name_of(self.mixture)

    def emit_to(self, folder: Path, name: str) -> list[str]:
        """Write the mixture and all that belongs to it; return the names of the files.

        Rows are copied as text. Only where columns have values of several types are they parsed,
        and written as those of a selection are.

        Args:
            folder: Where to write; room for the rows is taken there twice.
            name: Of the data set.

        Raises:
            DataError: There is no row to write.
            OutputError: The disk is full or the folder cannot be written.
        """
        if not self.summary().written:
            raise DataError("no row is left to write; give other data or another ratio")
        size = sum(
            part.rows.table.column("raw").nbytes * source.written // max(1, source.read)
            for part, source in zip(self.pool.parts, self.sources, strict=True)
        )
        shape, manifest, scores = self.common.shape, self.manifest(), self._reader()
        with told(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with Shuffle(folder, size) as shuffle:
                seen = self._add_to(shuffle)
                columns = columns_ahead(shuffle.values(HEAD), seen.kinds, {*shape.columns.values()})
                if columns.change_nothing and seen.same_keys():
                    copy = shuffle.copy_to
                    return write_files(folder, name, copy, columns, shape, manifest, scores)
                return write_values(folder, name, shuffle.values, shape, manifest, scores)

    def _add_to(self, shuffle: Shuffle) -> ValueKinds:
        """Add the rows that are taken as lines; return what is known of them, or of more."""
        seen = ValueKinds()
        for number, part in enumerate(self.pool.parts):
            if not self.sources[number].written:
                continue
            if self.common.convert is None:
                seen.join(kinds_of(part.rows))
            at = 0
            for block in blocks(part.rows.table.select(["raw", "hash"])):
                times = self.times(number, at, at + len(block))
                places = np.repeat(np.arange(len(times)), times)
                copies = np.arange(len(places)) - np.repeat(np.cumsum(times) - times, times)
                hashes = block.column("hash").to_numpy()[places]
                raw = block.column("raw").take(pa.array(places))
                shuffle.add(
                    drawn(hashes, self.pool.order_key, copies), self._lines(part, raw, seen)
                )
                at += len(block)
        return seen

    def _lines(self, part: Part, raw: pa.Array, seen: ValueKinds) -> pa.LargeBinaryArray:
        if self.common.convert is None:
            nothing, end = (pa.scalar(text, pa.large_string()) for text in ("", "\n"))
            return pc.binary_join_element_wise(raw, nothing, end).cast(pa.large_binary())
        lines = []
        for text in raw.to_pylist():
            row = self.common.convert(json.loads(text), part.rows.shape)
            seen.add(row)
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
            lines.append(line.encode() + b"\n")
        return pa.array(lines, pa.large_binary())

    def _reader(self) -> pa.RecordBatchReader:
        """Return one line for each row of all sources, batch by batch."""
        text = pa.string()
        columns = [("id", text), ("row", pa.int64()), ("source", text), ("side", text)]
        columns += [("status", text), ("kept", pa.bool_()), ("reason", text)]
        columns += [("times", pa.int32())]
        columns += [] if self.tokens is None else [("tokens", pa.int32())]
        schema = pa.schema(columns)
        batches = (
            self._scores_of(number, part, start, schema)
            for number, part in enumerate(self.pool.parts)
            for start in range(0, len(part.rows), _GROUP)
        )
        return pa.RecordBatchReader.from_batches(schema, batches)

    def _scores_of(self, number: int, part: Part, start: int, schema: pa.Schema) -> pa.RecordBatch:
        reasons = [*self.pool.reasons, NOT_DRAWN]
        # What a mixture leaves out by itself is no flaw of the row.
        status = ["ok", *["ok"] * 3, *self.pool.reasons[4:], "ok"]
        stop = min(start + _GROUP, len(part.rows))
        span = slice(part.start + start, part.start + stop)
        times = self.times(number, start, stop)
        state = self.pool.state[span].astype(np.int32)
        state[(times == 0) & (state == 0)] = len(reasons) - 1
        hashes = part.rows.table.column("hash").slice(start, stop - start).to_numpy()
        columns = {
            "id": self.pool.ids(part, start, hashes),
            "row": np.arange(start, stop),
            "source": pa.repeat(part.source.name, stop - start),
            "side": pa.repeat(part.side, stop - start),
            "status": pa.array(status).take(pa.array(state)),
            "kept": times > 0,
            "reason": pa.array(reasons).take(pa.array(state)),
            "times": times,
        }
        if self.tokens is not None:
            columns["tokens"] = self.tokens[span]
        arrays = [pa.array(columns[column.name], type=column.type) for column in schema]
        return pa.record_batch(arrays, schema=schema)

    @property
    def scores(self) -> pd.DataFrame:
        """One line for each row of all sources, as a pandas DataFrame."""
        frame: pd.DataFrame = self._reader().read_all().to_pandas()
        return frame

    def manifest(self) -> dict[str, Any]:
        """Return what made this mixture, without the output."""
        files = zip(self.pool.parts, self.sources, strict=True)
        return {
            "recipe": NAME,
            "params": {**self.mixture.as_dict(), "ratio": str(self.ratio)},
            "sources": [{**asdict(part.source), **source.as_dict()} for part, source in files],
            "shape": self.common.shape.as_dict(),
            "counts": asdict(self.summary()),
            "realised": self.realised(),
            "ids": "the rows with kept = true in NAME.scores.parquet; times says how often",
            "repeated": self._repeated(),
            "notes": list(self.notes),
            "versions": versions(),
            "wall_seconds": round(self.seconds, 1),
        }

    def _repeated(self) -> dict[str, Any]:
        """Return how many rows are written more than once, and the first of them."""
        count = 0
        ids: dict[str, int] = {}
        for number, part in enumerate(self.pool.parts):
            times = self.times(number)
            places = np.flatnonzero(times > 1)
            count += len(places)
            hashes = part.rows.table.column("hash")
            for place in places[: _IDS - len(ids)].tolist():
                content = np.array([hashes[place].as_py()], dtype=np.uint64)
                ids[self.pool.ids(part, place, content)[0]] = int(times[place])
        return {"rows": count, "ids": ids} if count else {"rows": 0}

    def __repr__(self) -> str:
        return f"{NAME} {self.ratio}: {self.summary().written:,} rows, {self.realised()}"

    def _repr_html_(self) -> str:
        notes = [*self.pool.left_out_lines(), *self.notes]
        told = "".join(f"<p>{escape(note)}</p>" for note in notes)
        head = f"<h4>{NAME} {self.ratio}</h4><p>{self.realised()}</p>"
        return f"{head}{html_table(*self.table())}{told}"


def name_of(mixture: Mixture) -> str:
    """Return the name of the output if none is given."""
    first = [*mixture.domain, *mixture.general][0]
    return mixture.name or default_name(Path(first.label.split(", ")[0]), NAME)


def _plain(domain: int, general: int) -> str:
    """Return a ratio as people say it."""
    if not domain or not general:
        return f"{int(domain > 0)}:{int(general > 0)}"
    exact = Fraction(general, domain)
    if exact.denominator <= 20:
        return f"{exact.denominator}:{exact.numerator}"
    return f"1:{float(exact):.4f}"
