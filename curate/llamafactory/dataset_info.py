"""dataset_info.json, the file in which LLaMA-Factory looks a data set up."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock

from curate.data.schema import CANONICAL_TAGS as TAGS
from curate.errors import DataError, OutputError, did_you_mean
from curate.system.files import at_home, whole_files
from curate.system.hub import Address, wants_modelscope
from curate.system.manifest import read_manifest

if TYPE_CHECKING:
    from curate.data.schema import Shape

FILE = "dataset_info.json"
# LLaMA-Factory's column to the key it reads where the entry has no `columns`.
COLUMNS: dict[str, str | None] = {
    **{"prompt": "instruction", "query": "input", "response": "output", "history": None},
    **{"messages": "conversations", "system": None, "tools": None},
    **dict.fromkeys(("images", "videos", "audios", "chosen", "rejected", "kto_tag")),
}
# Columns that a formatting does not look at.
NOT_READ = {
    "alpaca": ("messages",),
    **dict.fromkeys(("sharegpt", "openai"), ("prompt", "query", "response", "history")),
}
_PAIR = ("chosen", "rejected")
_ELSEWHERE = {
    "om_hub_url": "the hub Modelers, which is not read",
    "script_url": "a Python script, and no code that comes with data is run",
    "cloud_file_name": "a cloud's store, which is not read",
}
_REPO = re.compile(r"[\w.-]+(/[\w.-]+)?")
_SPLIT = re.compile(r"(?P<name>\w[\w.]*)(?:\[(?P<start>-?\d+%?)?:(?P<end>-?\d+%?)?\])?")
_NAMES_SHOWN = 12


def entry_for(shape: Shape, file_name: str) -> dict[str, Any]:
    """Return the entry of a data file: all its columns and, for sharegpt, all seven tags.

    LLaMA-Factory sets every column and tag that a partial entry leaves out to None, and loses
    what stands there without a word.
    """
    entry: dict[str, Any] = {"file_name": file_name, "formatting": shape.formatting}
    if shape.ranking:
        entry["ranking"] = True
    entry["columns"] = dict(shape.columns)
    if shape.tags:
        # A role that rows were read without has no word.
        entry["tags"] = {tag: word for tag, word in shape.tags.items() if word}
    return entry


def read_registry(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise OutputError(
            f"{path} is broken (no JSON: {error}); put it right or move it away, and try again"
        ) from error
    if not isinstance(entries, dict):
        raise OutputError(f"{path} is no JSON object; move it away and give the command again")
    return entries


def is_registered(given: str | Path, folder: Path) -> bool:
    """Tell whether what was given is no file, but the name of a registered data set."""
    return not at_home(given).exists() and str(given) in read_registry(folder)


def data_file(folder: Path, name: str, entries: dict[str, Any] | None = None) -> Path:
    """Return the file, or the folder of files, that a registered data set's rows are in."""
    place = located(folder, name, entries)
    if isinstance(place, Address):
        raise DataError(
            f"{FILE}, entry '{name}': {place.hub}_hub_url takes it from elsewhere, and this wants "
            f"a file on this machine; `curate convert --dataset-dir {folder} --dataset {name} "
            f"--to sharegpt --output {folder}` writes one, and registers it"
        )
    return place


def located(folder: Path, name: str, entries: dict[str, Any] | None = None) -> Path | Address:
    """Return where a registered data set's rows are: a file, a folder of files, or on a hub."""
    entries = read_registry(folder) if entries is None else entries
    if not entries:
        raise DataError(
            f"data set '{name}': there is no {FILE} with data sets in '{folder}'; give the folder "
            "that `curate` wrote it to as --dataset-dir"
        )
    if name not in entries:
        names = ", ".join(list(entries)[:_NAMES_SHOWN])
        raise DataError(
            f"{FILE} in {folder} has no data set '{name}'.{did_you_mean(name, entries)} It has "
            f"{names}{', …' if len(entries) > _NAMES_SHOWN else ''}; `curate ls --dataset-dir` "
            "lists them"
        )
    entry = entries[name]
    if not isinstance(entry, dict):
        shown = json.dumps(entry, ensure_ascii=False)[:60]
        raise DataError(f"{FILE}, entry '{name}': it is no JSON object but {shown}; put it right")
    key = _taken_from(entry)
    if key in _ELSEWHERE:
        raise DataError(
            f"{FILE}, entry '{name}': {key} takes it from elsewhere: {_ELSEWHERE[key]}; fetch its "
            "rows and name their file as file_name"
        )
    if key != "file_name":
        repo = entry[key]
        if not isinstance(repo, str) or not _REPO.fullmatch(repo):
            raise DataError(f"{FILE}, entry '{name}': {key} {repo!r} is no OWNER/NAME")
        split = str(entry.get("split") or "train").partition("[")[0]
        where = str(entry.get("folder") or "").strip("/")
        return Address(repo, path=where, split=split, hub=key[:2])
    file_name = entry.get("file_name")
    if not isinstance(file_name, str):
        lacks = f"no file_name (it has {', '.join(entry) or 'nothing'})"
        if "file_name" in entry:
            lacks = "a file_name that is no text"
        raise DataError(
            f"{FILE}, entry '{name}' has {lacks}; LLaMA-Factory ends with an error. Name the data "
            "file there, relative to the folder"
        )
    path = folder / file_name
    if not path.exists():
        near = did_you_mean(file_name, (beside.name for beside in folder.iterdir()))
        raise DataError(
            f"{FILE}, entry '{name}' leads nowhere: there is no '{file_name}' in {folder}.{near} "
            "Correct file_name, or make the data set again"
        )
    return path


def _taken_from(entry: Mapping[str, Any]) -> str:
    first = "hf_hub_url" not in entry
    if "ms_hub_url" in entry and (first or wants_modelscope()):
        return "ms_hub_url"
    openmind = os.environ.get("USE_OPENMIND_HUB", "").lower() in ("1", "true", "y")
    if "om_hub_url" in entry and (first or openmind):
        return "om_hub_url"
    keys = ("hf_hub_url", "script_url", "cloud_file_name")
    return next((key for key in keys if key in entry), "file_name")


@dataclass(frozen=True)
class Attributes:
    """An entry as LLaMA-Factory holds it; columns and tags that it resets are None."""

    formatting: Any = "alpaca"  # name of the converter
    ranking: Any = False  # anything that is true makes rows pairs
    subset: Any = None  # of a hub's data set
    split: Any = "train"  # of the data; a file has only this one
    num_samples: Any = None  # rows to draw, with repeats where there are too few
    columns: Mapping[str, Any] = field(default_factory=lambda: dict(COLUMNS))  # column to key
    tags: Mapping[str, Any] = field(default_factory=lambda: dict(TAGS))  # tag to word


def entry_attributes(entry: Any) -> Attributes:
    if not isinstance(entry, dict):
        raise DataError("the entry is no JSON object")
    values = {key.name: entry[key.name] for key in fields(Attributes) if key.name in entry}
    for part, names in (("columns", COLUMNS), ("tags", TAGS)):
        if part in entry:
            if not isinstance(entry[part], dict):
                raise DataError(f"`{part}` is no JSON object")
            values[part] = {name: entry[part].get(name) for name in names}
    return Attributes(**values)


@dataclass(frozen=True)
class NamedRows:
    """A registered data set: where it is, and which of its keys and words is what."""

    place: Path | Address  # a file or folder, or of a hub
    columns: dict[str, str]  # every one, role and content too, to its key; '' for one not read
    roles: dict[str, str]  # every one to its word, '' for one that the entry does not name
    given: tuple[str, ...]  # columns that the entry itself names
    attributes: Attributes
    bounds: tuple[str, str]  # of `train[:10%]`, in rows or, with %, in hundredths; '' for an end


def named_rows(folder: Path, name: str) -> NamedRows:
    """Return the rows of a registered data set as LLaMA-Factory 0.9.5 reads them."""
    entries = read_registry(folder)
    place, where = located(folder, name, entries), f"{FILE}, entry '{name}'"
    try:
        attr = entry_attributes(entries[name])
    except DataError as error:
        raise DataError(f"{where}: {error}; put it right") from error
    if str(attr.formatting) not in NOT_READ:
        raise DataError(
            f"{where}: formatting {attr.formatting!r}; allowed are {', '.join(NOT_READ)}"
        )
    unread = {*NOT_READ[attr.formatting], *(("response",) if attr.ranking else _PAIR)}
    keys = {column: key for column, key in attr.columns.items() if column not in unread and key}
    if attr.formatting == "alpaca" and "prompt" not in keys and "query" in keys:
        keys["prompt"] = keys.pop("query")
    needed = ("prompt" if attr.formatting == "alpaca" else "messages",)
    if lacking := [
        name for name in (*needed, *(_PAIR if attr.ranking else ())) if name not in keys
    ]:
        raise DataError(
            f"{where}: `columns` does not name {' and '.join(lacking)}, and LLaMA-Factory ends "
            "with KeyError: None; name the key of the rows there, or give the file with --input "
            "and --columns"
        )
    columns = {column: str(keys.get(column, "")) for column in COLUMNS}
    roles: dict[str, str] = {}
    if attr.formatting != "alpaca":
        words = {tag.removesuffix("_tag"): str(word or "") for tag, word in attr.tags.items()}
        columns |= {part: words.pop(part) for part in ("role", "content")}
        roles = words
    split = _SPLIT.fullmatch(str(attr.split))
    if not split or (isinstance(place, Path) and split["name"] != "train"):
        allowed = "train or train[FROM:TO]" if isinstance(place, Path) else "NAME or NAME[FROM:TO]"
        raise DataError(f"{where}: split {attr.split!r}; allowed is {allowed}, as train[:10%]")
    count = attr.num_samples
    if count is not None and (type(count) is not int or count < 1):
        raise DataError(f"{where}: num_samples {count!r}; allowed are whole numbers from 1")
    bounds = (split["start"] or "", split["end"] or "")
    given = tuple(entries[name].get("columns", ()))
    return NamedRows(place, columns, roles, given=given, attributes=attr, bounds=bounds)


class Listed(NamedTuple):
    """A registered data set as `curate ls` lists it; '-' for what no manifest of curate's says."""

    name: str
    recipe: str
    kept: int | str
    read: int | str
    sources: str  # names of the files that it was made of, else where its entry takes it from


def registered(folder: Path) -> list[Listed]:
    """Return the data sets of a folder, in its order."""
    data_sets = []
    for name, entry in read_registry(folder).items():
        own = str(entry.get(_taken_from(entry), "-")) if isinstance(entry, dict) else "-"
        listed = Listed(name, "-", "-", "-", own)
        manifest = read_manifest(folder / f"{name}.manifest.json") or {}
        with suppress(AttributeError, LookupError, TypeError):  # another program's manifest
            recipe, counts = manifest["recipe"], manifest["counts"]
            files = ", ".join(source["name"] for source in manifest["sources"])
            kept, read = (counts.get(key, "-") for key in ("kept", "read"))
            listed = Listed(name, recipe, kept, read, files or own)
        data_sets.append(listed)
    return data_sets


def locked(folder: Path) -> FileLock:
    """Return the folder's lock, to be held: several runs may emit into it at once."""
    return FileLock(folder / f".{FILE}.lock")


def register(folder: Path, name: str, entry: dict[str, Any]) -> None:
    """Put one entry in; the others stay as they were. The caller holds the lock."""
    _write(folder, {**read_registry(folder), name: entry})


def unregister(folder: Path, name: str) -> None:
    """Take one entry out; the others stay as they were. The caller holds the lock."""
    entries = read_registry(folder)
    if entries.pop(name, None) is not None:
        _write(folder, entries)


def _write(folder: Path, entries: dict[str, Any]) -> None:
    # A link stays a link: the file it leads to may be LLaMA-Factory's own.
    path = (folder / FILE).resolve()
    with whole_files(path) as (part,):
        text = json.dumps(entries, ensure_ascii=False, indent=2) + "\n"
        part.write_text(text, encoding="utf-8", newline="\n")
        if path.exists():
            shutil.copymode(path, part)
