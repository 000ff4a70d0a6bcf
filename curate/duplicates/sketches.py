"""What dedup compares: rows that say the same in one group, each group's text with a signature."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.ids import beside
from curate.data.rows import Row, Rows
from curate.data.schema import Turn
from curate.duplicates.folding import fold
from curate.duplicates.journal import Journal
from curate.duplicates.ngrams import PERMUTATIONS, gram_hashes, jaccard, may_be, signatures
from curate.scorers.contract import digest_of
from curate.system.processes import Pool, cores

_ASKS = {"prompt": ("user", "observation"), "response": ("assistant", "function")}
_BATCH = 2000
_AHEAD = 4  # batches that wait for a worker or for the disk
_PAIRS = 500
_JOB = 4 * _PAIRS  # pairs that a process is given at a time
MANY = 20_000  # rows
_TEXTS, _SIGNATURES = "texts.arrow", "signatures.bin"
_SCHEMA = pa.schema([("text", pa.large_string())])
_Pairs: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], float]


def compared(row: Row, on: str) -> str:
    """Return what is compared of a row: its turns, not its system prompt and not `rejected`.

    All its turns count, since many conversations end in the same words. `on` is `both`, `prompt`
    (what was asked) or `response` (what was answered).
    """
    texts = [turn.content for turn in row.turns if on == "both" or turn.role in _ASKS[on]]
    if on != "prompt" and row.parsed.chosen is not None:
        texts.append(row.parsed.chosen)
    return "\n".join(texts)


def other_side(rows: Rows) -> Iterator[Row]:
    """Yield the rows of a set that others are held against: of an exam, the question alone."""
    for row in rows:
        options = f"\n{row.input}"
        if rows.shape.format != "exam" or not row.prompt.endswith(options):
            yield row
            continue
        question = Turn("user", row.prompt.removesuffix(options))
        yield replace(row, parsed=row.parsed._replace(turns=(question,), input=""))


@dataclass(frozen=True)
class Groups:
    """Rows of one set, those that say the same in one group."""

    of_row: NDArray[np.int64]  # (n,) number of each row's group; -1 for one that is not compared
    raw: NDArray[np.uint64]  # (n,) hash of each row's text before it was folded
    status: NDArray[np.object_]  # (n,) `ok`, or the flaw
    first: NDArray[np.int64]  # (groups,) the first row of each
    beside: NDArray[np.uint64]  # (groups,) hash of pictures and verdicts beside the text, or 0
    start: int  # number of the first group among those of all sets


class Sketching:
    """Writes what is compared of sets of rows to an empty folder, set after set.

    Texts are folded and signed by n-grams, in several processes where there are `many`; signatures
    of a run that was killed are taken from its `journal`, and `known` says of how many rows.
    """

    def __init__(self, folder: Path, seed: int, many: bool, journal: Journal) -> None:
        self._folder, self._many, self._size = folder, many, 0
        self._journal, self._batches, self.known = journal, 0, 0
        with ExitStack() as opened:
            pool = Pool(partial(_signer, seed), cores() if many else 1)
            self._pool = opened.enter_context(pool)
            self._signatures = opened.enter_context((folder / _SIGNATURES).open("wb"))
            self._texts = opened.enter_context(pa.ipc.new_file(str(folder / _TEXTS), _SCHEMA))
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._opened.close()

    def add(
        self, rows: Rows, on: str, flawed: bool = False, advance: Callable[[int], object] = int
    ) -> Groups:
        """Write the folded text of each group of a set, signed, and return the groups.

        With `flawed`, rows are compared that have a flaw and a text all the same. `advance` is
        called with the number of rows that were done since it was called last.
        """
        numbers: dict[tuple[int, int], int] = {}
        start = self._size
        of_row, raw = np.full(len(rows), -1), np.zeros(len(rows), np.uint64)
        status = np.full(len(rows), "ok", object)
        first: list[int] = []
        sent: deque[list[tuple[int, int, str]]] = deque()
        every = iter(other_side(rows) if flawed else rows)

        def texts() -> Iterator[tuple[list[str], bool]]:
            for number in count(self._batches):
                if not (batch := list(islice(every, _BATCH))):
                    return
                said = [compared(row, on) if flawed or not row.flaw else "" for row in batch]
                own = (_hash(beside(row.value, row.parsed.verdict)) for row in batch)
                flaws = (row.flaw for row in batch)
                sent.append(list(zip(map(_hash, said), own, flaws, strict=True)))
                yield said, f"signed {number}" not in self._journal

        position = 0
        for folded, own_signatures in self._pool.map(texts()):
            signed = self._signed(folded, own_signatures)
            new: list[int] = []
            together = zip(folded, sent.popleft(), strict=True)
            for at, (plain, (text, own, flaw)) in enumerate(together):
                status[position + at] = flaw or ("ok" if plain else "no_text")
                if not plain:
                    continue
                raw[position + at] = text
                key = own, _hash(plain)
                if key not in numbers:
                    numbers[key] = start + len(first)
                    first.append(position + at)
                    new.append(at)
                of_row[position + at] = numbers[key]
            position += len(folded)
            if new:
                column = pa.array([folded[at] for at in new], pa.large_string())
                self._texts.write_batch(pa.record_batch([column], _SCHEMA))
                self._signatures.write(signed[new].tobytes())
            advance(len(folded))
        self._size += len(first)
        return Groups(
            of_row=of_row,
            raw=raw,
            status=status,
            first=np.array(first, np.int64),
            beside=np.array([key[0] for key in numbers], np.uint64),
            start=start,
        )

    def _signed(self, folded: list[str], made: NDArray[np.uint32] | None) -> NDArray[np.uint32]:
        """Return (texts, 128) signatures, those of an earlier run where none were made."""
        self.known += len(folded) * (made is None)
        self._batches += 1
        empty = np.zeros(0, np.uint32)
        key = f"signed {self._batches - 1}"
        values = self._journal.get(key, np.uint32, lambda: empty if made is None else made)
        return values.reshape(-1, PERMUTATIONS)

    @contextmanager
    def sketches(self) -> Iterator[Sketches]:
        """Give what was written; pairs of many are compared in several processes."""
        self._opened.close()
        compare = partial(_comparer, self._folder)
        with Pool(compare, cores() if self._many else 1) as pool:
            yield Sketches(*_mapped(self._folder), pool=pool, journal=self._journal)


def _signer(
    seed: int,
) -> Callable[[tuple[list[str], bool]], tuple[list[str], NDArray[np.uint32] | None]]:
    def signed(job: tuple[list[str], bool]) -> tuple[list[str], NDArray[np.uint32] | None]:
        texts, unsigned = job
        folded = list(map(fold, texts))
        return folded, signatures(*gram_hashes(folded), seed) if unsigned else None

    return signed


def _mapped(folder: Path) -> tuple[pa.ChunkedArray, NDArray[np.uint32]]:
    table = pa.ipc.open_file(pa.memory_map(str(folder / _TEXTS))).read_all()
    stored = np.zeros((0, PERMUTATIONS), np.uint32)  # an empty file cannot be mapped
    if len(table):
        shape = (len(table), PERMUTATIONS)
        stored = np.memmap(folder / _SIGNATURES, np.uint32, "r", shape=shape)
    return table.column("text"), stored


def _at(column: pa.ChunkedArray, places: NDArray[np.int64]) -> list[str]:
    """Return the texts at places in rising order; Arrow's take() would copy the whole column."""
    ends = np.cumsum([len(chunk) for chunk in column.chunks])
    parts = np.split(places, np.searchsorted(places, ends[:-1]))
    starts = [0, *ends[:-1].tolist()]
    return [
        text
        for chunk, part, start in zip(column.chunks, parts, starts, strict=True)
        if len(part)
        for text in chunk.take(pa.array(part - start)).to_pylist()
    ]


def _comparer(folder: Path) -> Callable[[_Pairs], NDArray[np.float64]]:
    """Return what compares pairs of groups; of those that cannot be so similar it says 0."""
    every, signed = _mapped(folder)

    def similar(pairs: _Pairs) -> NDArray[np.float64]:
        left, right, near = pairs
        similarities = np.zeros(len(left))
        maybe = np.flatnonzero(may_be(signed, left, right, near))
        for at in range(0, len(maybe), _PAIRS):
            few = maybe[at : at + _PAIRS]
            groups, places = np.unique(np.concatenate([left[few], right[few]]), return_inverse=True)
            texts = _at(every, groups)
            similarities[few] = jaccard(texts, places[: len(few)], places[len(few) :])
        return similarities

    return similar


@dataclass(frozen=True)
class Sketches:
    """What is compared of the groups of all sets, memory-mapped."""

    texts: pa.ChunkedArray  # (groups,)
    signatures: NDArray[np.uint32]  # (groups, 128)
    pool: Pool[_Pairs, NDArray[np.float64]]  # compares pairs
    journal: Journal

    def batches(self, start: int) -> Iterator[list[str]]:
        """Yield the texts from one group on, some thousand at a time."""
        for at in range(start, len(self.texts), _BATCH):
            yield self.texts.slice(at, _BATCH).to_pylist()

    def similar(
        self, left: NDArray[np.int64], right: NDArray[np.int64], near: float
    ) -> NDArray[np.float64]:
        """Return the Jaccard similarity of pairs of groups.

        Pairs whose signatures say that they are not nearly that similar are not compared: 0.
        """

        def compare() -> NDArray[np.float64]:
            parts = (slice(at, at + _JOB) for at in range(0, len(left), _JOB))
            jobs = ((left[part], right[part], near) for part in parts)
            return np.concatenate([np.zeros(0), *self.pool.map(jobs)])

        # A copy: what the journal has is read only, and who asks may write over it.
        return self.journal.get(digest_of(near, left, right), np.float64, compare).copy()


def _hash(value: Any) -> int:
    """Return 64 bits of a text's hash, 0 for nothing."""
    if not value:
        return 0
    data = str(value).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
