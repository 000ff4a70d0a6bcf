"""Which data set a stage is trained on: the one that was named, or the newest that fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from curate.errors import DataError

# Stages that read the same rows as another.
_READS = {"rm": "dpo", "ppo": "sft"}
_MEANT = {
    "pt": "texts to continue",
    "sft": "instructions and their responses",
    "dpo": "pairs of a chosen and a rejected response",
    "kto": "responses with a verdict (kto_tag)",
    "": "something that LLaMA-Factory cannot read",
}
_FROM = {
    "pt": "`curate mix --stage pt`",
    "sft": "`curate ifd --input FILE`",
    "dpo": "`curate dedup --input FILE` (of pairs)",
    "kto": "`curate dedup --input FILE` (with verdicts)",
}
# What recipes emit beside their result: a control to compare with, rows for a model in between.
_BESIDE = ("_random", "_experience", "_seeds")
_BETWEEN = "experience"
_SHOWN = 12


def choose(folder: Path, stage: str, typed: str | None) -> tuple[tuple[str, ...], str]:
    """Return the data sets to train on, and for people why; '' where the user named them."""
    from curate.llamafactory.dataset_info import data_file, read_registry

    entries, kind = read_registry(folder), _READS.get(stage, stage)
    if not entries:
        raise DataError(
            f"no data set is registered in '{folder}'; {_FROM[kind]} writes one into `data`, or "
            "give --dataset-dir FOLDER"
        )
    if typed is None:
        return _newest(folder, stage, entries)
    names = tuple(dict.fromkeys(name.strip() for name in typed.split(",") if name.strip()))
    for name in names or (typed,):
        data_file(folder, name, entries)
        meant = _meant_for(entries[name])
        if meant != kind:
            others = [other for other, entry in entries.items() if _meant_for(entry) == kind]
            here = f"Here are for it: {_listed(others)}" if others else "None here is for it"
            fits = f"`train {meant} --dataset {name}`" if meant else "`curate doctor` says why"
            raise DataError(
                f"stage {stage} wants {_MEANT[kind]}, and '{name}' has {_MEANT[meant]}: {fits}. "
                f"{here}"
            )
    return names, ""


def _newest(folder: Path, stage: str, entries: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """Return the data set whose manifest was written last; those of others have none."""
    from curate.system.manifest import read_manifest

    kind = _READS.get(stage, stage)
    fitting = [name for name, entry in entries.items() if _meant_for(entry) == kind]
    beside = {name + ending for name in entries for ending in _BESIDE}
    dated = []
    for name in fitting:
        path = folder / f"{name}.manifest.json"
        manifest = read_manifest(path) if name not in beside else None
        if manifest is not None and manifest.get("recipe") != _BETWEEN:
            dated.append((path.stat().st_mtime_ns, name, manifest.get("recipe", "curate")))
    if dated:
        _, name, recipe = max(dated)
        return (name,), f"the newest in {folder} for stage {stage}, made by {recipe}"
    if len(fitting) == 1:
        return (fitting[0],), f"the only one in {folder} for stage {stage}"
    if fitting:
        raise DataError(
            f"which data set? None of those in '{folder}' was made by curate; give --dataset, one "
            f"of {_listed(fitting)}"
        )
    kinds = (f"{name} is for {_meant_for(entries[name]) or 'no stage'}" for name in entries)
    raise DataError(
        f"no data set in '{folder}' is for stage {stage}, which wants {_MEANT[kind]}: "
        f"{_listed(kinds)}. {_FROM[kind]} writes one"
    )


def _meant_for(entry: Any) -> str:
    """Return the stage that an entry's rows are for, '' where LLaMA-Factory cannot take it."""
    from curate.llamafactory.doctor.data_set import attributes, stage_of
    from curate.llamafactory.doctor.findings import Ends

    try:
        return stage_of(attributes(entry))
    except Ends:
        return ""


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")
