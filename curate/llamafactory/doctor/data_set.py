"""What is looked at: a data file and the entry that LLaMA-Factory reads it by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from curate.data.hub_files import is_hub
from curate.data.read import read
from curate.data.rows import Rows
from curate.data.samples import find_bundled
from curate.errors import DataError, UsageError, did_you_mean
from curate.llamafactory.dataset_info import FILE, entry_for
from curate.llamafactory.doctor.assumed_entry import usual_entry
from curate.llamafactory.doctor.attributes import Attributes, attributes
from curate.llamafactory.doctor.loading import files_of, loaded
from curate.llamafactory.doctor.rules import Ends

_ELSEWHERE = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")


@dataclass(frozen=True)
class Subject:
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
    notes: tuple[tuple[str, str], ...] = field(default=())
    fill: Mapping[str, str] = field(default_factory=dict)

    def attributes(self) -> Attributes:
        """Return what LLaMA-Factory makes of the entry."""
        return attributes(self.entry)


def of_file(path: Path, fill: Mapping[str, str] = MappingProxyType({})) -> Subject:
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
    entry = usual_entry(rows, _first(real), real.name)
    better = entry_for(rows.shape, real.name) if rows else None
    return Subject(path.name, real, entry, True, rows, why, better, fill=fill)


def _read(path: Path) -> tuple[Rows | None, str]:
    try:
        return read(path), ""
    except (DataError, UsageError) as error:
        return None, str(error)


def _first(path: Path) -> dict[str, Any]:
    """Return the first row as LLaMA-Factory loads it, {} where it cannot."""
    try:
        return next(loaded(files_of(path)), {})
    except Ends:
        return {}


def of_entry(folder: Path, name: str, fill: Mapping[str, str] = MappingProxyType({})) -> Subject:
    """Return a data set as it is registered."""
    entries, notes = _registry(folder)
    if name not in entries:
        known = ", ".join(list(entries)[:12]) or "nothing"
        raise DataError(
            f"{FILE} in {folder} has no data set '{name}'.{did_you_mean(name, entries)} It has "
            f"{known}{', …' if len(entries) > 12 else ''}; `curate ls --dataset-dir` lists them"
        )
    entry = entries[name]
    if not isinstance(entry, dict):
        raise DataError(f"{FILE}, entry '{name}': it is no JSON object but {_shown(entry)}")
    away = [key for key in _ELSEWHERE if key in entry]
    if away:
        raise DataError(
            f"{FILE}, entry '{name}': {away[0]} takes it from elsewhere, and only files on this "
            "machine are judged; fetch it and give --input FILE"
        )
    path = _file(folder, name, entry)
    rows, why = _read(path)
    better = entry_for(rows.shape, str(entry["file_name"])) if rows else None
    return Subject(name, path, entry, False, rows, why, better, tuple(notes), fill)


def _registry(folder: Path) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    path = folder / FILE
    if not path.is_file():
        raise DataError(f"no {FILE} in '{folder}'; give the folder that has it as --dataset-dir")
    data = path.read_bytes()
    notes = [("entry_broken", f"{FILE} begins with a byte order mark")] * data.startswith(b"\xef")
    try:
        entries = json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise DataError(
            f"{path} is no JSON ({error}): LLaMA-Factory finds no data set in it; put it right. "
            "It was left as it is"
        ) from error
    if not isinstance(entries, dict):
        raise DataError(f"{path} is no JSON object of names and entries; put it right")
    if not data.isascii():
        notes.append(("not_in_gbk", ""))
    return entries, notes


def _file(folder: Path, name: str, entry: dict[str, Any]) -> Path:
    given = entry.get("file_name")
    if not isinstance(given, str):
        keys = ", ".join(entry) or "nothing"
        raise DataError(
            f"{FILE}, entry '{name}' has no file_name (it has {keys}); LLaMA-Factory ends with "
            "KeyError: 'file_name'. Name the data file there, relative to the folder"
        )
    path = folder / given
    if not path.exists():
        near = did_you_mean(given, (each.name for each in folder.iterdir()))
        raise DataError(
            f"{FILE}, entry '{name}' leads nowhere: there is no '{given}' in {folder}.{near} "
            "Correct file_name, or put the file there"
        )
    return path


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:60]
