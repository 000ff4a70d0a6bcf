"""A file's rows as LLaMA-Factory's loader (Hugging Face `datasets`) gives them, piece by piece.

A file is loaded by its ending, each piece with the types that pyarrow or pandas guess; every later
piece must fit the types of the first, or nothing is loaded at all. The pieces are those of
datasets 4.0: 10 MB of JSON Lines or text, 10,000 lines of CSV, a whole JSON array.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curate.llamafactory.doctor.json_loading import json_tables
from curate.llamafactory.doctor.rules import Ends

CHUNK = 10 << 20
BATCH = 1000
_CSV_ROWS = 10_000
_LOADERS: dict[str, Callable[[Path], Iterator[pa.Table]]] = {}
ENDINGS = {
    "arrow": "arrow",
    "csv": "csv",
    "json": "json",
    "jsonl": "json",
    "parquet": "parquet",
    "txt": "text",
}


def files_of(path: Path) -> list[Path]:
    """Return the files that an entry's `file_name` stands for, as LLaMA-Factory takes them."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    kinds = [ENDINGS.get(each.suffix[1:]) for each in files]
    if not kinds or kinds[0] is None:
        name = files[0].name if files else path.name
        raise Ends("file_type", f"{name}: ValueError: Allowed file types: {', '.join(ENDINGS)}")
    for kind, each in zip(kinds, files, strict=True):
        if kind != kinds[0]:
            raise Ends("mixed_file_types", f"{files[0].name} and {each.name}")
    return files


def loaded(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Yield the rows of files as LLaMA-Factory gets them."""
    tables = itertools.chain.from_iterable(_told(each) for each in files)
    schema: pa.Schema | None = None
    found = False
    for table in tables:
        schema = schema or table.schema
        for batch in _fitted(table, schema).to_batches(max_chunksize=BATCH):
            if not batch.num_columns:  # rows without any key are no rows there
                continue
            found = found or batch.num_rows > 0
            try:
                yield from batch.to_pylist()
            except UnicodeDecodeError as error:
                raise Ends("not_utf8", f"UnicodeDecodeError: {error.reason}") from None
    if not found:
        raise Ends("no_rows", 'ValueError: Instruction "train" corresponds to no data!')


def _told(path: Path) -> Iterator[pa.Table]:
    """Yield a file's tables; what cannot be parsed is told in our words."""
    try:
        yield from _LOADERS[ENDINGS[path.suffix[1:]]](path)
    except UnicodeDecodeError as error:
        raise Ends("not_utf8", f"{path.name}: byte {error.start}: {error.reason}") from None
    except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
        said = f"{path.name}: {' '.join(str(error).split())[:160]}"
        mixed = " changed from " in said or "Could not convert" in said or "Expected bytes" in said
        raise Ends("mixed_types" if mixed else "broken_file", said) from None


def _csv(path: Path) -> Iterator[pa.Table]:
    import pandas as pd

    with pd.read_csv(path, iterator=True, chunksize=_CSV_ROWS) as reader:
        for frame in reader:
            yield pa.Table.from_pandas(frame)


def _text(path: Path) -> Iterator[pa.Table]:
    with path.open(encoding="utf-8") as stream:
        while piece := stream.read(CHUNK):
            lines = io.StringIO(piece + stream.readline()).readlines()
            yield pa.table({"text": pa.array([each.rstrip("\n") for each in lines], pa.string())})


def _parquet(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH):
            yield pa.Table.from_batches([batch])


def _arrow(path: Path) -> Iterator[pa.Table]:
    with path.open("rb") as stream:
        try:
            batches: Iterable[Any] = pa.ipc.open_stream(stream)
        except (OSError, pa.ArrowInvalid):
            file = pa.ipc.open_file(stream)
            batches = (file.get_batch(each) for each in range(file.num_record_batches))
        for batch in batches:
            yield pa.Table.from_batches([batch])


_LOADERS.update(json=json_tables, csv=_csv, text=_text, parquet=_parquet, arrow=_arrow)


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with the types of the first one."""
    if table.schema.equals(schema):
        return table
    new = [name for name in table.column_names if name not in schema.names]
    if new:
        raise Ends("columns_differ", f"CastError: column names don't match: {', '.join(new)}")
    try:
        columns = [
            _cast(table.column(each.name).combine_chunks(), each.type)
            if each.name in table.column_names
            else pa.nulls(table.num_rows, each.type)
            for each in schema
        ]
    except (pa.ArrowException, TypeError) as error:
        raise Ends("columns_differ", " ".join(str(error).split())[:160]) from None
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(array: Any, kind: pa.DataType) -> Any:
    """Return an array as another type; an object may lack keys, and nothing fits into null."""
    given = array.type
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.nulls(0, given)
    if given == kind:
        return array
    if pa.types.is_null(given):
        return pa.nulls(len(array), kind)
    if pa.types.is_struct(given) and pa.types.is_struct(kind):
        names = {each.name for each in given}
        if names <= {each.name for each in kind}:
            parts = [
                _cast(array.field(each.name), each.type)
                if each.name in names
                else pa.nulls(len(array), each.type)
                for each in kind
            ]
            return pa.StructArray.from_arrays(parts, fields=list(kind), mask=array.is_null())
    elif pa.types.is_list(given) and pa.types.is_list(kind):
        values = _cast(array.flatten(), kind.value_type)
        lengths = [0 if each is None else each for each in array.value_lengths().to_pylist()]
        ends = [0, *itertools.accumulate(lengths)]
        return pa.ListArray.from_arrays(
            pa.array(ends, pa.int32()), values, type=kind, mask=array.is_null()
        )
    elif not (pa.types.is_nested(given) or pa.types.is_nested(kind) or pa.types.is_null(kind)):
        return array.cast(kind)
    raise TypeError(f"couldn't cast array of type {given} to {kind}")
