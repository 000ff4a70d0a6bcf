"""Which data set a stage is trained on, and what LLaMA-Factory will do with its rows."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curate.data.describe import counted
from curate.errors import DataError, UsageError
from curate.llamafactory.dataset_info import data_file, read_registry
from curate.llamafactory.doctor.data_set import attributes, of_entry, stage_of
from curate.llamafactory.doctor.diagnose import diagnose
from curate.llamafactory.doctor.findings import Diagnosis, Ends
from curate.llamafactory.doctor.stages import Takes
from curate.llamafactory.doctor.templates import OFFERED, TEMPLATES, template_in
from curate.llamafactory.doctor.truncation import Cutoff, cutoff_in
from curate.system.manifest import read_manifest
from train.config.keys import recorded
from train.config.model import Model
from train.config.presets import Extent

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
_TO_TEST_ON = "test"  # the side of `curate split` and of --hold-out that nothing is trained on
_SHOWN = 12
# Keys of an entry that say where its rows are.
_PLACES = {"file_name", "hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name"}
_LOST_PROMPT = {"lost_prompt", "empty_prompt"}
# Templates that differ from chatml in their system prompt alone, as far as lengths go.
_LIKE_CHATML = {
    "qwen": "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    "qwen3_nothink": "",
    "smollm2": "You are a helpful AI assistant named SmolLM, trained by Hugging Face.",
}


def choose(folder: Path, stage: str, typed: str | None) -> tuple[tuple[str, ...], str]:
    """Return the data sets to train on, and for people why; '' where the user named them."""
    entries, kind = read_registry(folder), _READS.get(stage, stage)
    if not entries:
        raise DataError(
            f"no data set is registered in '{folder}'; {_FROM[kind]} writes one into `data`, or "
            "give --dataset-dir FOLDER"
        )
    if typed is None:
        return _newest(folder, stage, kind, entries)
    names = tuple(dict.fromkeys(name.strip() for name in typed.split(",") if name.strip()))
    for name in names or (typed,):
        check_kind(folder, name, stage)
    return names, ""


def check_kind(folder: Path, name: str, stage: str) -> None:
    """Refuse a data set that is not registered, or is for another stage."""
    entries, kind = read_registry(folder), _READS.get(stage, stage)
    data_file(folder, name, entries)
    if (meant := _meant_for(entries[name])) != kind:
        fitting = [other for other, entry in entries.items() if _meant_for(entry) == kind]
        here = f"Here are for it: {_listed(fitting)}" if fitting else "None here is for it"
        fits = f"`train {meant} --dataset {name}`" if meant else "`curate doctor` says why"
        raise DataError(
            f"stage {stage} wants {_MEANT[kind]}, and '{name}' has {_MEANT[meant]}: {fits}. {here}"
        )


def _newest(
    folder: Path, stage: str, kind: str, entries: Mapping[str, Any]
) -> tuple[tuple[str, ...], str]:
    """Return the data set whose manifest was written last; those of others have none."""
    meant_for = {name: _meant_for(entry) for name, entry in entries.items()}
    fitting = [name for name, meant in meant_for.items() if meant == kind]
    beside = {name + ending for name in meant_for for ending in _BESIDE}
    dated = []
    for name in fitting:
        path = folder / f"{name}.manifest.json"
        manifest = read_manifest(path) if name not in beside else None
        # A control says in its parameters what it is `of`.
        is_control = manifest is not None and "of" in (manifest.get("params") or {})
        aside = is_control or manifest is not None and manifest.get("side") == _TO_TEST_ON
        if manifest is not None and manifest.get("recipe") != _BETWEEN and not aside:
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
    kinds = (f"{name} is for {meant or 'no stage'}" for name, meant in meant_for.items())
    raise DataError(
        f"no data set in '{folder}' is for stage {stage}, which wants {_MEANT[kind]}: "
        f"{_listed(kinds)}. {_FROM[kind]} writes one"
    )


def _meant_for(entry: Any) -> str:
    """Return the stage that an entry's rows are for, '' where LLaMA-Factory cannot take it."""
    if not isinstance(entry, dict) or not _PLACES & set(entry):
        return ""
    try:
        return stage_of(attributes(entry))
    except Ends:
        return ""


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")


@dataclass(frozen=True)
class Usable:
    """What a stage can use of one data set, told in a line; `command` tells more."""

    name: str
    rows: int
    taken: int  # rows that are trained on: of those that num_samples draws, some come again
    without_prompt: int
    cut: int  # rows that the cutoff shortens; 0 where that was not measured
    not_measured: int  # rows of those that were measured by nothing: they have tools
    command: str
    line: str
    longest: int  # tokens of the longest row that was measured, else 0


@dataclass(frozen=True)
class Verdict:
    sets: tuple[Usable, ...]
    tokens: int | None  # of all usable rows, where they were counted

    @property
    def longest(self) -> int | None:
        """Tokens of the longest row, None where rows were not measured."""
        return max((usable.longest for usable in self.sets), default=0) or None

    @property
    def extent(self) -> Extent:
        rows = tuple(usable.taken for usable in self.sets)
        return Extent(sum(rows), self.tokens, rows)


def measuring(model: Model, cutoff: int, unpacked: bool) -> tuple[Cutoff | None, str]:
    """Return what measures rows with a model's tokenizer, or None and why there is no measuring."""
    if model.folder is None or not (model.folder / "tokenizer.json").is_file():
        return None, "the model's tokenizer.json is not here"
    name = model.template or "own"
    if name in _LIKE_CHATML:
        template = replace(TEMPLATES["chatml"], name=name, default_system=_LIKE_CHATML[name])
    elif name in TEMPLATES or name == "own":
        template = template_in(model.folder, name)
    else:
        return None, f"template {name} is not one that is measured"
    return cutoff_in(model.folder, cutoff, template, unpacked), ""


def judge(
    folder: Path, names: Sequence[str], stage: str, model: Model, config: Mapping[str, Any]
) -> Verdict:
    """Return what is used of data sets by a config, as far as they are read: its `max_samples`."""
    cutoff, most = int(config["cutoff_len"]), config.get("max_samples")
    # LLaMA-Factory reads the prompts of ordinary rows for PPO.
    judged_as = "sft" if stage == "ppo" else stage
    unpacked = stage == "pt" and not config.get("packing")
    measure, why_not = measuring(model, cutoff, unpacked)
    command = ["curate", "doctor", "--dataset-dir", str(folder)]
    command += [] if stage == "ppo" else ["--stage", stage]
    if measure is not None:
        name = model.name if model.adapter is None else model.path
        command += ["--model", name, "--cutoff-len", str(cutoff)]
        command += ["--no-packing"] if unpacked else []
        if measure.template.name in OFFERED:
            command += ["--template", measure.template.name]
    # The tokenizer's own template takes no pictures, whatever the model does.
    media = recorded("media").get(model.template, ())
    takes = Takes(media, recorded("tools").get(model.template, "default"))
    sets, tokens = [], 0.0
    for name in names:
        data_set, before = of_entry(folder, name), measure.tokens if measure is not None else 0
        drawn = data_set.entry.get("num_samples")
        diagnosis = diagnose(data_set, judged_as, measure, takes, None if drawn else most)
        words = f"`{shlex.join([*command, '--dataset', name])}`"
        if not diagnosis.usable:
            raise DataError(_nothing(diagnosis, stage, words))
        findings = diagnosis.found
        not_measured = sum(f.count for f in findings if f.rule == "not_measured")
        share = min(drawn, most or drawn) / diagnosis.rows if drawn else 1
        tokens += (measure.tokens - before if measure is not None else 0) * share
        line = _told(diagnosis, words, most)
        if measure is None:
            line += f"; what the cutoff leaves was not measured: {why_not}"
        elif measure.longest:
            line += f"; longest row {measure.longest:,} tokens, {measure.about}"
        if not_measured:
            line += f"; {not_measured:,} rows with tools were not measured"
        usable = Usable(
            name=diagnosis.name,
            rows=diagnosis.usable,
            taken=max(1, round(diagnosis.usable * share)),
            without_prompt=max((f.count for f in findings if f.rule in _LOST_PROMPT), default=0),
            cut=measure.cut if measure is not None else 0,
            not_measured=not_measured,
            command=words,
            line=line,
            longest=measure.longest if measure is not None else 0,
        )
        sets.append(usable)
    whole = measure is not None and not any(usable.not_measured for usable in sets)
    return Verdict(tuple(sets), tokens=round(tokens) if whole else None)


def _told(diagnosis: Diagnosis, command: str, most: int | None) -> str:
    """Return how many rows are usable, what is wrong with others, and what is left out."""
    line = f"{diagnosis.usable:,} of {diagnosis.rows:,} rows usable"
    if worse := [f for f in diagnosis.found if f.effect != "note"]:
        counts = (f"{f.rule} {f.count:,}" if f.count else f.rule for f in worse)
        line += f" ({', '.join(counts)}; {command} explains)"
    if diagnosis.left_out:
        by = "split"
        if diagnosis.rows == most:
            by = "max_samples: --set max_samples=N takes more, `curate select` draws them"
        line += f"; {diagnosis.left_out:,} more are left out by {by}"
    return line


def _nothing(diagnosis: Diagnosis, stage: str, command: str) -> str:
    """Return why nothing can be used, and what to do; an entry's own flaw says both."""
    fatal = next((f for f in diagnosis.found if f.effect in ("stops", "dropped")), None)
    why = ""
    if fatal is not None and fatal.rule == "entry_broken" and fatal.said:
        why = f" {fatal.rule}: {fatal.said}."
    elif fatal is not None:
        said = f" {fatal.said.rstrip('.!')}." if fatal.said else ""
        why = f" {fatal.rule}: {fatal.says}{said} To do: {fatal.do}."
    fix = ", and with --fix writes what can be used" if diagnosis.otherwise else ""
    return (
        f"nothing of '{diagnosis.name}' ({counted(diagnosis.rows)}) can be used for stage "
        f"{stage}.{why} {command} tells more{fix}"
    )


def check_losses(verdict: Verdict, cutoff: int | None) -> None:
    for usable in verdict.sets:
        if 2 * usable.without_prompt >= usable.rows:
            raise UsageError(
                f"{usable.without_prompt:,} of {usable.rows:,} rows of '{usable.name}' have no "
                "prompt as LLaMA-Factory reads them: responses alone would be trained on. Name "
                f"the columns in dataset_info.json as the file has them; {usable.command} tells "
                "which, --fix writes them. --yes trains all the same"
            )
        if cutoff is not None and 2 * usable.cut >= usable.rows:
            raise UsageError(
                f"{usable.cut:,} of {usable.rows:,} rows of '{usable.name}' are longer than "
                f"cutoff_len {cutoff:,} and are cut; the longest row has {usable.longest:,} "
                "tokens. Give a larger --set cutoff_len=N, or --yes to train all the same"
            )
