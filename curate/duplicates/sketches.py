"""What dedup compares: rows that say the same in one group, each group's text with a signature."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.ids import beside
from curate.data.rows import Row, Rows
from curate.data.schema import Turn
from curate.duplicates.folding import fold
from curate.duplicates.ngrams import (
    PERMUTATIONS,
    gram_hashes,
    jaccard,
    may_be,
    signatures,
)

_ASKS = {"prompt": ("user", "observation"), "response": ("assistant", "function")}
_BATCH = 2000
_AHEAD = 4  # batches that wait for a worker or for the disk
_PAIRS = 500
_SCHEMA = pa.schema([("text", pa.large_string())])
T = TypeVar("T")
R = TypeVar("R")


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
        yield replace(row, parsed=replace(row.parsed, turns=(question,), input=""))


@dataclass(frozen=True)
class Groups:
    """Rows of one set, those that say the same in one group."""

    of_row: NDArray[np.int64]  # (n,) number of each row's group; -1 for one that is not compared
    raw: NDArray[np.uint64]  # (n,) hash of each row's text before it was folded
    status: NDArray[np.object_]  # (n,) `ok`, or the flaw
    first: NDArray[np.int64]  # (groups,) the first row of each
    beside: NDArray[np.uint64]  # (groups,) hash of pictures and verdicts beside the text, or 0
    start: int  # number of the first group among those of all sets


def grouped(
    rows: Rows, on: str, start: int, flawed: bool = False, advance: Callable[[int], object] = int
) -> Generator[str, None, Groups]:
    """Yield the folded text of each group of a set, and return the groups.

    With `flawed`, rows are compared that have a flaw and a text all the same. `advance` is called
    with the number of rows that were done since it was called last.
    """
    numbers: dict[tuple[int, int], int] = {}
    of_row, raw = np.full(len(rows), -1), np.zeros(len(rows), np.uint64)
    status = np.full(len(rows), "ok", object)
    first: list[int] = []
    for row in other_side(rows) if flawed else rows:
        if row.position % _BATCH == _BATCH - 1:
            advance(_BATCH)
        text = compared(row, on) if flawed or not row.flaw else ""
        plain = fold(text)
        status[row.position] = row.flaw or ("ok" if plain else "no_text")
        if not plain:
            continue
        key = _hash(beside(row.value, row.parsed.verdict)), _hash(plain)
        raw[row.position] = _hash(text)
        if key not in numbers:
            numbers[key] = start + len(first)
            first.append(row.position)
            yield plain
        of_row[row.position] = numbers[key]
    return Groups(
        of_row=of_row,
        raw=raw,
        status=status,
        first=np.array(first, np.int64),
        beside=np.array([key[0] for key in numbers], np.uint64),
        start=start,
    )


@dataclass(frozen=True)
class Sketches:
    """What is compared of the groups of all sets, memory-mapped."""

    texts: pa.ChunkedArray  # (groups,)
    signatures: NDArray[np.uint32]  # (groups, 128)
    n: int  # characters of a gram

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
        similarities = np.zeros(len(left))
        for start in range(0, len(left), 20 * _PAIRS):
            part = slice(start, start + 20 * _PAIRS)
            maybe = may_be(self.signatures, left[part], right[part], near)
            pairs = start + np.flatnonzero(maybe)
            for at in range(0, len(pairs), _PAIRS):
                few = pairs[at : at + _PAIRS]
                both = np.concatenate([left[few], right[few]])
                groups, places = np.unique(both, return_inverse=True)
                texts = self.texts.take(pa.array(groups)).to_pylist()
                similarities[few] = jaccard(texts, places[: len(few)], places[len(few) :], self.n)
        return similarities


def sketch(texts: Iterable[str], folder: Path, n: int, seed: int) -> Sketches:
    """Write texts and their signatures to an empty folder; the next texts are read meanwhile."""
    texts_file, signatures_file = folder / "texts.arrow", folder / "signatures.bin"
    coming = iter(texts)

    def written() -> Iterator[list[str]]:
        while batch := list(islice(coming, _BATCH)):
            writer.write_batch(pa.record_batch([pa.array(batch, pa.large_string())], _SCHEMA))
            yield batch

    def signed(batch: list[str]) -> NDArray[np.uint32]:
        return signatures(*gram_hashes(batch, n), seed)

    with signatures_file.open("wb") as out, pa.ipc.new_file(str(texts_file), _SCHEMA) as writer:
        for signed_batch in mapped(signed, written()):
            out.write(signed_batch.tobytes())
    table = pa.ipc.open_file(pa.memory_map(str(texts_file))).read_all()
    stored = np.zeros((0, PERMUTATIONS), np.uint32)  # an empty file cannot be mapped
    if len(table):
        stored = np.memmap(signatures_file, np.uint32, "r", shape=(len(table), PERMUTATIONS))
    return Sketches(texts=table.column("text"), signatures=stored, n=n)


def mapped(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield function(item) of all items in order; two threads compute a few ahead and no more."""
    coming: deque[Future[R]] = deque()
    with ThreadPoolExecutor(2) as pool:
        for item in items:
            coming.append(pool.submit(function, item))
            if len(coming) > _AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def _hash(value: Any) -> int:
    """Return 64 bits of a text's hash, 0 for nothing."""
    if not value:
        return 0
    data = str(value).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
