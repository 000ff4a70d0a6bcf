"""Token sequences of many rows, made once, in blocks that lie in a file beside the rows."""

from __future__ import annotations

import hashlib
import io
import json
import os
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from curate.data.rows import Row, Rows
from curate.models.protocols import Model, TokenSequence
from curate.scorers.contract import Engine, Work, digest_of, in_batches
from curate.system.files import writing_to

BLOCK = 1000  # rows
# Part of every key: a changed way of keeping tokens never reads older ones.
_FORM = "sequences 1"
_HEAD = 48  # bytes before a block: its ids, the bytes behind them, and a sha256 of what it says


@dataclass(frozen=True)
class MadeRows:
    """Rows that are made of others, each at its position, whenever they are gone through."""

    identity: str  # a sha256 over all that they say, in their order
    size: int
    make: Callable[[], Iterator[Row]]

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Row]:
        return self.make()


SizedRows: TypeAlias = Rows | MadeRows


class Block:
    """Sequences of some rows, and what else their tokeniser has to say of them."""

    def __init__(self) -> None:
        self._ids, self._spans = array("i"), array("i")
        self._sizes, self._counts = array("q"), array("q")

    def append(self, ids: Sequence[int], spans: Sequence[tuple[int, int]]) -> None:
        """Add one sequence."""
        self._ids.extend(ids)
        self._sizes.append(len(ids))
        self._counts.append(len(spans))
        for span in spans:
            self._spans.extend(span)

    def packed(self, told: Any = None, **columns: Any) -> bytes:
        """Return the block as bytes, with columns of numbers or short texts, and plain data."""
        arrays: dict[str, Any] = {"sizes": np.array(self._sizes), "counts": np.array(self._counts)}
        arrays["spans"] = np.array(self._spans, dtype=np.int32).reshape(-1, 2)
        arrays["told"] = np.frombuffer(json.dumps(told).encode(), dtype=np.uint8)
        arrays |= columns
        rest = io.BytesIO()
        np.savez_compressed(rest, **arrays)
        rest.write(b"\0" * (-rest.tell() % 4))
        ids, packed = self._ids.tobytes(), rest.getvalue()
        # Of what is said, not of how small a library packs it.
        seal = digest_of(np.frombuffer(ids, dtype=np.uint8), *(arrays[n] for n in sorted(arrays)))
        sizes = np.array([len(self._ids), len(packed)], dtype="<i8").tobytes()
        return sizes + bytes.fromhex(seal) + ids + packed


class Sequences:
    """All sequences, memory-mapped: what is held in memory is 40 bytes a sequence and more a span.

    `columns` is what the tokeniser said of rows or spans, block after block, `told` its plain data.
    """

    def __init__(self, path: Path) -> None:
        self._ids: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self.told: list[Any] = []
        digest, parts = hashlib.sha256(), dict[str, list[NDArray[Any]]]()
        with path.open("rb") as stream:
            for at, ids, rest, seal in _blocks(stream):
                digest.update(seal)
                stream.seek(at + _HEAD + 4 * ids)
                with np.load(io.BytesIO(stream.read(rest)), allow_pickle=False) as arrays:
                    columns = dict(arrays)
                self.told.append(json.loads(columns.pop("told").tobytes()))
                sizes = columns["sizes"]
                columns["starts"] = (at + _HEAD) // 4 + np.cumsum(sizes) - sizes
                for name, column in columns.items():
                    parts.setdefault(name, []).append(column)
        # Of no rows there are no blocks, and every column is there all the same.
        whole = {name: np.concatenate(blocks) for name, blocks in parts.items()}
        self.columns = defaultdict(lambda: np.zeros(0, dtype=np.int64), whole)
        self._sizes, self._starts = self.columns["sizes"], self.columns["starts"]
        self.counts, self.spans = self.columns["counts"], self.columns["spans"].reshape(-1, 2)
        self._firsts = np.cumsum(self.counts) - self.counts
        self.digest = digest.hexdigest()
        if len(self._sizes):
            self._ids = np.memmap(path, dtype=np.int32, mode="r")

    def __len__(self) -> int:
        return len(self._sizes)

    def get(self, number: int) -> TokenSequence:
        """Return one sequence."""
        start, first = self._starts[number], self._firsts[number]
        ids = self._ids[start : start + self._sizes[number]].tolist()
        spans = self.spans[first : first + self.counts[number]].tolist()
        return TokenSequence(tuple(ids), tuple((begin, end) for begin, end in spans))

    def take(self, numbers: NDArray[np.int64]) -> list[TokenSequence]:
        """Return some sequences."""
        return [self.get(number) for number in numbers.tolist()]

    def work(
        self,
        rows: SizedRows,
        owners: NDArray[np.int64],
        model: Model,
        answer: Callable[[Any, Any], Any],
        *key: object,
        **more: Any,
    ) -> Work:
        """Return the work of answering each sequence; (sequences,) owners are places of rows."""

        def names(items: NDArray[np.int64]) -> list[str]:
            places = set(owners[items].tolist())
            return [row.id for row in rows if row.position in places]

        more |= {"digest": digest_of(key[0], self.digest, *key[1:]), "names": names}
        return Work(model, self._sizes, take=self.take, answer=answer, **more)


def tokenised(
    rows: SizedRows,
    tokenise: Callable[[Any, list[Row]], bytes],
    key: tuple[object, ...],
    model: Model,
    engine: Engine,
) -> Sequences:
    """Return the sequences of rows; those that an earlier run has made are not made again.

    `tokenise`, a function of a module or a partial of one, makes a packed Block of the model, its
    weights not loaded, and some rows; `key` is what decides the tokens besides rows and model.

    Raises:
        OutputError: The engine's folder cannot be written.
    """
    folder = engine.folder / "tokens"
    name = digest_of(_FORM, rows.identity, model.fingerprint, *key)[:32]
    path = folder / f"{name}.ids"
    with writing_to(folder, "tokens", "set CURATRAIN_CACHE to another folder"):
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.touch()  # which says why it cannot, as a lock does not
        with FileLock(f"{path}.lock"), path.open("r+b") as stream:
            known = list(_blocks(stream))
            total, done = -(-len(rows) // BLOCK), len(known)
            if done < total:
                at, ids, rest, _ = known[-1] if known else (-_HEAD, 0, 0, b"")
                stream.seek(at + _HEAD + 4 * ids + rest)
                stream.truncate()
                batches = in_batches(islice(rows, done * BLOCK, None), BLOCK)
                for block in engine.each(model, tokenise, batches, len(rows), total, done):
                    stream.write(block)
                    stream.flush()
    return Sequences(path)


def _blocks(stream: Any) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield place, ids, bytes of the rest and digest of every whole block of a file."""
    size, at = os.fstat(stream.fileno()).st_size, 0
    while at + _HEAD <= size:
        stream.seek(at)
        head = stream.read(_HEAD)
        ids, rest = (int(number) for number in np.frombuffer(head[:16], dtype="<i8"))
        if at + _HEAD + 4 * ids + rest > size:
            return
        yield at, ids, rest, head[16:]
        at += _HEAD + 4 * ids + rest
