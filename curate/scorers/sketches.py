"""Rows by what is compared of them: equal ones together, each different text with a signature."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.ids import beside
from curate.data.rows import Row, Rows
from curate.scorers import minhash
from curate.scorers.grams import gram_hashes, jaccard, normalised

ON = ("both", "prompt", "response")
_ASKS = {"prompt": ("user", "observation"), "response": ("assistant", "function")}
_BATCH = 2000
_WORKERS = 2
_AHEAD = 4  # batches that wait for a worker or for the disk
_PAIRS = 500
T = TypeVar("T")
R = TypeVar("R")
_SCHEMA = pa.schema([("text", pa.large_string())])


def compared(row: Row, on: str) -> str:
    """Return what is compared of a row: its turns, not its system prompt and not `rejected`.

    Args:
        row: Any; all its turns count, since many conversations end in the same words.
        on: `both`, `prompt` (what was asked) or `response` (what was answered).
    """
    said = [turn.content for turn in row.turns if on == "both" or turn.role in _ASKS[on]]
    if on != "prompt" and row.parsed.chosen is not None:
        said.append(row.parsed.chosen)
    return "\n".join(said)


@dataclass(frozen=True)
class Groups:
    """Rows of one set, those that say the same in one group.

    Attributes:
        of_row: (n,) number of each row's group; -1 for a row that is not compared.
        raw: (n,) hash of each row's text before it was normalised.
        status: (n,) `ok`, or the flaw.
        first: (groups,) the first row of each.
        beside: (groups,) hash of what stands beside the text, pictures and verdicts; 0 is nothing.
        start: Number of the first group among those of all sets.
    """

    of_row: NDArray[np.int64]
    raw: NDArray[np.uint64]
    status: NDArray[np.object_]
    first: NDArray[np.int64]
    beside: NDArray[np.uint64]
    start: int


class Sketches:
    """Texts and signatures of groups, on disk, made once for several sets of rows.

    Args:
        folder: Where they are kept, empty.
        n: Characters of a gram.
        seed: Of the signatures.
    """

    def __init__(self, folder: Path, n: int, seed: int) -> None:
        self._n, self._seed = n, seed
        self._texts_at, self._signatures_at = folder / "texts.arrow", folder / "signatures.bin"
        self._out = self._signatures_at.open("wb")
        self._writer = pa.ipc.new_file(str(self._texts_at), _SCHEMA)
        self._pool = ThreadPoolExecutor(_WORKERS)
        self._coming: deque[Future[NDArray[np.uint32]]] = deque()
        self._batch: list[str] = []
        self._groups = 0

    def add(
        self, rows: Rows, on: str, flawed: bool = False, tell: Callable[[int], object] = int
    ) -> Groups:
        """Add a set of rows; rows of two sets are never in one group.

        Args:
            rows: The set.
            on: What is compared, one of ON.
            flawed: Compare rows, too, that have a flaw and a text all the same.
            tell: Called with the number of rows that were done since it was called last.
        """
        seen: dict[tuple[int, int], int] = {}
        of_row, raw = np.full(len(rows), -1), np.zeros(len(rows), np.uint64)
        status = np.full(len(rows), "ok", object)
        start, first, keys = self._groups, [], []
        for row in rows:
            if row.position % _BATCH == _BATCH - 1:
                tell(_BATCH)
            text = compared(row, on) if flawed or not row.flaw else ""
            plain = normalised(text)
            status[row.position] = row.flaw or ("ok" if plain else "no_text")
            if not plain:
                continue
            key = _hash(beside(row.value)), _hash(plain)
            raw[row.position] = _hash(text)
            if key not in seen:
                seen[key] = self._groups
                first.append(row.position)
                keys.append(key[0])
                self._take(plain)
            of_row[row.position] = seen[key]
        return Groups(of_row, raw, status, np.array(first, np.int64), _uint64(keys), start)

    def _take(self, text: str) -> None:
        self._groups += 1
        self._batch.append(text)
        if len(self._batch) == _BATCH:
            self._flush()

    def _flush(self) -> None:
        """Hand a batch to a worker; NumPy lets both cores work at once."""
        texts, self._batch = self._batch, []
        self._writer.write_batch(pa.record_batch([pa.array(texts, pa.large_string())], _SCHEMA))
        self._coming.append(self._pool.submit(_signed, texts, self._n, self._seed))
        while len(self._coming) > _AHEAD:
            _write(self._out, self._coming.popleft())

    def close(self) -> Sketched:
        """Return what was added, and take no more."""
        self._flush()
        while self._coming:
            _write(self._out, self._coming.popleft())
        self._pool.shutdown()
        self._out.close()
        self._writer.close()
        texts = pa.ipc.open_file(pa.memory_map(str(self._texts_at))).read_all().column("text")
        shape = self._groups, minhash.PERMUTATIONS
        signatures = (
            np.memmap(self._signatures_at, np.uint32, "r", shape=shape)
            if self._groups
            else np.zeros(shape, np.uint32)
        )
        return Sketched(texts, signatures, self._n)


@dataclass(frozen=True)
class Sketched:
    """What Sketches has made.

    Attributes:
        texts: (groups,) normalised texts, memory-mapped.
        signatures: (groups, 128) memory-mapped.
        n: Characters of a gram.
    """

    texts: pa.ChunkedArray
    signatures: NDArray[np.uint32]
    n: int

    def batches(self, start: int) -> Iterator[list[str]]:
        """Yield the texts from one group on, some thousand at a time.

        Args:
            start: The first group.
        """
        for at in range(start, len(self.texts), _BATCH):
            yield self.texts.slice(at, _BATCH).to_pylist()

    def similar(
        self, left: NDArray[np.int64], right: NDArray[np.int64], near: float
    ) -> NDArray[np.float64]:
        """Return the Jaccard similarity of pairs of groups, 0 where it is far below `near`.

        Args:
            left: (pairs,) groups.
            right: (pairs,) groups.
            near: Pairs whose signatures say that they are not nearly that similar are not compared.
        """
        found = np.zeros(len(left))
        for start in range(0, len(left), 20 * _PAIRS):
            part = slice(start, start + 20 * _PAIRS)
            maybe = minhash.may_be(self.signatures, left[part], right[part], near)
            places = start + np.flatnonzero(maybe)
            for at in range(0, len(places), _PAIRS):
                few = places[at : at + _PAIRS]
                found[few] = self._jaccard(left[few], right[few])
        return found

    def _jaccard(self, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
        groups, places = np.unique(np.concatenate([left, right]), return_inverse=True)
        texts = self.texts.take(pa.array(groups)).to_pylist()
        return jaccard(texts, places[: len(left)], places[len(left) :], self.n)


def mapped(pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield function(item) of all items in order, a few computed ahead and no more.

    Args:
        pool: Computes.
        function: Of one item.
        items: As many as there are.
    """
    coming: deque[Future[R]] = deque()
    for item in items:
        coming.append(pool.submit(function, item))
        if len(coming) > _AHEAD:
            yield coming.popleft().result()
    while coming:
        yield coming.popleft().result()


def _signed(texts: list[str], n: int, seed: int) -> NDArray[np.uint32]:
    return minhash.signatures(*gram_hashes(texts, n), seed)


def _write(out: BinaryIO, coming: Future[NDArray[np.uint32]]) -> None:
    out.write(coming.result().tobytes())


def _hash(said: Any) -> int:
    """Return 64 bits of a text's hash, 0 for nothing."""
    if not said:
        return 0
    data = str(said).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def _uint64(values: list[int]) -> NDArray[np.uint64]:
    return np.array(values, np.uint64)
