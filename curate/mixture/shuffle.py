"""Lines in a drawn order, through a file without a name: memory does not grow with them.

Taking them in that order from a memory map would hold a whole column, and read a file that is
larger than memory again and again.
"""

from __future__ import annotations

import io
import json
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

BUCKET = 32 << 20  # bytes of lines that are brought into order at a time
_SCHEMA = pa.schema([("key", pa.uint64()), ("line", pa.large_binary())])


class Shuffle:
    """Lines that are added in any order and come out in the order of their keys.

    Keys are taken for evenly spread over all 64 bits: their upper end tells the bucket, and a
    bucket at a time is read back and put in order.
    """

    def __init__(self, folder: Path, expected: int, bucket: int = BUCKET) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - __exit__ closes it
        self._bits = max(0, (expected // bucket).bit_length())
        # Where the pieces of each bucket begin.
        self._pieces: list[list[int]] = [[] for _ in range(1 << self._bits)]
        self._lines = 0

    def __enter__(self) -> Shuffle:
        return self

    def __exit__(self, *raised: object) -> None:
        self._file.close()

    def add(self, keys: NDArray[np.uint64], lines: pa.LargeBinaryArray) -> None:
        """Add (n,) lines, each with its line end, and the keys that decide their order."""
        batch = pa.record_batch([keys, lines], schema=_SCHEMA).sort_by("key")
        firsts = np.arange(len(self._pieces), dtype=np.uint64) << np.uint64(64 - self._bits)
        starts = [*np.searchsorted(batch.column("key").to_numpy(), firsts).tolist(), len(keys)]
        for pieces, start, end in zip(self._pieces, starts, starts[1:], strict=False):
            if start < end:
                pieces.append(self._file.tell())
                self._file.write(batch.slice(start, end - start).serialize())
        self._lines += len(keys)

    def blocks(self) -> Iterator[memoryview]:
        """Yield all lines in the order of their keys, many whole lines at a time."""
        for pieces in filter(None, self._pieces):
            batches = []
            for begin in pieces:
                self._file.seek(begin)
                batches.append(pa.ipc.read_record_batch(pa.ipc.read_message(self._file), _SCHEMA))
            batch = pa.concat_batches(batches).sort_by("key")
            _, ends, text = batch.column("line").buffers()
            yield memoryview(text)[: np.frombuffer(ends, dtype=np.int64)[len(batch)]]

    def values(self, characters: float = math.inf) -> Iterator[dict[str, Any]]:
        """Yield the rows in order, parsed: all, or as many as make up so many characters."""
        seen = 0
        for block in self.blocks():
            for line in io.BytesIO(block):
                if seen >= characters:
                    return
                text = line.decode()
                seen += len(text)
                yield json.loads(text)

    def copy_to(self, path: Path) -> int:
        with path.open("wb") as out:
            out.writelines(self.blocks())
        return self._lines
