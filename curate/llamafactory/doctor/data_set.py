"""What is judged: a data file, and its entry of dataset_info.json as LLaMA-Factory takes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.data.hub_files import hub_files
from curate.data.inputs import input_files
from curate.data.read import read
from curate.data.rows import Rows
from curate.data.schema import CANONICAL_TAGS as TAGS
from curate.errors import DataError, UsageError, did_you_mean
from curate.llamafactory.dataset_info import (
    COLUMNS,
    FILE,
    Attributes,
    entry_attributes,
    entry_for,
    located,
    read_registry,
)
from curate.llamafactory.doctor.findings import Ends
from curate.llamafactory.doctor.loading import files_of, loaded
from curate.system.hub import address, is_hub

_KEYS = (
    *("file_name", "hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name"),
    *("formatting", "ranking", "subset", "split", "folder", "num_samples", "columns", "tags"),
)
# What LLaMA-Factory's own README names for rows of role and content.
_NAMED_TAGS = ("role_tag", "content_tag", "user_tag", "assistant_tag", "system_tag")
_OF_HUB = ("hf_hub_url", "ms_hub_url", "om_hub_url", "subset", "split", "folder", "num_samples")
_DATA = Path("data")


@dataclass(frozen=True)
class DataSet:
    name: str  # of the data set, or of the file
    path: Path | tuple[Path, ...]  # the data file or folder; of a hub, its files
    entry: Any  # of dataset_info.json
    assumed: bool  # whether the entry is the one that a user would most likely write
    rows: Rows | None  # as curate reads them, None where it cannot
    why: str = ""  # it cannot
    notes: tuple[tuple[str, str], ...] = ()  # (rule, what in particular) of dataset_info.json
    folder: Path = _DATA  # where it is registered, and where it is written anew
    how: Mapping[str, Any] = field(default_factory=dict)  # arguments of curate.read()

    @property
    def better(self) -> dict[str, Any] | None:
        if not self.rows:
            return None
        of_hub = {key: self.entry[key] for key in _OF_HUB if key in self.entry}
        better = entry_for(self.rows.shape, str(self.entry.get("file_name")))
        if any(key.endswith("_hub_url") for key in of_hub):
            del better["file_name"]
            return of_hub | better
        return better


def data_sets(
    paths: list[Path] | None, dataset_dir: str | Path | None, dataset: list[str] | None, **how: Any
) -> list[DataSet]:
    """Return what is to be judged: files, read as `how` says, or registered data sets."""
    named = any(how.values())
    if (paths or named) and dataset:
        raise UsageError(
            "give --input FILE, with what is to be known of it, or --dataset-dir FOLDER and "
            "--dataset NAME, not both"
        )
    if paths and dataset_dir is not None:
        raise UsageError("--dataset-dir goes with --dataset NAME; leave it out, or --input FILE")
    if paths:
        return [of_file(path, **how) for path in paths]
    if not dataset:
        raise UsageError(
            "nothing to judge: give --input FILE, or --dataset-dir FOLDER --dataset NAME"
        )
    return [of_entry(Path(dataset_dir or _DATA), name) for name in dataset]


def of_file(path: Path, **how: Any) -> DataSet:
    """Return a file, or a hub's data set, under the entry that a user would most likely write."""
    how = {"paths": path, **how}
    real: Path | tuple[Path, ...] = path
    if not path.exists():  # FILE#PART, an address, a file that comes with curate
        with ExitStack() as opened:
            real = tuple(file.path for file in input_files(path, opened))
    rows, why = _read(how)
    try:
        first = next(loaded(files_of(real)), {})
    except Ends:
        first = {}
    name = path.name if isinstance(real, Path) else real[0].name
    entry = usual_entry(rows, first, name)
    if is_hub(path):
        wanted = address(path)
        name = wanted.repo.rpartition("/")[2]
        del entry["file_name"]
        entry = {f"{wanted.hub}_hub_url": wanted.repo, **entry}
    return DataSet(name=name, path=real, entry=entry, assumed=True, rows=rows, why=why, how=how)


def of_rows(rows: Rows, path: Path) -> DataSet:
    entry = entry_for(rows.shape, path.name)
    return DataSet(rows.sources[0].name, path, entry, assumed=False, rows=rows)


def of_entry(folder: Path, name: str) -> DataSet:
    """Return a data set as it is registered; what its rows alone do not tell, its entry says."""
    entries = read_registry(folder)
    place = located(folder, name, entries)
    subset = str(entries[name].get("subset") or "")
    path = place if isinstance(place, Path) else tuple(p for _, p in hub_files(place, subset))
    how: dict[str, Any] = {"paths": path}
    rows, why = _read(how)
    if rows is None:
        how = {"dataset": name, "dataset_dir": folder}
        rows, _ = _read(how)
    text = (folder / FILE).read_bytes()
    notes = []
    if text.startswith(b"\xef"):
        notes.append(
            ("entry_broken", f"{FILE} begins with a byte order mark: save it as UTF-8 without one")
        )
    if not text.isascii():
        notes.append(("not_in_gbk", ""))
    return DataSet(
        name=name,
        path=path,
        entry=entries[name],
        assumed=False,
        rows=rows,
        why=why,
        notes=(*notes, *entry_notes(entries[name])),
        folder=folder,
        how=how,
    )


def _read(how: dict[str, Any]) -> tuple[Rows | None, str]:
    try:
        return read(**how), ""
    except (DataError, UsageError) as error:
        return None, str(error)


def attributes(entry: Any) -> Attributes:
    """Return what LLaMA-Factory makes of an entry; one that it cannot take ends it."""
    try:
        return entry_attributes(entry)
    except DataError as error:
        raise Ends("entry_broken", str(error)) from error


def stage_of(attr: Attributes) -> str:
    """Return the stage that an entry is most likely meant for."""
    if attr.ranking:
        return "dpo"
    if attr.columns["kto_tag"]:
        return "kto"
    return "sft" if attr.formatting != "alpaca" or attr.columns["response"] else "pt"


def loader_stage(stage: str) -> str:
    """Return the stage under the name that LLaMA-Factory's loader has for it."""
    return "rm" if stage == "dpo" else stage


def entry_ends(attr: Attributes, stage: str) -> Iterator[tuple[str, str]]:
    """Yield what of an entry ends LLaMA-Factory whatever the rows say."""
    pairs = loader_stage(stage) == "rm"
    if (pairs and attr.ranking is False) or (not pairs and attr.ranking is True):
        yield (
            "wrong_stage",
            f"stage {stage} with `ranking`: {str(attr.ranking).lower()}: ValueError: The dataset "
            "is not applicable in the current training stage.",
        )
    if attr.split != "train":
        try:
            parts_of(str(attr.split))
        except Ends as end:
            yield end.rule, end.said
    if attr.num_samples is not None and not (
        isinstance(attr.num_samples, int) and attr.num_samples > 0
    ):
        yield "bad_num_samples", f"`num_samples` {attr.num_samples!r}"


def parts_of(split: str, rows: int = sys.maxsize) -> list[range]:
    """Return which rows `datasets` reads of so many by a split of a file such as train[:10%].

    Raises:
        Ends: It is no part of `train`.
    """
    from datasets import ReadInstruction

    try:
        parts = ReadInstruction.from_spec(split).to_absolute({"train": rows})
    except ValueError as error:
        raise Ends("unknown_split", f"ValueError: {error}") from None
    return [range(part.from_, part.to) for part in parts]


def entry_notes(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what may be a mistake in an entry, or changes what it means."""
    for key in entry:
        if key not in _KEYS:
            yield "unknown_key", f"`{key}`.{did_you_mean(key, _KEYS)}"
    for part, names in (("columns", COLUMNS), ("tags", TAGS)):
        for key in entry[part] if isinstance(entry.get(part), dict) else ():
            if key not in names:
                yield "unknown_key", f"`{key}` in `{part}`.{did_you_mean(key, names)}"
    # Columns that the file lacks need not be named; the rows tell which are missed.
    tags = entry.get("tags")
    missing = [tag for tag in TAGS if tag not in tags] if isinstance(tags, dict) else []
    if missing and entry.get("formatting", "alpaca") != "alpaca":
        yield "partial_tags", f"without {', '.join(missing)}"
    if "[" in str(entry.get("split")):
        yield "split_slice", str(entry["split"])
    if entry.get("num_samples") is not None:
        yield "num_samples", str(entry["num_samples"])


def usual_entry(rows: Rows | None, first: dict[str, Any], file_name: str) -> dict[str, Any]:
    """Return the entry that most people would write: columns only where there is no default."""
    entry: dict[str, Any] = {"file_name": file_name}
    shape = rows.shape if rows else None
    if shape is None or any(key not in first for key in shape.columns.values()):
        # Rows that LLaMA-Factory does not load as curate reads them.
        if any(isinstance(first.get(key), list) for key in ("conversations", "messages")):
            entry["formatting"] = "sharegpt"
        if list(first) == ["text"]:
            entry["columns"] = {"prompt": "text"}
        return entry
    of_messages = shape.formatting == "sharegpt"
    if of_messages:
        entry["formatting"] = "sharegpt"
    if shape.ranking:
        entry["ranking"] = True
    columns = dict(shape.columns)
    if isinstance(first.get("kto_tag"), str | bool | int):
        columns["kto_tag"] = "kto_tag"
    # `input` is a default, too: an entry without columns wants it to be there.
    needed = {"messages"} if of_messages else {"prompt", "response"} | ({"query"} & set(columns))
    has_answers = {"chosen", "rejected", "kto_tag"} & set(columns)
    if has_answers or any(columns.get(column) != COLUMNS[column] for column in needed):
        entry["columns"] = {column: columns[column] for column in COLUMNS if column in columns}
    tags = shape.tags
    named = rows is not None and any(source.roles for source in rows.sources)
    other_keys = any(tags.get(tag) != TAGS[tag] for tag in ("role_tag", "content_tag"))
    if of_messages and (named or other_keys):
        entry["tags"] = {tag: tags[tag] for tag in _NAMED_TAGS}
    return entry
