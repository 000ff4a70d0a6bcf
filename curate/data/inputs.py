"""What is given to be read, as files: paths, folders, addresses of the hub, tables in memory.

Neither pandas nor `datasets` is imported here: where nothing has imported them, nobody can hold
one of their tables.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from curate.data.hub_files import hub_files
from curate.data.json_values import plain
from curate.errors import DataError, UsageError, did_you_mean
from curate.system.cache import cache_dir
from curate.system.hub import is_hub

if TYPE_CHECKING:
    import pandas
    from datasets import Dataset

    Given: TypeAlias = str | os.PathLike[str] | pandas.DataFrame | Dataset

_PACKAGE = Path(__file__).parent.parent
# What curate and LLaMA-Factory write beside the data; never rows.
_NOT_ROWS = ("dataset_info.json", ".manifest.json", ".scores.parquet", ".lock")
_BATCH = 1000
# Columns of a table of Rows: `raw` is the row.
_DESCRIBED = {"raw", "hash", "flaw", "where"}


def bundled_folder() -> Path:
    """Return the folder `mixtures`: in the installed package, else in the checkout."""
    installed = _PACKAGE / "mixtures"
    return installed if installed.is_dir() else _PACKAGE.parent / "mixtures"


def find_bundled(path: Path) -> Path | None:
    """Return the file that comes with the package under a relative path, None without one."""
    if path.is_absolute() or path.parts[:1] != ("mixtures",) or ".." in path.parts:
        return None
    bundled = bundled_folder().joinpath(*path.parts[1:])
    return bundled if bundled.is_file() else None


def input_files(item: Given, tables: ExitStack) -> list[tuple[str, Path]]:
    """Return the files that a path or a table stands for, each with the name to call it by.

    A table is written to a file that is there as long as `tables` is open.
    """
    if is_table(item):
        cache_dir().mkdir(parents=True, exist_ok=True)
        name = _table_name(item)
        file = Path(tables.enter_context(TemporaryDirectory(dir=cache_dir()))) / name
        _save_table(item, file)
        return [(name, file)]
    if not isinstance(item, str | os.PathLike):
        raise UsageError(
            f"{type(item).__name__} is nothing that holds rows; give a path, a DataFrame or a "
            "datasets.Dataset, or several of them in a list"
        )
    path = Path(item).expanduser()
    if is_hub(path):
        return hub_files(path)
    if path.is_dir():
        return _in_folder(path)
    real = path if path.exists() else find_bundled(path)
    if real is None:
        beside, hint = "", ""
        if path.parent.is_dir():
            beside = f"; the folder '{path.parent}' is there"
            hint = did_you_mean(path.name, (file.name for file in path.parent.iterdir()))
        raise DataError(f"no file '{path}'{beside}{hint}; give an existing file or folder")
    if not real.is_file():
        raise DataError(f"'{path}' is neither a file nor a folder; save what it holds to a file")
    return [(_name(Path(path.name)), real)]


def _in_folder(folder: Path) -> list[tuple[str, Path]]:
    files = []
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = Path(_name(path.relative_to(folder)))
        hidden = any(part.startswith(".") for part in name.parts)
        about = name.name.upper().startswith(("README", "LICENSE"))
        if not (hidden or about or name.name.endswith(_NOT_ROWS)):
            files.append((str(name), path))
    if not files:
        raise DataError(f"folder '{folder}' holds no data files; give a file, or another folder")
    return files


def _name(path: Path) -> str:
    """Return a name that can be written: archives from Windows leave names that are no UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="replace")


def is_table(item: Any) -> TypeGuard[pandas.DataFrame | Dataset]:
    """Tell whether something is a DataFrame or a Dataset."""
    if _is(item, "datasets", "DatasetDict", "IterableDatasetDict"):
        splits = ", ".join(map(str, item))
        raise UsageError(
            f"{type(item).__name__} holds the splits {splits}; give one of them, "
            f"for example curate.read(data[{next(iter(item), '...')!r}])"
        )
    if _is(item, "datasets", "IterableDataset"):
        raise UsageError(
            "IterableDataset is a stream of rows; load the data set without streaming=True, "
            "or save the rows to a file and give that"
        )
    return _is(item, "pandas", "DataFrame") or _is(item, "datasets", "Dataset")


def _is(item: Any, package: str, *classes: str) -> bool:
    module = sys.modules.get(package)
    return module is not None and isinstance(item, tuple(getattr(module, c) for c in classes))


def _table_name(table: pandas.DataFrame | Dataset) -> str:
    """Return what to call a table: a Dataset may have a name of its own."""
    info = getattr(table, "info", None)
    return Path(getattr(info, "dataset_name", None) or type(table).__name__.lower()).name


def _save_table(table: pandas.DataFrame | Dataset, path: Path) -> None:
    """Write a table's rows as JSON Lines; memory does not depend on their number."""
    with path.open("w", encoding="utf-8") as out:
        for number, row in enumerate(_dicts(table)):
            if row.keys() >= _DESCRIBED:
                out.write(row["raw"] + "\n")
                continue
            for column, cell in row.items():
                try:
                    row[column] = plain(cell)
                except TypeError as error:
                    raise DataError(
                        f"{_table_name(table)}, row {number}: column {column!r} holds a value that "
                        f"is no text and no JSON ({error}); give the rows without that column"
                    ) from None
            out.write(json.dumps(row) + "\n")


def _dicts(table: Any) -> Iterator[dict[str, Any]]:
    if _is(table, "datasets", "Dataset"):
        for batch in table.with_format("arrow").iter(_BATCH):
            yield from batch.to_pylist()
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
