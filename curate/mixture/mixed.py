"""A mixture that was made: which rows, how often, what each file gave, and how it is written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
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

from curate.emission.emit import emitting_to, write_files, write_values
from curate.emission.even_columns import HEAD, ValueKinds, blocks, columns_ahead, kinds_of
from curate.errors import DataError
from curate.mixture.common_shape import CommonShape
from curate.mixture.draw import REASONS, Part, Pool, drawn
from curate.mixture.plan import Ratio
from curate.mixture.shuffle import Shuffle
from curate.mixture.spec import NAME, SIDES, Mixture
from curate.notebook import html_table
from curate.system.manifest import versions

if TYPE_CHECKING:
    import pandas as pd

_NOT_DRAWN = "not_drawn"
_GROUP = 65_000  # rows of a row group of the table of scores


@dataclass(frozen=True)
class SourceCount:
    """What a mixture took from one file, in rows: `kept` are different ones, `written` all."""

    side: str
    name: str
    read: int
    usable: int
    left_out: dict[str, int]
    kept: int
    written: int
    repeated: int
    tokens: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return what a manifest adds to what is known of the file."""
        counts = {"usable": self.usable, "kept": self.kept, "written": self.written}
        tokens = {} if self.tokens is None else {"tokens": self.tokens}
        return {"side": self.side, **counts, "left_out": self.left_out, **tokens}


@dataclass(frozen=True)
class Summary:
    """How many rows went where; `read` is `kept` plus all of `dropped`, `written` has repeats."""

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
        times: (n,) how often each row of the pool is taken.
        common: How rows are written.
        tokens: (n,) tokens of each row; None by rows.
        notes: What a user should be told, a sentence each.
        seconds: Wall time of reading and counting.
    """

    mixture: Mixture
    ratio: Ratio
    pool: Pool
    times: NDArray[np.integer[Any]]
    common: CommonShape
    tokens: NDArray[np.int32] | None = None
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)
    recipe: str = NAME

    @property
    def name(self) -> str:
        """The name of the output if none is given."""
        return self.mixture.output_name

    @cached_property
    def sources(self) -> tuple[SourceCount, ...]:
        """Counts of every file, domain first."""
        counts = []
        for part in self.pool.parts:
            times, tokens = self.times[part.span], None
            if self.tokens is not None:
                tokens = int(np.dot(self.tokens[part.span].astype(np.int64), times))
            counts.append(
                SourceCount(
                    side=part.side,
                    name=part.source.name,
                    read=len(part.rows),
                    usable=self.pool.usable([part]),
                    left_out=self.pool.left_out(part),
                    kept=int((times > 0).sum()),
                    written=int(times.sum()),
                    repeated=int((times > 1).sum()),
                    tokens=tokens,
                )
            )
        return tuple(counts)

    def _sum(self, counted: str, side: str = "") -> int:
        return sum(getattr(src, counted) for src in self.sources if side in ("", src.side))

    def summary(self) -> Summary:
        """Return the counts over all sources."""
        dropped: Counter[str] = Counter()
        for source in self.sources:
            dropped.update({**source.left_out, _NOT_DRAWN: source.usable - source.kept})
        ordered = sorted((-rows, reason) for reason, rows in dropped.items() if rows)
        return Summary(
            read=self._sum("read"),
            kept=self._sum("kept"),
            written=self._sum("written"),
            dropped={reason: -rows for rows, reason in ordered},
        )

    def realised(self) -> str:
        """Return the ratio that came out, in rows, and in tokens where they were counted."""
        sums = []
        units = (("rows", "written"), ("tokens", "tokens"))
        for unit, counted in units if self.tokens is not None else units[:1]:
            domain, general = (self._sum(counted, side) for side in SIDES)
            ratio = f"{int(domain > 0)}:{int(general > 0)}"
            if domain and general:
                exact = Fraction(general, domain)
                ratio = f"1:{float(exact):.4f}"
                if exact.denominator <= 20:
                    ratio = f"{exact.denominator}:{exact.numerator}"
            sums.append(f"domain {domain:,} : general {general:,} {unit} = {ratio}")
        return "; ".join(sums)

    def table(self) -> tuple[list[tuple[object, ...]], tuple[str, ...]]:
        """Return a line for each file, for people, and the names of the columns."""
        tokens = () if self.tokens is None else ("tokens",)
        fields = ("side", "name", "read", "usable", "kept", "written", *tokens)
        lines = [tuple(getattr(source, name) for name in fields) for source in self.sources]
        return lines, ("side", "source", *fields[2:])

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
            "repeated": {"rows": self._sum("repeated")},
            "notes": list(self.notes),
            "versions": versions(),
            "wall_seconds": round(self.seconds, 1),
        }

    def emit_to(self, folder: Path, name: str) -> list[str]:
        """Write the mixture and all that belongs to it; return the names of the files.

        Rows are copied as text, through a temporary file in the folder. Only where columns have
        values of several types are they parsed, and written as those of a selection are.
        """
        if not self.summary().written:
            raise DataError("no row is left to write; give other data or another ratio")
        size = sum(
            part.rows.table.column("raw").nbytes * source.written // max(1, source.read)
            for part, source in zip(self.pool.parts, self.sources, strict=True)
        )
        shape, manifest, scores = self.common.shape, self.manifest(), self._reader()
        with emitting_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with Shuffle(folder, size) as shuffle:
                kinds = self._add_to(shuffle)
                columns = columns_ahead(
                    shuffle.values(HEAD), kinds.kinds, {*shape.columns.values()}
                )
                if columns.change_nothing and kinds.same_keys() and not columns.first:
                    copy = shuffle.copy_to
                    return write_files(folder, name, copy, columns, shape, manifest, scores)
                return write_values(folder, name, shuffle.values, shape, manifest, scores)

    def _add_to(self, shuffle: Shuffle) -> ValueKinds:
        """Add the rows that are taken as lines; return what is known of them, or of more."""
        kinds = ValueKinds()
        for part in self.pool.parts:
            if not self.times[part.span].any():
                continue
            if self.common.convert is None:
                kinds.join(kinds_of(part.rows))
            at = part.start
            for block in blocks(part.rows.table.select(["raw", "hash"])):
                times = self.times[at : at + len(block)].astype(np.int64)
                at += len(block)
                places = np.repeat(np.arange(len(times)), times)
                copies = np.arange(len(places)) - np.repeat(np.cumsum(times) - times, times)
                hashes = block.column("hash").to_numpy()[places]
                raw = block.column("raw").take(pa.array(places))
                keys = drawn(hashes, self.pool.order_key, copies)
                shuffle.add(keys, self._lines(part, raw, kinds))
        return kinds

    def _lines(self, part: Part, raw: pa.Array, kinds: ValueKinds) -> pa.LargeBinaryArray:
        if self.common.convert is None:
            nothing, end = (pa.scalar(text, pa.large_string()) for text in ("", "\n"))
            return pc.binary_join_element_wise(raw, nothing, end).cast(pa.large_binary())
        lines = []
        for text in raw.to_pylist():
            row = self.common.convert(json.loads(text), part.rows.shape)
            kinds.add(row)
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
            lines.append(line.encode() + b"\n")
        return pa.array(lines, pa.large_binary())

    def _reader(self) -> pa.RecordBatchReader:
        """Return one line for each row of all sources, batch by batch."""
        text = pa.string()
        columns = {"id": text, "row": pa.int64(), "source": text, "side": text, "status": text}
        columns |= {"kept": pa.bool_(), "reason": text, "times": pa.int32()}
        columns |= {} if self.tokens is None else {"tokens": pa.int32()}
        schema = pa.schema(columns)
        reasons = pa.array([*self.pool.reasons, _NOT_DRAWN])
        # What a mixture leaves out by itself is no flaw of the row.
        status = pa.array([*["ok"] * len(REASONS), *self.pool.reasons[len(REASONS) :], "ok"])

        def batches() -> Iterator[pa.RecordBatch]:
            for part in self.pool.parts:
                for start in range(0, len(part.rows), _GROUP):
                    size = min(_GROUP, len(part.rows) - start)
                    span = slice(part.start + start, part.start + start + size)
                    times = self.times[span].astype(np.int32)
                    state = self.pool.state[span].astype(np.int32)
                    state[(times == 0) & (state == 0)] = len(reasons) - 1
                    hashes = part.rows.table.column("hash").slice(start, size).to_numpy()
                    values = {
                        "id": self.pool.ids(part, start, hashes),
                        "row": np.arange(start, start + size),
                        "source": pa.repeat(part.source.name, size),
                        "side": pa.repeat(part.side, size),
                        "status": status.take(pa.array(state)),
                        "kept": times > 0,
                        "reason": reasons.take(pa.array(state)),
                        "times": times,
                        **({} if self.tokens is None else {"tokens": self.tokens[span]}),
                    }
                    yield pa.RecordBatch.from_pydict(values, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())

    @property
    def scores(self) -> pd.DataFrame:
        """One line for each row of all sources, as a pandas DataFrame."""
        frame: pd.DataFrame = self._reader().read_all().to_pandas()
        return frame

    def __repr__(self) -> str:
        return f"{NAME} {self.ratio}: {self._sum('written'):,} rows, {self.realised()}"

    def _repr_html_(self) -> str:
        notes = "".join(
            f"<p>{escape(note)}</p>" for note in (*self.pool.left_out_lines(), *self.notes)
        )
        head = f"<h4>{NAME} {self.ratio}</h4><p>{self.realised()}</p>"
        return f"{head}{html_table(*self.table())}{notes}"
