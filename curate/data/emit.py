"""Write chosen rows where LLaMA-Factory finds them: data, scores, registry entry, manifest."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
from curate.errors import DataError, OutputError, UsageError
from curate.llamafactory.dataset_info import FILE, entry_for, locked, read_registry, register
from curate.system.files import sha256_of
from curate.system.manifest import read_manifest, to_json

_NAME = re.compile(r"[\w.-]+")
# Names of files may have 255 bytes; the longest adds ".", "_none_kept", ".scores.parquet", ".part".
_LONGEST_NAME = 220
# A line for every row; batch by batch where there are too many to hold.
Scores: TypeAlias = "pa.Table | pa.RecordBatchReader"


def default_name(path: Path, recipe: str) -> str:
    """Return the name of an output: the input's stem and the recipe.

    Args:
        path: The first input.
        recipe: Of the recipe.

    Example:
        >>> default_name(Path("raw/huatuo v1.json"), "ifd")
        'huatuo_v1_ifd'
    """
    stem = path.resolve().name if path.is_dir() else path.stem
    plain = re.sub(r"[^\w.-]+", "_", stem).strip("_.")
    return f"{plain or 'rows'}_{recipe}"


def check_target(folder: Path, name: str, recipe: str, overwrite: bool) -> None:
    """Make the folder and refuse what could not be written, before hours are spent on it.

    Args:
        folder: Where to write.
        name: Of the data set.
        recipe: That will make it.
        overwrite: Replace what another recipe, or the user, has put there.

    Raises:
        UsageError: The name cannot be one.
        OutputError: The folder cannot be written, or the name is another's.
    """
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise UsageError(
            f"--name {name}: allowed are letters, digits, _, - and . (LLaMA-Factory takes names "
            "separated by commas)"
        )
    if len(os.fsencode(name)) > _LONGEST_NAME:
        raise UsageError(
            f"--name {name}: allowed are up to {_LONGEST_NAME} bytes of UTF-8 (a Chinese "
            "character is 3), or no file system takes the files; give a shorter --name"
        )
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b" ")
        registered = name in read_registry(folder)
        there = registered or any((folder / file).exists() for file in _files(name))
        made_by = _made_by(folder, name)
    if there and not overwrite and made_by != recipe:
        by = f"the recipe {made_by}" if made_by else "something other than curate"
        raise OutputError(
            f"'{name}' is already in {folder} and was made by {by}; give another --name, or "
            "--overwrite to replace it"
        )


def _files(name: str) -> tuple[str, str, str]:
    """Return the names of data, scores and manifest."""
    return f"{name}.jsonl", f"{name}.scores.parquet", f"{name}.manifest.json"


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _made_by(folder: Path, name: str) -> str | None:
    """Return the recipe that made a data set, or scores alone.

    A run that was killed after its output was in place has left its manifest under the other
    name; the output's sha256 tells that it is of this output.
    """
    *outputs, last = _files(name)
    unfinished = read_manifest(_part(folder / last)) or {}
    made = unfinished.get("output")
    made = made if isinstance(made, dict) else {}
    path = folder / str(made.get("file"))
    if path.name in outputs and path.is_file() and made.get("sha256") == sha256_of(path):
        return str(unfinished.get("recipe"))
    recipe = (read_manifest(folder / last) or {}).get("recipe")
    return recipe if isinstance(recipe, str) else None


def write(
    folder: Path,
    name: str,
    rows: Rows,
    kept: NDArray[np.bool_],
    scores: pa.Table,
    manifest: dict[str, Any],
) -> list[str]:
    """Write the kept rows of a selection; return the names of the files.

    Args:
        folder: Where to write.
        name: Of the data set.
        rows: All rows.
        kept: (n,) which to write, in input order.
        scores: n lines.
        manifest: What made them; sha256 and size of the output are added.

    Raises:
        DataError: A row that nobody can train on is among the kept.
        OutputError: The disk is full or the folder cannot be written.
    """
    _refuse_flawed(rows, kept)
    return write_values(folder, name, lambda: _chosen(rows, kept), rows.shape, manifest, scores)


def write_values(
    folder: Path,
    name: str,
    values: Callable[[], Iterator[dict[str, Any]]],
    shape: Shape,
    manifest: dict[str, Any],
    scores: Scores | None = None,
) -> list[str]:
    """Write any rows and all that belongs to them; return the names of the files.

    All files are written under other names first and then renamed, the manifest last.

    Args:
        folder: Where to write.
        name: Of the data set.
        values: Called twice, gives the same rows each time: without a flaw, all of one shape.
        shape: Of the rows.
        manifest: What made them; sha256 and number of the output's rows are added.
        scores: A line for every row that was looked at.

    Raises:
        OutputError: The disk is full or the folder cannot be written.
    """
    columns = columns_of(values(), set(shape.columns.values()))

    def put(path: Path) -> int:
        return _write_rows(path, (columns.even(value) for value in values()))

    return write_files(folder, name, put, columns, shape, manifest, scores)


def write_files(
    folder: Path,
    name: str,
    put: Callable[[Path], int],
    columns: Columns,
    shape: Shape,
    manifest: dict[str, Any],
    scores: Scores | None,
) -> list[str]:
    """Write all files under other names and rename them, the manifest last; return their names.

    Args:
        folder: Where to write.
        name: Of the data set.
        put: Writes the rows to a file and returns how many.
        columns: Of the rows.
        shape: Of the rows.
        manifest: What made them.
        scores: A line for every row that was looked at.
    """
    # An entry that names a column which the file lacks ends LLaMA-Factory with a KeyError.
    named = {role: key for role, key in shape.columns.items() if key in columns.keys}
    entry = entry_for(replace(shape, columns=named), _files(name)[0])
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        data, table, last = (folder / file for file in _files(name))
        with locked(folder), _unfinished(data, table, last):
            written = put(_part(data))
            output = {"file": data.name, "sha256": sha256_of(_part(data)), "rows": written}
            whole = {**manifest, "output": output, "columns_as_text": columns.as_text()}
            if scores is not None:
                _write_scores(_part(table), scores)
            _part(last).write_text(to_json(whole), encoding="utf-8")
            os.replace(_part(data), data)
            if scores is not None:
                os.replace(_part(table), table)
            else:
                table.unlink(missing_ok=True)  # of an earlier data set of this name
            register(folder, name, entry)
            os.replace(_part(last), last)
    return [data.name, *([table.name] if scores is not None else []), FILE, last.name]


def write_scores(folder: Path, stem: str, scores: pa.Table) -> Path:
    """Write a scores file alone, for a choice that kept no row; return its path.

    Args:
        folder: Where to write.
        stem: Its name, up to `.scores.parquet`.
        scores: A line for every row.

    Raises:
        OutputError: The disk is full or the folder cannot be written.
    """
    path = folder / _files(stem)[1]
    with told(folder):
        _write_scores(_part(path), scores)
        os.replace(_part(path), path)
    return path


def _write_scores(path: Path, scores: Scores) -> None:
    if isinstance(scores, pa.Table):
        pq.write_table(scores, path)
        return
    with pq.ParquetWriter(path, scores.schema) as writer:
        for batch in scores:
            writer.write_batch(batch)


@contextmanager
def _unfinished(data: Path, table: Path, last: Path) -> Iterator[None]:
    """Take back what was not finished; once the data is in place, its manifest says whose it is."""
    try:
        yield
    except BaseException:
        before = _part(data).exists() or not _part(last).exists()
        for path in (data, table, last) if before else (table,):
            _part(path).unlink(missing_ok=True)
        raise


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Tell of a full disk or a closed folder in one line.

    Args:
        folder: Where something is written.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {error.strerror or error}; make room, or give another "
            "--output. What was scored is kept, the same command goes on from there"
        ) from error


def _chosen(rows: Rows, kept: NDArray[np.bool_]) -> Iterator[dict[str, Any]]:
    """Yield the original rows that are kept; the others are not even parsed."""
    raw = rows.table.column("raw")
    for start in range(0, len(rows), CHUNK):
        mask = pa.array(kept[start : start + CHUNK])
        yield from map(json.loads, raw.slice(start, CHUNK).filter(mask).to_pylist())


def _refuse_flawed(rows: Rows, kept: NDArray[np.bool_]) -> None:
    flaws = np.array(rows.table.column("flaw").to_pylist(), dtype=object)
    wrong = np.flatnonzero(kept & (flaws != ""))
    if len(wrong):
        row = rows[int(wrong[0])]
        raise DataError(
            f"{row.source}, {row.where}, id {row.id}: this row is to be kept and cannot be trained "
            f"on ({row.flaw}), as {len(wrong):,} of the kept; leave out every row that has a flaw"
        )


def _write_rows(path: Path, values: Iterable[dict[str, Any]]) -> int:
    written = 0
    with path.open("w", encoding="utf-8", newline="\n") as out:
        for value in values:
            out.write(json.dumps(value, ensure_ascii=False) + "\n")
            written += 1
    return written
