"""JSON as Hugging Face `datasets` 4.0 loads it: pyarrow for JSON Lines, pandas for an array."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json

from curate.data.json_values import json_array

CHUNK = 10 << 20
# An array beyond this is read row by row; up to it, by pandas as `datasets` does, which needs many
# times its size of memory.
WHOLE = 64 << 20
ROWS = 1000


def json_tables(path: Path, whole: int = WHOLE) -> Iterator[pa.Table]:
    """Yield the tables that a JSON file is loaded as."""
    with path.open("rb") as stream:
        is_array = stream.read(1 << 10).lstrip()[:1] == b"["
        stream.seek(0)
        small = path.stat().st_size <= whole
        if is_array:
            yield from _by_pandas(path) if small else _by_row(path)
            return
        while piece := stream.read(CHUNK):
            piece += stream.readline()
            try:
                table = _by_arrow(piece)
            except pa.ArrowInvalid:
                if not small:
                    raise
                yield from _by_pandas_or_raise(path)
                return
            yield table


def _by_arrow(piece: bytes) -> pa.Table:
    """Parse a piece; blocks grow until the longest row fits."""
    block = CHUNK // 32
    while True:
        try:
            options = pa.json.ReadOptions(block_size=block)
            return pa.json.read_json(io.BytesIO(piece), read_options=options)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            short = "straddling" in str(error) or isinstance(error, pa.ArrowNotImplementedError)
            if not short or block > len(piece):
                raise
            block *= 2


def _by_pandas_or_raise(path: Path) -> Iterator[pa.Table]:
    """Try pandas on what pyarrow refused, and tell pyarrow's reason if that fails too."""
    try:
        tables = list(_by_pandas(path))
    except UnicodeDecodeError:
        raise
    except ValueError:
        with path.open("rb") as stream:
            while piece := stream.read(CHUNK):
                _by_arrow(piece + stream.readline())
        raise
    yield from tables


def _by_pandas(path: Path) -> Iterator[pa.Table]:
    import pandas as pd

    with path.open(encoding="utf-8") as stream:
        frame = pd.read_json(stream, dtype_backend="pyarrow")
    if list(map(str, frame.columns)) == ["0"]:
        frame.columns = pd.Index(["text"])
    yield pa.Table.from_pandas(frame, preserve_index=False)


def _by_row(path: Path) -> Iterator[pa.Table]:
    """Yield an array's rows by the thousand, under one schema that all of them have.

    pandas sees all rows before it decides on types, so they are passed over twice.
    """
    kinds: dict[str, pa.DataType] = {}
    for rows in _thousands(path):
        keys = {key: None for row in rows for key in row}
        table = pa.table({key: pa.array([row.get(key) for row in rows]) for key in keys})
        for each in table.schema:
            kinds[each.name] = _wider(kinds.get(each.name), each.type)
    schema = pa.schema(list(kinds.items()))
    for rows in _thousands(path):
        yield pa.Table.from_pylist(rows, schema=schema)


def _wider(one: pa.DataType | None, other: pa.DataType) -> pa.DataType:
    """Return the type that holds both."""
    if one is None or one == other:
        return other
    try:
        fields = [pa.schema([("column", each)]) for each in (one, other)]
        return pa.unify_schemas(fields, promote_options="permissive").field(0).type
    except pa.ArrowTypeError as error:
        raise pa.ArrowInvalid(f"Could not convert: {error}") from None


def _thousands(path: Path) -> Iterator[list[dict[str, Any]]]:
    with path.open(encoding="utf-8", newline="") as text:
        values = (record.value for record in json_array(text, path.name))
        while rows := list(itertools.islice(values, ROWS)):
            yield [row if isinstance(row, dict) else {"text": row} for row in rows]
