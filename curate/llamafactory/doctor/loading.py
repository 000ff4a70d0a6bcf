"""A file's rows as LLaMA-Factory's loader (Hugging Face `datasets`) gives them, piece by piece.

A file is loaded by its ending, each piece with the types that pyarrow or pandas guess; every later
piece must fit the types of the first, or nothing is loaded at all. The pieces are those of
datasets 4.0: 10 MB of JSON Lines or text, 10,000 lines of CSV, a whole JSON array.
"""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from curate.data.json_values import DEPTH, json_array
from curate.errors import DataError
from curate.llamafactory.doctor.findings import Ends

CHUNK = 10 << 20
BATCH = 1000
_CSV_ROWS = 10_000
_NULL = re.compile(rb"\s*null\b")
# A JSON array beyond this is read by the thousand rows, twice; up to it by pandas as `datasets`
# does, which needs many times its size of memory.
_WHOLE = 64 << 20


def files_of(path: Path | Sequence[Path]) -> list[Path]:
    """Return the files that an entry's `file_name` stands for, as LLaMA-Factory takes them."""
    if isinstance(path, Path):
        path = sorted(path.iterdir()) if path.is_dir() else [path]
    files = list(path)
    readers = [_READERS.get(file.suffix[1:]) for file in files]
    if not readers or readers[0] is None:
        name = files[0].name if files else "the folder is empty"
        raise Ends("file_type", f"{name}: ValueError: Allowed file types: {', '.join(_READERS)}")
    for reader, file in zip(readers, files, strict=True):
        if reader is not readers[0]:
            raise Ends("mixed_file_types", f"{files[0].name} and {file.name}")
    return files


def loaded(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    schema: pa.Schema | None = None
    empty = True
    for table in itertools.chain.from_iterable(_tables(file) for file in files):
        schema = schema or table.schema
        for batch in _fitted(table, schema).to_batches(max_chunksize=BATCH):
            if not batch.num_columns:  # rows without any key are no rows there
                continue
            empty = empty and batch.num_rows == 0
            try:
                yield from batch.to_pylist()
            except UnicodeDecodeError as error:
                raise Ends("not_utf8", f"UnicodeDecodeError: {error.reason}") from None
    if empty:
        raise Ends("no_rows", 'ValueError: Instruction "train" corresponds to no data!')


def _tables(path: Path) -> Iterator[pa.Table]:
    """Yield a file's tables; what cannot be parsed is told in our words."""
    try:
        yield from _READERS[path.suffix[1:]](path)
    except UnicodeDecodeError as error:
        raise Ends("not_utf8", f"{path.name}: byte {error.start}: {error.reason}") from None
    except (pa.ArrowException, ValueError, OverflowError, TypeError, DataError) as error:
        reason = f"{path.name}: {' '.join(str(error).split())[:160]}"
        signs = (" changed from ", "Could not convert", "Expected bytes", "incompatible types")
        mixed = any(sign in reason for sign in signs)
        raise Ends("mixed_types" if mixed else "broken_file", reason) from None


def _json(path: Path) -> Iterator[pa.Table]:
    small = path.stat().st_size <= _WHOLE
    with path.open("rb") as stream:
        is_array = stream.read(1 << 10).lstrip()[:1] == b"["
        if is_array:
            yield from [_by_pandas(path)] if small else _by_thousands(path)
            return
        stream.seek(0)
        lines = 0
        while piece := stream.read(CHUNK):
            piece += stream.readline()
            for number, row in enumerate(piece.split(b"\n"), lines + 1):
                if _is_too_deep(row):
                    deep = f"{path.name}, line {number}: lists and objects are nested too deep"
                    raise Ends("broken_file", f"Segmentation fault: {deep}")
            lines += piece.count(b"\n")
            try:
                table = _by_arrow(piece)
            except pa.ArrowInvalid as error:
                # What pyarrow refuses pandas is asked for, and of two reasons pyarrow's is told.
                if not small:
                    raise
                try:
                    table = _by_pandas(path)
                except UnicodeDecodeError:
                    raise
                except ValueError:
                    raise error from None
                yield table
                return
            yield table


def _is_too_deep(row: bytes) -> bool:
    """Tell whether a row is nested deeper than Python reads, which ends pyarrow's process."""
    if row.count(b"[") + row.count(b"{") > DEPTH:
        try:
            json.loads(row)
        except RecursionError:
            return True
        except ValueError:
            pass
    return False


def _by_arrow(piece: bytes) -> pa.Table:
    """Parse a piece; blocks grow until the longest row fits."""
    block = CHUNK // 32
    while True:
        # Where one begins a block pyarrow ends the process, LLaMA-Factory's as well as ours.
        firsts = (piece.rfind(b"\n", 0, at) + 1 for at in range(0, len(piece), block))
        if any(_NULL.match(piece, first) for first in firsts):
            raise Ends("broken_file", "Segmentation fault: a row is null and no object")
        try:
            options = pa.json.ReadOptions(block_size=block)
            return pa.json.read_json(io.BytesIO(piece), read_options=options)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            short = "straddling" in str(error) or isinstance(error, pa.ArrowNotImplementedError)
            if not short or block > len(piece):
                raise
            block *= 2


def _by_pandas(path: Path) -> pa.Table:
    import pandas as pd

    with path.open(encoding="utf-8") as stream:
        frame = pd.read_json(stream, dtype_backend="pyarrow")
    if list(map(str, frame.columns)) == ["0"]:
        frame.columns = pd.Index(["text"])
    return pa.Table.from_pandas(frame, preserve_index=False)


def _by_thousands(path: Path) -> Iterator[pa.Table]:
    schema = pa.schema([])
    for table in _thousands(path):
        schema = pa.unify_schemas([schema, table.schema], promote_options="permissive")
    for table in _thousands(path):
        yield pa.concat_tables([schema.empty_table(), table], promote_options="permissive")


def _thousands(path: Path) -> Iterator[pa.Table]:
    with path.open(encoding="utf-8", newline="") as text:
        values = (record.value for record in json_array(text, path.name))
        while rows := list(itertools.islice(values, BATCH)):
            yield pa.Table.from_struct_array(pa.array([_object(row) for row in rows]))


def _object(row: Any) -> dict[str, Any]:
    if isinstance(row, list):
        return {str(place): value for place, value in enumerate(row)}
    return row if isinstance(row, dict) else {"text": row}


def _csv(path: Path) -> Iterator[pa.Table]:
    import pandas as pd

    with pd.read_csv(path, iterator=True, chunksize=_CSV_ROWS) as reader:
        for frame in reader:
            yield pa.Table.from_pandas(frame)


def _text(path: Path) -> Iterator[pa.Table]:
    with path.open(encoding="utf-8") as stream:
        while piece := stream.read(CHUNK):
            lines = io.StringIO(piece + stream.readline()).readlines()
            yield pa.table({"text": pa.array([line.rstrip("\n") for line in lines], pa.string())})


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
            batches = (file.get_batch(place) for place in range(file.num_record_batches))
        for batch in batches:
            yield pa.Table.from_batches([batch])


_READERS: dict[str, Callable[[Path], Iterator[pa.Table]]] = {
    "arrow": _arrow,
    "csv": _csv,
    "json": _json,
    "jsonl": _json,
    "parquet": _parquet,
    "txt": _text,
}


def _fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with the types of the first one; rows and objects may lack keys."""
    if table.schema.equals(schema):
        return table
    from datasets.table import table_cast

    if new := [name for name in table.column_names if name not in schema.names]:
        raise Ends("columns_differ", f"CastError: column names don't match: {', '.join(new)}")
    try:
        return table_cast(table, schema)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise Ends("columns_differ", " ".join(str(error).split())[:160]) from None
