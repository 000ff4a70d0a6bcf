"""Take a data set away: its entry, and of its files those that curate wrote."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from curate.emission.emit import (
    CHUNKS,
    FAILED,
    LEDGER,
    MAP,
    PAGE,
    data_paths,
    emitting_to,
    made_file,
    paths,
)
from curate.errors import DataError, did_you_mean
from curate.llamafactory.dataset_info import FILE, locked, read_registry, unregister
from curate.system.files import content_sha256, delete
from curate.system.manifest import read_manifest


@dataclass(frozen=True)
class Removed:
    """What was taken away of a data set, what had gone before, and what stays with the reason."""

    name: str
    entry: bool
    removed: tuple[str, ...]
    gone: tuple[str, ...]
    stays: dict[str, str]


def remove(folder: Path, name: str) -> Removed:
    """Take away an entry and the files that the data set's manifest says curate wrote.

    Raises:
        DataError: Nothing of that name is there.
    """
    _, scores, last = paths(folder, name)
    entries = read_registry(folder)
    # A name that leads elsewhere, as an entry by hand may have, has no files of ours.
    manifest = read_manifest(last) if Path(name).name == name else None
    if name not in entries and manifest is None:
        raise DataError(
            f"no data set '{name}' in {folder}: it is not in {FILE}, and no manifest of curate's "
            f"has its name.{did_you_mean(name, entries)} `curate ls --dataset-dir {folder}` lists "
            "what is there"
        )
    # Scores belong to the data of the same manifest: a run writes both, or takes the old away.
    written = [scores, last] if manifest is not None else []
    stays: dict[str, str] = {}
    data = folder / made_file(last)
    if written and data in data_paths(folder, name):
        written.insert(0, data)
        if data.exists() and content_sha256(data) != (manifest or {})["output"].get("sha256"):
            stays[data.name] = "it was changed after curate wrote it"
    more = [folder / (name + end) for end in (PAGE, MAP, FAILED, CHUNKS) if written]
    written += [file for file in more if file.is_file()]
    if written and (folder / f"{name}{LEDGER}").is_file():
        stays[f"{name}{LEDGER}"] = "its answers were paid for; delete it if nobody wants them"
    removed = [file for file in written if file.exists() and file.name not in stays]
    with emitting_to(folder), locked(folder):
        unregister(folder, name)
        for file in removed:
            delete(file)
    entry = entries.get(name)
    named = entry.get("file_name") if isinstance(entry, dict) else None
    beside = [file.name for file in sorted(folder.glob(f"{glob.escape(name)}.*"))]
    for file_name in (named, *beside) if isinstance(named, str) else beside:
        if (folder / file_name).exists():
            stays.setdefault(file_name, "curate did not write it as a part of this data set")
    gone = [file.name for file in written if file.name not in stays and file not in removed]
    return Removed(name, name in entries, tuple(f.name for f in removed), tuple(gone), stays)
