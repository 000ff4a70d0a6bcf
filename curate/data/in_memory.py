"""Rows in memory - tables of pandas and of `datasets`, dicts - as a file of JSON Lines, and back.

To take one of their tables neither pandas nor `datasets` is imported: where nothing has imported
them, nobody can hold one.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from curate.data.even_columns import columns_of
from curate.data.json_values import plain, without_nulls
from curate.data.tables import SURPLUS
from curate.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas
    from datasets import Dataset, DatasetDict

    Row: TypeAlias = dict[str, Any] | list[Any]
    Given: TypeAlias = str | os.PathLike[str] | pandas.DataFrame | Dataset | DatasetDict

_BATCH = 1000
_SETS = ("Dataset", "DatasetDict", "IterableDataset", "IterableDatasetDict")
_READ = ("Rows", "Selection", "Mixed")
# Columns of a table of Rows: `raw` is the row.
_DESCRIBED = {"raw", "hash", "flaw", "where"}


def is_table(item: Any) -> TypeGuard[pandas.DataFrame | Dataset | DatasetDict]:
    """Tell whether something is a DataFrame, or of `datasets`."""
    return _is(item, "pandas", "DataFrame") or _is(item, "datasets", *_SETS)


def inputs_of(source: Any) -> list[Any]:
    """Return what is to be read one after the other: paths, tables, or rows as one stream."""
    if isinstance(source, str | os.PathLike) or is_table(source):
        return [source]
    no_heap = isinstance(source, Mapping | bytes | bytearray) or type(source).__name__ in _READ
    if no_heap or not isinstance(source, Iterable):
        raise UsageError(_nothing_to_read(source))
    items = iter(source)
    first = next(items, None)
    if first is None:
        raise UsageError("no input: give at least one file or folder")
    every = itertools.chain([first], items)
    if isinstance(first, dict | list):
        return [every]
    inputs = list(every)
    for item in inputs:
        if not isinstance(item, str | os.PathLike) and not is_table(item):
            raise UsageError(_nothing_to_read(item))
    return inputs


def _nothing_to_read(item: Any) -> str:
    name = "None" if item is None else type(item).__name__
    if name in _READ:
        return f"{name} is read already; give it to a recipe as it is, alone"
    if name == "Row":
        return "Row is read already; give it to a recipe as rows[[row.id]], several in the list"
    hint = "put it in a list, or " if isinstance(item, Mapping) else ""
    return (
        f"{name} is nothing that holds rows; {hint}give a path, a DataFrame, a datasets.Dataset, "
        "a list of dicts, or several of them in a list"
    )


def _one_split(table: Any) -> Any:
    if not _is(table, "datasets", "DatasetDict", "IterableDatasetDict"):
        return table
    if len(table) == 1:
        return next(iter(table.values()))
    raise UsageError(
        f"{type(table).__name__} holds the splits {', '.join(map(str, table)) or 'none'}; give one "
        f"of them, for example curate.read(data[{next(iter(table), '...')!r}])"
    )


def _is(item: Any, package: str, *classes: str) -> bool:
    module = sys.modules.get(package)
    return module is not None and isinstance(item, tuple(getattr(module, c) for c in classes))


def _table_name(table: Any) -> str:
    if not is_table(table):
        return "rows"
    if _is(table, "pandas", "DataFrame"):
        return "dataframe"
    name = getattr(getattr(table, "info", None), "dataset_name", None)
    return Path(name or type(table).__name__.lower()).name


def save_table(source: Any, folder: Path) -> Path:
    """Write rows as JSON Lines, and return the file; memory does not depend on their number."""
    table = _one_split(source)
    padded = is_table(table)
    path = folder / _table_name(table)
    with path.open("w", encoding="utf-8") as out:
        for number, row in enumerate(_dicts(table) if padded else table):
            if isinstance(row, dict) and row.keys() >= _DESCRIBED:
                out.write(row["raw"] + "\n")
                continue
            if not isinstance(row, dict | list):
                kind = type(row).__name__
                raise UsageError(
                    f"rows, row {number}: {kind} is no row; give dicts, all of one kind"
                )
            cells = row.items() if isinstance(row, dict) else enumerate(row)
            values = {column: _cell(cell, table, number, column) for column, cell in cells}
            if padded:
                values = {column: without_nulls(cell) for column, cell in values.items()}
            out.write(json.dumps(values if isinstance(row, dict) else list(values.values())) + "\n")
    return path


def _cell(cell: Any, table: Any, number: int, column: Any) -> Any:
    try:
        return plain(cell)
    except TypeError as error:
        raise DataError(
            f"{_table_name(table)}, row {number}: column {column!r} holds a value that is no text "
            f"and no JSON ({error}); give the rows without that column"
        ) from None


def _dicts(table: Any) -> Iterator[dict[str, Any]]:
    if _is(table, "datasets", "Dataset"):
        for batch in table.with_format("arrow").iter(_BATCH):
            yield from batch.to_pylist()
        return
    if _is(table, "datasets", "IterableDataset"):
        yield from table
        return
    names = [str(name) for name in table.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"dataframe has two columns named {twice!r}; rename one of them")
    for start in range(0, len(table), _BATCH):
        for cells in table.iloc[start : start + _BATCH].itertuples(index=False, name=None):
            # pandas writes NaN for a cell that is not there.
            yield {
                name: None if isinstance(cell, float) and cell != cell else cell
                for name, cell in zip(names, cells, strict=True)
            }


def as_frame(values: Iterable[Any]) -> pandas.DataFrame:
    """Return rows as a DataFrame; pandas would make floats of whole numbers beside nothing."""
    from curate.notebook.tables import frame_of

    frame = frame_of([_columns(value) for value in values], dtype=object)
    for name in frame.columns:
        if frame[name].notna().all():
            frame[name] = frame[name].infer_objects()
    return frame


def as_dataset(values: Iterable[Any], read_by_name: Collection[str]) -> Dataset:
    """Return rows as a Dataset, with columns of one type as a file of them has."""
    from datasets import Dataset

    rows = [_columns(value) for value in values]
    columns = columns_of(rows, read_by_name)
    return Dataset.from_list([columns.even(row) for row in rows])


def _columns(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {SURPLUS: value}
