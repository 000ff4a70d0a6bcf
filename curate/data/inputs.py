"""What is given to be read, as files: paths, folders, addresses of the hub, rows in memory.

Neither pandas nor `datasets` is imported here: where nothing has imported them, nobody can hold
one of their tables.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeGuard

from curate.data.encoding import sniff
from curate.data.file_kinds import raw_rows
from curate.data.formats import detected
from curate.data.hub_files import hub_files
from curate.data.json_values import plain
from curate.data.packed import listed, members
from curate.data.tables import unpadded
from curate.errors import DataError, UsageError, did_you_mean
from curate.system.cache import cache_dir
from curate.system.hub import is_hub

if TYPE_CHECKING:
    import pandas
    from datasets import Dataset, DatasetDict

    Row: TypeAlias = dict[str, Any] | list[Any]
    Given: TypeAlias = str | os.PathLike[str] | pandas.DataFrame | Dataset | DatasetDict

_PACKAGE = Path(__file__).parent.parent
# What curate and LLaMA-Factory write beside the data; never rows.
_NOT_ROWS = ("dataset_info.json", ".manifest.json", ".scores.parquet", ".lock")
# What people keep beside rows; what has another ending, or none, is read.
_BESIDE = frozenset(
    [
        "py",
        "ipynb",
        "md",
        "rst",
        "html",
        "htm",
        "css",
        "js",
        "ts",
        "sh",
        "bat",
        "yaml",
        "yml",
        "toml",
        "ini",
        "cfg",
        "cff",
        "bib",
        "tex",
        "pdf",
        "doc",
        "docx",
        "ppt",
        "pptx",
        "png",
        "jpg",
        "jpeg",
        "gif",
        "bmp",
        "webp",
        "svg",
        "tif",
        "tiff",
        "ico",
        "heic",
        "dcm",
        "mp3",
        "wav",
        "flac",
        "ogg",
        "m4a",
        "mp4",
        "avi",
        "mkv",
        "mov",
        "webm",
        "safetensors",
        "bin",
        "pt",
        "pth",
        "ckpt",
        "onnx",
        "npy",
        "npz",
        "pkl",
        "gguf",
        "tar",
        "tgz",
        "7z",
        "rar",
        "lock",
        "log",
        "sha256",
        "md5",
        "db",
        "sqlite",
        "faiss",
        "model",
        "whl",
    ]
)
_CONFIG = 1 << 20  # bytes of a lone JSON object that may be settings
_BATCH = 1000
_SETS = ("Dataset", "DatasetDict", "IterableDataset", "IterableDatasetDict")
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


class InputFile(NamedTuple):
    """A file to be read, the name to call it by, and what of it or beside it."""

    name: str
    path: Path
    part: str = ""  # of a zip or a spreadsheet
    aside: str = ""  # what was left aside beside it in its folder


def input_files(item: Given | Iterable[Row], opened: ExitStack) -> list[InputFile]:
    """Return the files that a path, or rows in memory, stand for.

    Rows are written to a file that is there as long as `opened` is open.
    """
    if is_table(item) or not isinstance(item, str | os.PathLike):
        cache_dir().mkdir(parents=True, exist_ok=True)
        table = _one_split(item)
        name = _table_name(table)
        file = Path(opened.enter_context(TemporaryDirectory(dir=cache_dir()))) / name
        _save_table(table, file)
        return [InputFile(name, file)]
    path = Path(item).expanduser()
    if is_hub(path):
        return [InputFile(*file) for file in hub_files(path)]
    if path.is_dir():
        return _in_folder(path)
    real, part = (path if path.exists() else find_bundled(path)), ""
    if real is None:  # FILE.xlsx#SHEET, FILE.zip#FOLDER/MEMBER
        marks = [place for place, mark in enumerate(str(path)) if mark == "#"]
        split = [(Path(str(path)[:at]), str(path)[at + 1 :]) for at in marks]
        real, part = next((whole for whole in split if whole[0].is_file()), (None, ""))
    if real is None:
        beside, hint = "", ""
        if path.parent.is_dir():
            beside = f"; the folder '{path.parent}' is there"
            hint = did_you_mean(path.name, (file.name for file in path.parent.iterdir()))
        raise DataError(f"no file '{path}'{beside}{hint}; give an existing file or folder")
    if not real.is_file():
        raise DataError(f"'{path}' is neither a file nor a folder; save what it holds to a file")
    return [InputFile(_name(Path(real.name if part else path.name)), real, part)]


def _in_folder(folder: Path) -> list[InputFile]:
    if (folder / "dataset_dict.json").is_file():  # DatasetDict.save_to_disk
        splits = sorted(state.parent.name for state in folder.glob("*/state.json"))
        if len(splits) != 1:
            raise UsageError(
                f"folder '{folder}' holds the splits {listed(splits) or 'none'}; give one of them"
                + (f", for example {folder / splits[0]}" if splits else ", or another folder")
            )
        return _in_folder(folder / splits[0])
    if shards := _shards(folder):
        return [InputFile(_name(shard.relative_to(folder)), shard) for shard in shards]
    files, aside = [], []
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        name = Path(_name(path.relative_to(folder)))
        if any(part.startswith(".") for part in name.parts) or name.name.endswith(_NOT_ROWS):
            continue
        about = name.name.upper().startswith(("README", "LICENSE", "REQUIREMENTS."))
        beside = about or name.suffix.lower().lstrip(".") in _BESIDE
        if beside or (name.suffix.lower() == ".zip" and not _has_rows(path)):
            aside.append(str(name))
        else:
            files.append(InputFile(str(name), path))
    settings = [file for file in files if len(files) > 1 and _is_settings(file.path)]
    if len(settings) < len(files):
        files = [file for file in files if file not in settings]
        aside = sorted(aside + [file.name for file in settings])
    if not files:
        held = f" (beside {listed(aside)})" if aside else ""
        raise DataError(
            f"folder '{folder}' holds no data files{held}; give a file, or another folder"
        )
    return [files[0]._replace(aside=listed(aside)), *files[1:]]


def _shards(folder: Path) -> list[Path]:
    """Return the files that Dataset.save_to_disk wrote to a folder, in its order."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        names = [Path(file["filename"]).name for file in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    for name in names:
        if not (folder / name).is_file():
            raise DataError(
                f"folder '{folder}' was written by save_to_disk and lacks {name}, which its "
                "state.json names; copy the whole folder again"
            )
    return [folder / name for name in names]


def _has_rows(path: Path) -> bool:
    try:
        return bool(members(path)[0])
    except DataError:
        return True  # whoever reads it says what is the matter


def _is_settings(path: Path) -> bool:
    """Tell whether a file is a lone JSON object that no format takes for a row."""
    if path.suffix.lower() != ".json" or path.stat().st_size > _CONFIG:
        return False
    try:
        container, records = raw_rows(path, sniff(path))
        head = [record.value for record in itertools.islice(records, 2)]
        if len(head) != 1 or container == "json" or _wraps_rows(head[0]):
            return False
        detected(path.name, container, head)
    except UsageError:
        return False
    except DataError as error:
        return "no format" in str(error)
    return False


def _wraps_rows(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else ()
    return any(isinstance(v, list) and v and isinstance(v[0], dict | list) for v in inner)


def _name(path: Path) -> str:
    """Return a name that can be written: archives from Windows leave names that are no UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="replace")


def is_table(item: Any) -> TypeGuard[pandas.DataFrame | Dataset | DatasetDict]:
    """Tell whether something is a DataFrame, a Dataset or a DatasetDict."""
    return _is(item, "pandas", "DataFrame") or _is(item, "datasets", *_SETS)


def inputs_of(given: Any) -> list[Any]:
    """Return what is to be read one after the other: paths, tables, or rows as one stream."""
    if isinstance(given, str | os.PathLike) or is_table(given):
        return [given]
    if isinstance(given, Mapping | bytes | bytearray) or not isinstance(given, Iterable):
        raise UsageError(_nothing_to_read(given))
    items = iter(given)
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
    name = type(item).__name__
    if name in ("Row", "Rows", "Selection", "Mixed"):
        return f"{name} is read already; give it to a recipe, or to curate.emit(), as it is"
    hint = "put it in a list, or " if isinstance(item, Mapping) else ""
    return (
        f"{name} is nothing that holds rows; {hint}give a path, a DataFrame, a datasets.Dataset, "
        "a list of dicts, or several of them in a list"
    )


def _one_split(table: Any) -> Any:
    if _is(table, "datasets", "IterableDataset", "IterableDatasetDict"):
        raise UsageError(
            f"{type(table).__name__} is a stream of rows; load the data set without "
            "streaming=True, or save the rows to a file and give that"
        )
    if not _is(table, "datasets", "DatasetDict"):
        return table
    if len(table) == 1:
        return next(iter(table.values()))
    raise UsageError(
        f"DatasetDict holds the splits {', '.join(map(str, table)) or 'none'}; give one of them, "
        f"for example curate.read(data[{next(iter(table), '...')!r}])"
    )


def _is(item: Any, package: str, *classes: str) -> bool:
    module = sys.modules.get(package)
    return module is not None and isinstance(item, tuple(getattr(module, c) for c in classes))


def _table_name(table: Any) -> str:
    """Return what to call a table: a Dataset may have a name of its own."""
    if not is_table(table):
        return "rows"
    info = getattr(table, "info", None)
    return Path(getattr(info, "dataset_name", None) or type(table).__name__.lower()).name


def _save_table(table: Any, path: Path) -> None:
    """Write a table's rows as JSON Lines; memory does not depend on their number."""
    padded = is_table(table)
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
                values = {column: unpadded(cell) for column, cell in values.items()}
            out.write(json.dumps(values if isinstance(row, dict) else list(values.values())) + "\n")


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
