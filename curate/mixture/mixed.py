"""A mixture that was made: which rows, how often, what each file gave, and how it is written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.choices.chosen import RANDOM, Chosen, no_such_rows
from curate.data.even_columns import HEAD, ValueKinds, blocks, columns_ahead, kinds_of
from curate.data.rows import Rows
from curate.emission.emit import emitting_to, write_files, write_values
from curate.errors import DataError
from curate.mixture.common_shape import CommonShape, kept_rows
from curate.mixture.draw import REASONS, Part, Pool, drawn
from curate.mixture.plan import Ratio
from curate.mixture.shuffle import Shuffle
from curate.mixture.spec import NAME, SIDES, Mixture
from curate.notebook.pictures import Bars, Picture, picture
from curate.notebook.tables import html_notes, html_table
from curate.scorers.response_tokens import ResponseTokens
from curate.system.manifest import versions

_NOT_DRAWN = "not_drawn"
_GROUP = 65_000  # rows of a row group of the table of scores


@dataclass(frozen=True)
class SourceCount:
    """What a mixture took from one file, in rows: `kept` are different ones, `written` all.

    `tokens` are those of prompts and responses, where these make the ratio.
    """

    side: str
    name: str
    read: int
    usable: int
    kept: int
    written: int
    repeated: int
    left_out: dict[str, int]
    tokens: int | None
    response_tokens: int

    def as_dict(self) -> dict[str, Any]:
        """Return what a manifest adds to what is known of the file."""
        known = ("name", "read", "repeated")
        return {k: v for k, v in asdict(self).items() if k not in known and v is not None}


@dataclass(frozen=True)
class Summary:
    """How many rows went where; `read` is `kept` plus all of `dropped`, `written` has repeats.

    `tokens` are those of the responses of `read`, `kept` and `written`, and `by` whose tokenizer.
    """

    read: int
    kept: int
    written: int
    dropped: dict[str, int]
    tokens: dict[str, Any]


@dataclass(frozen=True)
class Mixed(Chosen):
    """Domain and general rows at a ratio. It counts, and goes through, the rows that it writes."""

    mixture: Mixture  # what was asked for
    ratio: Ratio  # which of its ratios this is
    pool: Pool  # all rows of all sources
    times: NDArray[np.integer[Any]]  # (n,) how often each row of the pool is taken
    common: CommonShape  # how rows are written
    responses: ResponseTokens  # tokens of each row's responses, (n,)
    tokens: NDArray[np.int32] | None = None  # (n,) tokens of each row, its prompt too; None by rows
    notes: tuple[str, ...] = ()  # what a user should be told, a sentence each
    # How the model answered general prompts; empty where the rows' own stand.
    self_answers: dict[str, Any] = field(default_factory=dict, repr=False)
    seconds: float = field(default=0.0, compare=False)  # wall time of reading and counting
    recipe: str = NAME
    _first = RANDOM

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
                    response_tokens=int(np.dot(self.responses.counts[part.span], times)),
                )
            )
        return tuple(counts)

    def __len__(self) -> int:
        return self._sum("written")

    @cached_property
    def kept(self) -> Rows:
        """The rows that are written, each as often as it is, domain first; every recipe takes them.

        Their ids are those of the file that `emit()` writes, in which they are shuffled.
        """
        return kept_rows(self)

    def _parts(self) -> Sequence[Rows]:
        return [part.rows for part in self.pool.parts]

    def _score_table(self) -> pa.Table:
        return self.score_lines().read_all()

    def _places(self, which: str) -> NDArray[np.int64]:
        if which not in (words := (RANDOM, *self.summary().dropped)):
            raise no_such_rows(which, words)
        reason = self._score_table().column("reason").to_numpy()
        every = np.flatnonzero(reason == ("" if which == RANDOM else which))
        return np.random.default_rng(self.mixture.seed).permutation(every)

    def _sum(self, counted: str, side: str = "") -> int:
        return sum(getattr(src, counted) for src in self.sources if side in ("", src.side))

    def summary(self) -> Summary:
        """Return the counts over all sources."""
        dropped: Counter[str] = Counter()
        for source in self.sources:
            dropped.update({**source.left_out, _NOT_DRAWN: source.usable - source.kept})
        ordered = sorted((-rows, reason) for reason, rows in dropped.items() if rows)
        counts, kept = self.responses.counts, self.times > 0
        return Summary(
            read=self._sum("read"),
            kept=self._sum("kept"),
            written=self._sum("written"),
            dropped={reason: -rows for rows, reason in ordered},
            tokens={
                "read": int(counts.sum()),
                "kept": int(counts[kept].sum()),
                "written": self._sum("response_tokens"),
                "by": self.responses.by,
            },
        )

    def realised(self) -> str:
        """Return the ratio that came out, in rows, and in tokens where they were counted."""
        sums = []
        for unit, (domain, general) in self._by_side().items():
            ratio = f"{int(domain > 0)}:{int(general > 0)}"
            if domain and general:
                exact = Fraction(general, domain)
                ratio = f"1:{float(exact):.4f}"
                if exact.denominator <= 20:
                    ratio = f"{exact.denominator}:{exact.numerator}"
            sums.append(f"domain {domain:,} : general {general:,} {unit} = {ratio}")
        return "; ".join(sums)

    def _by_side(self) -> dict[str, list[int]]:
        """Return rows, and tokens where they were counted, of domain and of general data."""
        counted = {"rows": "written", **({} if self.tokens is None else {"tokens": "tokens"})}
        return {unit: [self._sum(name, side) for side in SIDES] for unit, name in counted.items()}

    def table(self) -> tuple[list[tuple[object, ...]], tuple[str, ...]]:
        """Return a line for each file, for people, and the names of the columns."""
        tokens = () if self.tokens is None else ("tokens",)
        fields = ("side", "name", "read", "usable", "kept", "written", *tokens, "response_tokens")
        lines = [tuple(getattr(source, name) for name in fields) for source in self.sources]
        return lines, ("side", "source", *fields[2:-1], "response tokens")

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
            **({"self_answers": self.self_answers} if self.self_answers else {}),
            "notes": list(self.notes),
            "versions": versions(),
            "wall_seconds": round(self.seconds, 1),
        }

    def emit_to(self, folder: Path, name: str, shard_rows: int = 0) -> list[str]:
        """Write the mixture and all that belongs to it; return the names of the files.

        Rows are copied as text, through a temporary file in the folder. Only for shards, and where
        columns have values of several types, are they parsed, and written as those of a selection.
        """
        if not self.summary().written:
            raise DataError("no row is left to write; give other data or another ratio")
        size = sum(
            part.rows.table.column("raw").nbytes * source.written // max(1, source.read)
            for part, source in zip(self.pool.parts, self.sources, strict=True)
        )
        shape, manifest, scores = self.common.shape, self.manifest(), self.score_lines()
        with emitting_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with Shuffle(folder, size) as shuffle:
                kinds = self._add_to(shuffle)
                columns = columns_ahead(
                    shuffle.values(HEAD), kinds.kinds, {*shape.columns.values()}
                )
                as_it_is = columns.change_nothing and kinds.same_keys() and not columns.first
                if as_it_is and not shard_rows:
                    copy = shuffle.copy_to
                    return write_files(folder, name, copy, columns, shape, manifest, scores)
                return write_values(
                    folder, name, shuffle.values, shape, manifest, scores, shard_rows=shard_rows
                )

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

    def score_lines(self) -> pa.RecordBatchReader:
        """Return one line for each row of all sources, batch by batch."""
        text = pa.string()
        columns = {"id": text, "row": pa.int64(), "source": text, "side": text, "status": text}
        columns |= {"kept": pa.bool_(), "reason": text, "times": pa.int32()}
        columns |= {} if self.tokens is None else {"tokens": pa.int32()}
        columns |= {"response_tokens": pa.int32()}
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
                        "response_tokens": self.responses.counts[span],
                    }
                    yield pa.RecordBatch.from_pydict(values, schema=schema)

        return pa.RecordBatchReader.from_batches(schema, batches())

    def __repr__(self) -> str:
        return f"{NAME} {self.ratio}: {self._sum('written'):,} rows, {self.realised()}"

    def plot(self) -> Picture:
        """Return a figure of the ratio that was asked for and those that came out."""
        bars = {f"asked: {self.ratio}": [self.ratio.domain, self.ratio.general]}
        for unit, sums in self._by_side().items():
            bars[f"{unit}: {sums[0]:,} : {sums[1]:,}"] = [Fraction(size) for size in sums]
        parts: dict[str, list[float]] = {
            side: [float(sizes[at] / (sum(sizes) or 1)) for sizes in bars.values()]
            for at, side in enumerate(SIDES)
        }
        return picture([Bars("shares of domain and general data", list(bars), parts)])

    def _repr_html_(self) -> str:
        head = f"<h4>{NAME} {self.ratio}</h4><p>{self.realised()}</p>"
        notes = (*self.pool.left_out_lines(), *self.notes)
        return f"{head}{html_table(*self.table())}{html_notes(notes)}"
