"""Rows of a memory-mapped table, a stretch of a few megabytes at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

ROWS = 1 << 16
BYTES = 16 << 20


def stretches(table: pa.Table, rows: int = ROWS, size: int = BYTES) -> Iterator[pa.RecordBatch]:
    """Yield all rows in order, in batches of not too many rows and bytes, each one array a column.

    Args:
        table: Any.
        rows: That a batch may have.
        size: Bytes that a batch may have, unless one row alone is larger.
    """
    waiting: list[pa.RecordBatch] = []
    held = held_rows = 0
    for batch in table.to_batches():
        for piece in _pieces(batch, rows, size):
            if waiting and (held + piece.nbytes > size or held_rows + len(piece) > rows):
                yield pa.concat_batches(waiting)
                waiting, held, held_rows = [], 0, 0
            waiting.append(piece)
            held += piece.nbytes
            held_rows += len(piece)
    if waiting:
        yield pa.concat_batches(waiting)


def _pieces(batch: pa.RecordBatch, rows: int, size: int) -> Iterator[pa.RecordBatch]:
    if len(batch) > 1 and (batch.nbytes > size or len(batch) > rows):
        half = len(batch) // 2
        yield from _pieces(batch.slice(0, half), rows, size)
        yield from _pieces(batch.slice(half), rows, size)
    elif len(batch):
        yield batch
