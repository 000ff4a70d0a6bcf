"""The files that rows are written in: JSON Lines, an array or parquet, one file or shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, count, islice, repeat
from pathlib import Path

import pyarrow.json
import pyarrow.parquet as pq

from curate.system.files import delete

# Kinds of files that LLaMA-Factory reads by their ending.
CONTAINERS = ("jsonl", "json", "parquet")
_BLOCK = 16 << 20


def put_rows(path: Path, lines: Iterator[str], container: str, shard_rows: int = 0) -> int:
    """Write rows, a line of JSON each, of even columns; return how many.

    With `shard_rows` the path becomes a folder, and each of its files has so many rows.
    """
    parts: Iterator[Path] = repeat(path)
    if shard_rows:
        delete(path)
        path.mkdir()
        parts = (path / f"part-{number:05}.{container}" for number in count())
    if container != "parquet" and not shard_rows:
        return _put_lines(path, lines, container)
    if container != "parquet":
        return sum(_put_lines(next(parts), some, container) for some in _shards(lines, shard_rows))
    whole = path.with_name(f"{path.name}.lines")
    try:
        rows = _put_lines(whole, lines)
        _as_parquet(whole, parts, shard_rows)
    finally:
        whole.unlink(missing_ok=True)
    return rows


def _shards(lines: Iterator[str], rows: int) -> Iterator[Iterator[str]]:
    """Yield the lines, so many at a time."""
    for first in lines:
        yield chain([first], islice(lines, rows - 1))


def _put_lines(path: Path, lines: Iterable[str], container: str = "jsonl") -> int:
    """Write JSON Lines, or an array of them; return how many."""
    start, between, end = ("[\n", ",\n", "\n]\n") if container == "json" else ("", "\n", "\n")
    number = 0
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for number, line in enumerate(lines, 1):  # noqa: B007 - counted
            out.write(between if number > 1 else start)
            out.write(line)
        out.write(end)
    return number


def _as_parquet(lines: Path, parts: Iterator[Path], rows: int) -> None:
    """Write JSON Lines of even columns as parquet; memory does not grow."""
    # The first block shows every column's type: see `curate.data.even_columns`.
    coming = pyarrow.json.open_json(lines, pyarrow.json.ReadOptions(block_size=_BLOCK))
    with coming:
        writer, room = pq.ParquetWriter(next(parts), coming.schema), rows
        for batch in coming:
            while len(batch):
                if rows and not room:
                    writer.close()
                    writer, room = pq.ParquetWriter(next(parts), coming.schema), rows
                some = batch.slice(0, room) if rows else batch
                writer.write_batch(some)
                batch, room = batch.slice(len(some)), room - len(some)
        writer.close()
