"""A mixture that was made: which rows, how often, and how they are written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.data.draw import drawn
from curate.data.emit import default_name
from curate.data.emit_lines import write_lines
from curate.data.manifest import versions
from curate.data.profile import Profile, profile_of
from curate.data.stretches import stretches
from curate.errors import DataError
from curate.mixture.count import SourceCount, count_sources, realised
from curate.mixture.join import Joined, dumps
from curate.mixture.pile import Part, Pile
from curate.mixture.ratio import Ratio
from curate.mixture.spec import Mixture

if TYPE_CHECKING:
    import pandas as pd

NAME = "mix"
NOT_DRAWN = "not_drawn"
# More ids than this do not belong in a manifest; the table of scores has all.
_IDS = 1000


@dataclass(frozen=True)
class Cut:
    """How often the rows of a file are taken.

    Attributes:
        passes: Times that every row is taken.
        last: Rows up to this place in the order of drawing are taken once more; None: no row is.
    """

    passes: int
    last: int | None


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
        pile: All rows of all sources.
        cuts: For each file of the pile, how often its rows are taken.
        joined: How rows are written.
        tokens: (n,) tokens of each row; None by rows.
        notes: What a user should be told, a sentence each.
        seconds: Wall time of reading and counting.
    """

    mixture: Mixture
    ratio: Ratio
    pile: Pile
    cuts: tuple[Cut, ...]
    joined: Joined
    tokens: NDArray[np.int32] | None = None
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)
    recipe: str = NAME

    def times(self, number: int, start: int = 0, stop: int | None = None) -> NDArray[np.int32]:
        """Return how often rows of a file are taken.

        Args:
            number: Of the file in the pile.
            start: Place in the file of the first row to be told of.
            stop: Place behind the last; the end of the file if not given.
        """
        part, cut = self.pile.parts[number], self.cuts[number]
        span = slice(part.start + start, part.span.stop if stop is None else part.start + stop)
        taken = np.full(span.stop - span.start, cut.passes, dtype=np.int32)
        if cut.last is not None:
            taken += self.pile.order[span] <= np.uint64(cut.last)
        taken[self.pile.state[span] != 0] = 0
        return taken

    @cached_property
    def sources(self) -> tuple[SourceCount, ...]:
        """Counts of every file, domain first."""
        times = (self.times(number) for number in range(len(self.pile.parts)))
        return tuple(count_sources(self.pile, times, self.tokens))

    def summary(self) -> Summary:
        """Return the counts over all sources."""
        dropped: Counter[str] = Counter()
        for source in self.sources:
            dropped.update(source.left_out)
            dropped.update({NOT_DRAWN: source.usable - source.kept})
        ordered = sorted((-rows, reason) for reason, rows in dropped.items() if rows)
        return Summary(
            sum(source.read for source in self.sources),
            sum(source.kept for source in self.sources),
            sum(source.written for source in self.sources),
            {reason: -rows for rows, reason in ordered},
        )

    def realised(self) -> str:
        """Return the ratio that came out, in rows, and in tokens where they were counted."""
        return realised(self.sources, self.tokens is not None)

    @property
    def name(self) -> str:
        """The name of the output if none is given."""
        return name_of(self.mixture)

    def emit_to(self, folder: Path, name: str) -> list[str]:
        """Write the mixture and all that belongs to it; return the names of the files.

        Args:
            folder: Where to write.
            name: Of the data set.

        Raises:
            DataError: There is no row to write.
            OutputError: The disk is full or the folder cannot be written.
        """
        if not self.summary().written:
            raise DataError("no row is left to write; give other data or another ratio")
        profile = Profile()
        size = sum(
            part.rows.table.column("raw").nbytes * source.written // max(1, source.read)
            for part, source in zip(self.pile.parts, self.sources, strict=True)
        )
        lines = self._lines(profile)
        shape, scores = self.joined.shape, self._reader()
        return write_lines(folder, name, lines, size, profile, shape, self.manifest(), scores)

    def _lines(self, profile: Profile) -> Iterator[tuple[NDArray[np.uint64], pa.LargeBinaryArray]]:
        """Yield the rows that are taken as lines, and what their order is made from."""
        for number, part in enumerate(self.pile.parts):
            if not self.sources[number].written:
                continue
            if self.joined.convert is None:
                profile.join(profile_of(part.rows))
            at = 0
            for block in stretches(part.rows.table.select(["raw", "hash"])):
                taken = self.times(number, at, at + len(block))
                at += len(block)
                if taken.any():
                    yield self._block(part, block, taken, profile)

    def _block(
        self, part: Part, block: pa.RecordBatch, taken: NDArray[np.int32], profile: Profile
    ) -> tuple[NDArray[np.uint64], pa.LargeBinaryArray]:
        places = np.repeat(np.arange(len(taken)), taken)
        copies = np.arange(len(places)) - np.repeat(np.cumsum(taken) - taken, taken)
        hashes = block.column("hash").to_numpy()[places]
        raw = block.column("raw").take(pa.array(places))
        keys = drawn(hashes, self.pile.order_key, copies)
        if self.joined.convert is None:
            nothing, end = (pa.scalar(each, pa.large_string()) for each in ("", "\n"))
            return keys, pc.binary_join_element_wise(raw, nothing, end).cast(pa.large_binary())
        made = []
        for text in raw.to_pylist():
            row = self.joined.convert(json.loads(text), part.rows.shape)
            profile.add(row)
            made.append(dumps(row))
        return keys, pa.array(made, pa.large_binary())

    def _reader(self) -> pa.RecordBatchReader:
        """Return one line for each row of all sources, batch by batch."""
        text = pa.string()
        columns = [("id", text), ("row", pa.int64()), ("source", text), ("side", text)]
        columns += [("status", text), ("kept", pa.bool_()), ("reason", text)]
        columns += [("times", pa.int32())]
        columns += [] if self.tokens is None else [("tokens", pa.int32())]
        schema = pa.schema(columns)
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        reasons = [*self.pile.reasons, NOT_DRAWN]
        # What a mixture leaves out by itself is no flaw of the row.
        status = ["ok", *["ok"] * 3, *self.pile.reasons[4:], "ok"]
        for number, part in enumerate(self.pile.parts):
            at = 0
            for block in stretches(part.rows.table.select(["hash"])):
                span = slice(at, at + len(block))
                taken = self.times(number, at, at + len(block))
                state = self.pile.state[part.span][span].astype(np.int32)
                state[(taken == 0) & (state == 0)] = len(reasons) - 1
                columns = {
                    "id": self.pile.ids(part, at, block.column("hash").to_numpy()),
                    "row": np.arange(span.start, span.stop),
                    "source": pa.repeat(part.source.name, len(block)),
                    "side": pa.repeat(part.side, len(block)),
                    "status": pa.array(status).take(pa.array(state)),
                    "kept": taken > 0,
                    "reason": pa.array(reasons).take(pa.array(state)),
                    "times": taken,
                }
                if self.tokens is not None:
                    columns["tokens"] = self.tokens[part.span][span]
                arrays = [pa.array(columns[each.name], type=each.type) for each in schema]
                yield pa.record_batch(arrays, schema=schema)
                at += len(block)

    @property
    def scores(self) -> pd.DataFrame:
        """One line for each row of all sources, as a pandas DataFrame."""
        frame: pd.DataFrame = self._reader().read_all().to_pandas()
        return frame

    def manifest(self) -> dict[str, Any]:
        """Return what made this mixture, without the output."""
        summary = self.summary()
        files = zip(self.pile.parts, self.sources, strict=True)
        return {
            "recipe": NAME,
            "params": {**self.mixture.as_dict(), "ratio": str(self.ratio)},
            "sources": [{**asdict(part.source), **source.as_dict()} for part, source in files],
            "shape": self.joined.shape.as_dict(),
            "counts": asdict(summary),
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
        for number, part in enumerate(self.pile.parts):
            times = self.times(number)
            places = np.flatnonzero(times > 1)
            count += len(places)
            hashes = part.rows.table.column("hash")
            for place in places[: _IDS - len(ids)].tolist():
                content = np.array([hashes[place].as_py()], dtype=np.uint64)
                ids[self.pile.ids(part, place, content)[0]] = int(times[place])
        return {"rows": count, "ids": ids} if count else {"rows": 0}

    def __repr__(self) -> str:
        counts = self.summary()
        return f"{NAME} {self.ratio}: {counts.written:,} rows, {self.realised()}"

    def _repr_html_(self) -> str:
        from curate.mixture.show import mixed_html

        return mixed_html(self)


def name_of(mixture: Mixture) -> str:
    """Return the name of the output if none is given.

    Args:
        mixture: What is mixed.
    """
    given = [*mixture.domain, *mixture.general]
    return mixture.name or default_name(Path(given[0].label.split(", ")[0]), NAME)
