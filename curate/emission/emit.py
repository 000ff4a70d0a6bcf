"""Write chosen rows where LLaMA-Factory finds them: data, scores, registry entry, manifest."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.data.even_columns import Columns, columns_of
from curate.data.rows import CHUNK, Rows
from curate.data.schema import Shape
from curate.emission.containers import CONTAINERS, put_rows
from curate.errors import DataError, OutputError, UsageError
from curate.llamafactory.dataset_info import FILE, entry_for, locked, read_registry, register
from curate.system.files import content_sha256, delete, writing_to
from curate.system.manifest import read_manifest, to_json

_NAME = re.compile(r"\w[\w.-]*")  # what begins with - would be an option of `curate rm`
# What `curate report` writes beside a data set: its page, and its map as a table.
PAGE, MAP = ".report.html", ".map.parquet"
# Beside rows that a model made: what it was asked, which was paid for, and what belongs to them.
LEDGER, FAILED, CHUNKS = ".answers.db", ".failed.jsonl", ".chunks.parquet"
# A line for every row; batch by batch where there are too many to hold.
Scores: TypeAlias = "pa.Table | pa.RecordBatchReader"


def default_name(path: Path, recipe: str) -> str:
    """Return the name of an output, the first input's stem and the recipe: `huatuo_v1_ifd`."""
    stem = path.resolve().name if path.is_dir() else path.stem
    plain = re.sub(r"[^\w.-]+", "_", stem).strip("_.")
    return f"{plain or 'rows'}_{recipe}"


def check_target(
    folder: Path, name: str, recipe: str, overwrite: bool, shard_rows: int = 0
) -> None:
    """Make the folder and refuse what could not be written, before hours are spent on it."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--name {name}: allowed are letters, digits, _, - and ., the first no - or . "
            "(LLaMA-Factory takes names separated by commas)"
        )
    if f"{name}.json" == FILE:
        raise UsageError(f"--name {name}: {FILE} lists the data sets themselves; give another name")
    with emitting_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b" ")
        registered = name in read_registry(folder)
        files = [*data_paths(folder, name), *paths(folder, name)[1:]]
        exists = registered or any(path.is_file() for path in files)
        made_by = _made_by(folder, name)
    last = paths(folder, name)[-1]
    ours = {made_file(last), made_file(_part(last))}  # the second of a run that was killed
    if shard_rows and (folder / name).is_dir() and name not in ours:
        raise OutputError(
            f"{folder / name} is a folder that curate has not written; give another --name"
        )
    if exists and not overwrite and made_by != recipe:
        by = f"the recipe {made_by}" if made_by else "something other than curate"
        raise OutputError(
            f"'{name}' is already in {folder} and was made by {by}; give another --name, or "
            "--overwrite to replace it"
        )


def paths(folder: Path, name: str) -> list[Path]:
    return [folder / f"{name}.{end}" for end in ("jsonl", "scores.parquet", "manifest.json")]


def data_paths(folder: Path, name: str) -> list[Path]:
    """Return where the rows of a data set can be: files of any kind, or a folder of shards."""
    return [*(folder / f"{name}.{kind}" for kind in CONTAINERS), folder / name]


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def made_file(manifest: Path) -> str:
    """Return the name of the file that a manifest is of, '' if none."""
    output = (read_manifest(manifest) or {}).get("output")
    return str(output.get("file", "")) if isinstance(output, dict) else ""


def _made_by(folder: Path, name: str) -> str | None:
    """Return the recipe that made a data set, or scores alone.

    A run that was killed after its output was in place has left its manifest under the other
    name; the output's sha256 tells that it is of this output.
    """
    _, scores, manifest = paths(folder, name)
    outputs = [*data_paths(folder, name), scores]
    unfinished = read_manifest(_part(manifest)) or {}
    output = unfinished.get("output")
    if isinstance(output, dict):
        path = folder / str(output.get("file"))
        if path in outputs and path.exists() and output.get("sha256") == content_sha256(path):
            return str(unfinished.get("recipe"))
    recipe = (read_manifest(manifest) or {}).get("recipe")
    return recipe if isinstance(recipe, str) else None


def write(
    folder: Path,
    name: str,
    rows: Rows,
    kept: NDArray[np.bool_],
    scores: Scores,
    manifest: dict[str, Any],
    shard_rows: int = 0,
) -> list[str]:
    """Write the rows of a selection where `kept` (n,) is true; return the names of the files."""
    flaws = np.array(rows.table.column("flaw").to_pylist(), dtype=object)
    flawed = np.flatnonzero(kept & (flaws != ""))
    if len(flawed):
        row = rows[int(flawed[0])]
        raise DataError(
            f"{row.source}, {row.where}, id {row.id}: this row is to be kept and cannot be trained "
            f"on ({row.flaw}), as {len(flawed):,} of the kept; leave out every row that has a flaw"
        )

    def values() -> Iterator[dict[str, Any]]:
        raw = rows.table.column("raw")
        for start in range(0, len(rows), CHUNK):
            mask = pa.array(kept[start : start + CHUNK])
            yield from map(json.loads, raw.slice(start, CHUNK).filter(mask).to_pylist())

    return write_values(folder, name, values, rows.shape, manifest, scores, shard_rows=shard_rows)


def write_values(
    folder: Path,
    name: str,
    values: Callable[[], Iterator[dict[str, Any]]],
    shape: Shape,
    manifest: dict[str, Any],
    scores: Scores | None = None,
    container: str = "jsonl",
    shard_rows: int = 0,
) -> list[str]:
    """Write any rows and all that belongs to them; return the names of the files.

    `values` gives the same rows whenever it is called: without a flaw, all of one shape. With
    `shard_rows` they are in a folder, so many in each of its files. A row that is the first to have
    pictures, far behind the beginning, is written before all others: programs that guess types from
    the beginning would refuse it.
    """
    columns = columns_of(values(), set(shape.columns.values()))

    def ordered() -> Iterator[dict[str, Any]]:
        first = set(columns.first)
        for are_first in (True, False) if first else (False,):
            yield from (row for place, row in enumerate(values()) if (place in first) is are_first)

    def put(path: Path) -> int:
        lines = (json.dumps(columns.even(value), ensure_ascii=False) for value in ordered())
        return put_rows(path, lines, container, shard_rows)

    end = "" if shard_rows else container
    return write_files(folder, name, put, columns, shape, manifest, scores, end)


def write_files(
    folder: Path,
    name: str,
    put: Callable[[Path], int],
    columns: Columns,
    shape: Shape,
    manifest: dict[str, Any],
    scores: Scores | None,
    container: str = "jsonl",
) -> list[str]:
    """Write all files under other names and rename them, the manifest last; return their names.

    `put` writes the rows to a file, or without a `container` to a folder, and returns how many.
    The manifest gets the sha256 and the number of the output's rows.
    """
    _, table, last = paths(folder, name)
    data = folder / f"{name}.{container}" if container else folder / name
    # An entry that names a column which the file lacks ends LLaMA-Factory with a KeyError.
    named = {role: key for role, key in shape.columns.items() if key in columns.keys}
    entry = entry_for(replace(shape, columns=named), data.name)
    with _writing(folder, data, table, last):
        rows = put(_part(data))
        if scores is not None:
            _put_scores(_part(table), scores)
        as_text = {"columns_as_text": columns.as_text()}
        _put_manifest(last, {**manifest, "output": _output(data, rows), **as_text})
        for other in data_paths(folder, name):
            if made_file(last) == other.name and (other != data or data.is_dir()):
                delete(other)  # of an earlier data set of this name
        os.replace(_part(data), data)
        if scores is not None:
            os.replace(_part(table), table)
        else:
            table.unlink(missing_ok=True)
        register(folder, name, entry)
        os.replace(_part(last), last)
    return [data.name, *([table.name] if scores is not None else []), FILE, last.name]


def write_scores(
    folder: Path, name: str, scores: Scores, manifest: dict[str, Any] | None = None
) -> list[str]:
    """Write scores without a data set, and what made them; return the names of the files."""
    _, table, last = paths(folder, name)
    with _writing(folder, table, table, last):
        rows = _put_scores(_part(table), scores)
        if manifest is not None:
            _put_manifest(last, {**manifest, "output": _output(table, rows)})
        os.replace(_part(table), table)
        if manifest is not None:
            os.replace(_part(last), last)
    return [table.name] if manifest is None else [table.name, last.name]


def _put_scores(path: Path, scores: Scores) -> int:
    if isinstance(scores, pa.Table):
        pq.write_table(scores, path)
        return len(scores)
    rows = 0
    with pq.ParquetWriter(path, scores.schema) as writer:
        for batch in scores:
            writer.write_batch(batch)
            rows += len(batch)
    return rows


def _put_manifest(path: Path, manifest: dict[str, Any]) -> None:
    _part(path).write_text(to_json(manifest), encoding="utf-8")


def _output(path: Path, rows: int) -> dict[str, Any]:
    return {"file": path.name, "sha256": content_sha256(_part(path)), "rows": rows}


@contextmanager
def _writing(folder: Path, data: Path, table: Path, last: Path) -> Iterator[None]:
    """Take back what was not finished; once the data is in place, its manifest says whose it is."""
    with emitting_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            try:
                yield
            except BaseException:
                before = _part(data).exists() or not _part(last).exists()
                for path in (data, table, last) if before else (table,):
                    delete(_part(path))
                raise


def emitting_to(folder: Path) -> AbstractContextManager[None]:
    """Tell of a full disk or a closed folder in one line."""
    return writing_to(folder, more=". What was scored is kept, the same command goes on from there")
