"""Rows that a program holds - a pandas DataFrame, a `datasets.Dataset` - read as a file of them is.

Neither library is imported here: where nothing has imported it, nobody can hold one of its tables.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from curate.data.tables import plain
from curate.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas
    from datasets import Dataset

BATCH = 1000
# Columns of a table of Rows: `raw` is the row.
_DESCRIBED = {"raw", "hash", "flaw", "where"}


def is_frame(given: Any) -> TypeGuard[pandas.DataFrame | Dataset]:
    """Tell whether something is a DataFrame or a Dataset."""
    if _is(given, "datasets", "DatasetDict", "IterableDatasetDict"):
        splits = ", ".join(map(str, given))
        raise UsageError(
            f"{type(given).__name__} holds the splits {splits}; give one of them, "
            f"for example curate.read(data[{next(iter(given), '...')!r}])"
        )
    if _is(given, "datasets", "IterableDataset"):
        raise UsageError(
            "IterableDataset is a stream of rows; load the data set without streaming=True, "
            "or save the rows to a file and give that"
        )
    return _is(given, "pandas", "DataFrame") or _is(given, "datasets", "Dataset")


def _is(given: Any, package: str, *classes: str) -> bool:
    module = sys.modules.get(package)
    return module is not None and isinstance(given, tuple(getattr(module, c) for c in classes))


def frame_name(frame: pandas.DataFrame | Dataset) -> str:
    """Return what to call a frame: a Dataset may have a name of its own."""
    info = getattr(frame, "info", None)
    return Path(getattr(info, "dataset_name", None) or type(frame).__name__.lower()).name


def save_frame(frame: pandas.DataFrame | Dataset, path: Path) -> None:
    """Write a frame's rows as JSON Lines; memory does not depend on their number."""
    with path.open("w", encoding="utf-8") as out:
        for number, row in enumerate(_dicts(frame)):
            if row.keys() >= _DESCRIBED:
                out.write(row["raw"] + "\n")
                continue
            for column, cell in row.items():
                try:
                    row[column] = plain(cell)
                except TypeError as error:
                    raise DataError(
                        f"{frame_name(frame)}, row {number}: column {column!r} holds a value that "
                        f"is no text and no JSON ({error}); give the rows without that column"
                    ) from None
            out.write(json.dumps(row) + "\n")


def _dicts(frame: Any) -> Iterator[dict[str, Any]]:
    if _is(frame, "datasets", "Dataset"):
        for batch in frame.with_format("arrow").iter(BATCH):
            yield from batch.to_pylist()
        return
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"dataframe has two columns named {twice!r}; rename one of them")
    for start in range(0, len(frame), BATCH):
        for cells in frame.iloc[start : start + BATCH].itertuples(index=False, name=None):
            # pandas writes NaN for a cell that is not there.
            yield {
                name: None if isinstance(cell, float) and cell != cell else cell
                for name, cell in zip(names, cells, strict=True)
            }
