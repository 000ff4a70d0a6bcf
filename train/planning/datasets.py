"""Which data set a stage is trained on: the one that was named, or the newest that fits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import DataError, did_you_mean

# Stages that read the same rows as another.
_READS = {"rm": "dpo", "ppo": "sft"}
_MEANT = {
    "pt": "texts to continue",
    "sft": "instructions and their responses",
    "dpo": "pairs of a chosen and a rejected response",
    "kto": "responses with a verdict (kto_tag)",
}
_FROM = {
    "pt": "`curate mix --stage pt`",
    "sft": "`curate ifd --input FILE`",
    "dpo": "`curate dedup --input FILE` (of pairs)",
    "kto": "`curate dedup --input FILE` (with verdicts)",
}
# What recipes emit beside their result: a control to compare with, rows for a model in between.
_BESIDE = ("_random", "_experience", "_seeds")
_BETWEEN = ("experience",)
_SHOWN = 12


@dataclass(frozen=True)
class Chosen:
    """A data set that fits a stage.

    Attributes:
        name: In dataset_info.json; several are separated by commas.
        why: How it came to be chosen, for people; '' where the user named it.
    """

    name: str
    why: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The data sets one by one."""
        return tuple(each.strip() for each in self.name.split(","))


def choose(folder: Path, stage: str, given: str | None) -> Chosen:
    """Return the data set to train on."""
    from curate.llamafactory.dataset_info import FILE, read_registry

    entries = read_registry(folder)
    if not entries:
        raise DataError(
            f"no data set is registered in '{folder}' ({FILE} is not there or empty); "
            f"{_FROM[_kind(stage)]} writes one into `data`, or give --dataset-dir FOLDER"
        )
    if given is None:
        return _newest(folder, stage, entries)
    names = tuple(dict.fromkeys(each.strip() for each in given.split(",") if each.strip()))
    for name in names or (given,):
        if name not in entries:
            raise DataError(
                f"no data set '{name}' is registered in {folder / FILE}."
                f"{did_you_mean(name, entries)} It has {_listed(entries)}; `curate ls "
                "--dataset-dir` lists them"
            )
        _check_kind(name, entries, stage)
    return Chosen(",".join(names))


def _newest(folder: Path, stage: str, entries: dict[str, Any]) -> Chosen:
    """Return the data set whose manifest was written last; those of others have none."""
    from curate.system.manifest import read_manifest

    fitting = [name for name, entry in entries.items() if _meant_for(entry) == _kind(stage)]
    beside = {name + ending for name in entries for ending in _BESIDE}
    dated = []
    for name in (each for each in fitting if each not in beside):
        path = folder / f"{name}.manifest.json"
        manifest = read_manifest(path)
        if manifest is not None and manifest.get("recipe") not in _BETWEEN:
            dated.append((path.stat().st_mtime_ns, name, manifest.get("recipe", "curate")))
    if dated:
        _, name, recipe = max(dated)
        return Chosen(name, f"the newest in {folder} for stage {stage}, made by {recipe}")
    if len(fitting) == 1:
        return Chosen(fitting[0], f"the only one in {folder} for stage {stage}")
    if fitting:
        raise DataError(
            f"which data set? None of those in '{folder}' was made by curate; give --dataset, one "
            f"of {_listed(fitting)}"
        )
    raise DataError(
        f"no data set in '{folder}' is for stage {stage}, which wants {_MEANT[_kind(stage)]}: "
        f"{_with_kinds(entries)}. {_FROM[_kind(stage)]} writes one"
    )


def _check_kind(name: str, entries: dict[str, Any], stage: str) -> None:
    meant = _meant_for(entries[name])
    if meant == _kind(stage):
        return
    others = [each for each, entry in entries.items() if _meant_for(entry) == _kind(stage)]
    here = f"Here are for it: {_listed(others)}" if others else "None here is for it"
    fits = f"`train {meant} --dataset {name}`" if meant else "`curate doctor` says what it is"
    what = _MEANT[meant] if meant else "something that LLaMA-Factory cannot read"
    raise DataError(
        f"stage {stage} wants {_MEANT[_kind(stage)]}, and '{name}' has {what}: {fits}. {here}"
    )


def _kind(stage: str) -> str:
    return _READS.get(stage, stage)


def _meant_for(entry: Any) -> str:
    """Return the stage that an entry's rows are for, '' where LLaMA-Factory cannot take it."""
    from curate.llamafactory.doctor.attributes import attributes, stage_of
    from curate.llamafactory.doctor.rules import Ends

    try:
        return stage_of(attributes(entry))
    except Ends:
        return ""


def _with_kinds(entries: dict[str, Any]) -> str:
    told = [
        f"{name} is for {_meant_for(entry) or 'no stage'}"
        for name, entry in list(entries.items())[:_SHOWN]
    ]
    return ", ".join(told) + (", …" if len(entries) > _SHOWN else "")


def _listed(names: Any) -> str:
    found = list(names)
    return ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
