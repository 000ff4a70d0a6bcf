"""What is looked at: a data file and the entry that LLaMA-Factory reads it by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from curate.data.hub_files import is_hub
from curate.data.inputs import find_bundled
from curate.data.read import read
from curate.data.rows import Rows
from curate.errors import DataError, UsageError
from curate.llamafactory.dataset_info import FILE, data_file, entry_for, read_registry
from curate.llamafactory.doctor.entry import usual_entry
from curate.llamafactory.doctor.loading import files_of, loaded
from curate.llamafactory.doctor.rules import Ends

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class DataSet:
    """A data set to be judged.

    Attributes:
        name: Of the data set, or of the file.
        path: The data file or folder.
        entry: Of dataset_info.json.
        assumed: Whether the entry is the one that a user would most likely write.
        rows: As curate reads them, None where it cannot.
        why: Why it cannot.
        better: The entry that curate registers.
        notes: (rule, what in particular) of dataset_info.json itself.
        fill: Placeholder to text, for what is written anew.
    """

    name: str
    path: Path
    entry: Any
    assumed: bool
    rows: Rows | None
    why: str = ""
    better: Mapping[str, Any] | None = None
    notes: tuple[tuple[str, str], ...] = ()
    fill: Mapping[str, str] = field(default_factory=dict)


def of_file(path: Path, fill: Mapping[str, str] = _NOTHING) -> DataSet:
    """Return a file under the entry that a user would most likely write for it."""
    if is_hub(path):
        raise UsageError(
            f"{path} is on the hub, and only files on this machine are judged; fetch it and give "
            "--input FILE, or in Python curate.doctor(curate.read('hf://…'))"
        )
    real = path if path.exists() else find_bundled(path)
    if real is None:
        read(path)  # says what is missing, and what is near
        raise DataError(f"no file '{path}'")
    rows, why = _read(real)
    try:
        first = next(loaded(files_of(real)), {})
    except Ends:
        first = {}
    return DataSet(
        name=path.name,
        path=real,
        entry=usual_entry(rows, first, real.name),
        assumed=True,
        rows=rows,
        why=why,
        better=entry_for(rows.shape, real.name) if rows else None,
        fill=fill,
    )


def of_entry(folder: Path, name: str, fill: Mapping[str, str] = _NOTHING) -> DataSet:
    """Return a data set as it is registered."""
    entries = read_registry(folder)
    path = data_file(folder, name, entries)
    entry = entries[name]
    rows, why = _read(path)
    text = (folder / FILE).read_bytes()
    notes = []
    if text.startswith(b"\xef"):
        notes.append(("entry_broken", f"{FILE} begins with a byte order mark"))
    if not text.isascii():
        notes.append(("not_in_gbk", ""))
    return DataSet(
        name=name,
        path=path,
        entry=entry,
        assumed=False,
        rows=rows,
        why=why,
        better=entry_for(rows.shape, entry["file_name"]) if rows else None,
        notes=tuple(notes),
        fill=fill,
    )


def _read(path: Path) -> tuple[Rows | None, str]:
    try:
        return read(path), ""
    except (DataError, UsageError) as error:
        return None, str(error)
