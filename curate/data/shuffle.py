"""Lines in a drawn order, through a file without a name: memory does not grow with them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# Bytes of lines that are brought into order at a time.
BUCKET = 32 << 20


class _Piece(NamedTuple):
    """Lines of one bucket as they were added: where they lie, how many, bytes of their text."""

    at: int
    lines: int
    size: int


class Shuffle:
    """Lines that are added in any order and come out in the order of their keys.

    Keys are taken for evenly spread over all 64 bits: their upper end tells the bucket, and a
    bucket at a time is read back and put in order.

    Args:
        folder: For the file; it disappears with the shuffle, however the process ends.
        expected: Bytes of all lines, as far as that is known; decides the number of buckets.
        bucket: Bytes of lines to put in order at a time.
    """

    def __init__(self, folder: Path, expected: int, bucket: int = BUCKET) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - __exit__ closes it
        self._bits = max(0, (expected // bucket).bit_length())
        self._pieces: list[list[_Piece]] = [[] for _ in range(1 << self._bits)]
        self._at = 0

    def __enter__(self) -> Shuffle:
        """Use as a context: the file is given back at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        """Return how many lines there are."""
        return sum(piece.lines for pieces in self._pieces for piece in pieces)

    def add(self, keys: NDArray[np.uint64], lines: pa.LargeBinaryArray) -> None:
        """Add lines.

        Args:
            keys: (n,) that decide their order.
            lines: n, each with its line end.
        """
        order = np.argsort(keys, kind="stable")
        keys, lines = keys[order], lines.take(pa.array(order))
        offsets, text = _buffers(lines)
        for bucket, (start, end) in enumerate(self._borders(keys)):
            if start < end:
                first, last = int(offsets[start]), int(offsets[end])
                self._file.write(keys[start:end].tobytes())
                self._file.write(np.diff(offsets[start : end + 1]).tobytes())
                self._file.write(text[first:last])
                self._pieces[bucket].append(_Piece(self._at, end - start, last - first))
                self._at += 16 * (end - start) + last - first

    def blocks(self) -> Iterator[memoryview]:
        """Yield all lines in the order of their keys, many whole lines at a time."""
        self._file.flush()
        for pieces in self._pieces:
            if pieces:
                keys, lines = self._read(pieces)
                offsets, text = _buffers(lines.take(pa.array(np.argsort(keys, kind="stable"))))
                yield text[int(offsets[0]) : int(offsets[-1])]

    def _borders(self, keys: NDArray[np.uint64]) -> list[tuple[int, int]]:
        """Return where the lines of every bucket begin and end among sorted keys."""
        if not self._bits:
            return [(0, len(keys))]
        buckets = keys >> np.uint64(64 - self._bits)
        ends = np.searchsorted(buckets, np.arange(1 << self._bits, dtype=np.uint64), side="right")
        return list(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True))

    def _read(self, pieces: list[_Piece]) -> tuple[NDArray[np.uint64], pa.LargeBinaryArray]:
        count = sum(piece.lines for piece in pieces)
        keys = np.empty(count, dtype=np.uint64)
        offsets = np.zeros(count + 1, dtype=np.int64)
        text = bytearray(sum(piece.size for piece in pieces))
        into, line, at = memoryview(text), 0, 0
        for piece in pieces:
            self._file.seek(piece.at)
            end = line + piece.lines
            keys[line:end] = np.frombuffer(self._file.read(8 * piece.lines), dtype=np.uint64)
            offsets[line + 1 : end + 1] = np.frombuffer(
                self._file.read(8 * piece.lines), dtype=np.int64
            )
            self._file.readinto(into[at : at + piece.size])
            line, at = end, at + piece.size
        buffers = [None, pa.py_buffer(np.cumsum(offsets)), pa.py_buffer(text)]
        return keys, pa.LargeBinaryArray.from_buffers(pa.large_binary(), count, buffers)


def _buffers(lines: pa.LargeBinaryArray) -> tuple[NDArray[np.int64], memoryview]:
    """Return where each line begins, and the last ends, and the text of all."""
    _, offsets, text = lines.buffers()
    starts = np.frombuffer(offsets, dtype=np.int64)[lines.offset : lines.offset + len(lines) + 1]
    return starts, memoryview(text if text is not None else b"")
