"""Where a run begins: anew, or at its last whole checkpoint if it is still the same run."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import DataError, UsageError
from curate.system.run_record import RUN, RunRecord, read_run
from train.config.plan import CONFIG, Plan, read_config
from train.run.progress import LOG, STEPS
from train.setup import readable_by_ppo

ATTEMPT = "attempt.yaml"
_FOLDERS = ("model_name_or_path", "adapter_name_or_path", "ref_model", "dataset_dir")
_STATE = "trainer_state.json"
_VALUE_HEAD = "value_head.safetensors"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a run, and what of it is missing after a kill; '' if it is whole."""

    folder: Path
    step: int
    lacks: str = ""


@dataclass(frozen=True)
class Start:
    """Where a run begins: at a checkpoint or at step 0; `seconds` are of earlier attempts."""

    checkpoint: Checkpoint | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def step(self) -> int:
        return self.checkpoint.step if self.checkpoint else 0


def checkpoints(run: Path, value_head: bool = False) -> list[Checkpoint]:
    entries = []
    for folder in filter(Path.is_dir, run.glob("checkpoint-*")):
        if not (match := _CHECKPOINT.fullmatch(folder.name)):
            continue
        # The trainer writes its state when all else is written; LLaMA-Factory splits off value
        # heads after that.
        try:
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            lacks = "" if state["global_step"] == int(match[1]) else _STATE
        except (OSError, ValueError, KeyError, TypeError):
            lacks = _STATE
        if not lacks and value_head and not (folder / _VALUE_HEAD).is_file():
            lacks = _VALUE_HEAD
        # --set save_only_model=true saves none; DeepSpeed keeps it in a folder.
        if not ((folder / "optimizer.pt").is_file() or any(folder.glob("global_step*"))):
            lacks = lacks or "optimizer.pt"
        entries.append(Checkpoint(folder, int(match[1]), lacks))
    return sorted(entries, key=lambda checkpoint: -checkpoint.step)


def decide(plan: Plan, before: RunRecord) -> Start:
    """Return where a run goes on: at its last whole checkpoint, if there is one."""
    entries = checkpoints(plan.output, value_head=plan.stage in ("rm", "ppo"))
    whole = next((entry for entry in entries if not entry.lacks), None)
    unable = {"ppo": "ppo", "rm": "rm with the method full" if plan.method == "full" else ""}
    if whole is not None and (what := unable.get(plan.stage)):
        raise UsageError(
            f"--resume: LLaMA-Factory cannot go on with {what} (it came to step {whole.step}); "
            "begin anew with another --output"
        )
    notes = [
        f"{entry.folder.name} is passed over: it was cut off ({entry.lacks})"
        for entry in entries
        if entry.lacks and (whole is None or entry.step > whole.step)
    ]
    if whole is None:
        notes.append("no whole checkpoint is there yet: the run begins anew")
    return Start(whole, before.seconds, tuple(notes))


def run_before(plan: Plan, now: RunRecord) -> RunRecord:
    """Return the record of the run in the folder; refuse to go on with anything but the same."""
    before = read_run(plan.output)
    if before is None:
        raise UsageError(
            f"--resume: {plan.output} holds no run (no {RUN}); give the command without it"
        )
    other = "give another --output for a new run, or put it back as it was"
    # Each takes rows of its own: a step of another number of them is another step.
    if before.processes not in (0, now.processes):
        raise UsageError(
            f"--resume: {plan.output} was begun with {before.processes} processes, and this would "
            f"be {now.processes}; give as many (CUDA_VISIBLE_DEVICES, or before the command "
            f"FORCE_TORCHRUN=1 NPROC_PER_NODE={before.processes}), or another --output for a new "
            "run"
        )
    old, new = (_in_place(config) for config in (read_config(plan.output), plan.config))
    if now.config_sha256 != before.config_sha256 and old != new:
        changes = [
            f"{key} was {old.get(key, 'not given')}, is {new.get(key, 'not given')}"
            for key in {**old, **new}
            if old.get(key) != new.get(key)
        ]
        raise DataError(
            f"--resume: the settings are not those that {plan.output} was begun with: "
            f"{'; '.join(changes[:5]) or f'{CONFIG} was edited'}; {other}"
        )
    data = "data_sha256"
    for what, was, is_now in (
        (f"the data '{now.dataset['name']}'", before.dataset.get(data), now.dataset[data]),
        ("the model's files", before.model_fingerprint, now.model_fingerprint),
        ("the adapter it is trained on", before.parents, now.parents),
    ):
        if was != is_now:
            raise DataError(f"--resume: {what} changed since {plan.output} was begun; {other}")
    return before


def _in_place(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without where it was written to, and with its folders as they lie."""
    paths = {k: v for k, v in config.items() if k in _FOLDERS and v and Path(str(v)).exists()}
    whole = {**config, **{key: os.path.abspath(str(path)) for key, path in paths.items()}}
    return {key: value for key, value in whole.items() if key != "output_dir"}


def attempt_config(plan: Plan, start: Start) -> tuple[Path, Mapping[str, Any]]:
    """Return the YAML that this attempt is given, and what it holds."""
    config = dict(plan.config)
    if plan.stage == "ppo" and plan.model.folder is not None:
        older = str(readable_by_ppo(plan.model.folder))
        for key in {"model_name_or_path", "ref_model"} & set(config):
            if config[key] in (plan.model.path, str(plan.model.folder)):
                config[key] = older
    if start.checkpoint is not None:
        folder = start.checkpoint.folder
        config["resume_from_checkpoint"] = str(folder)
        # It would delete what was told of the steps before.
        config.pop("overwrite_output_dir", None)
        if plan.stage == "rm":
            config["adapter_name_or_path"] = str(folder)
            # LLaMA-Factory splits the weights into adapter and value head and deletes what they
            # were in; transformers refuses a checkpoint without that file, and takes the value
            # head from it.
            if not (folder / "model.safetensors").is_file():
                shutil.copyfile(folder / _VALUE_HEAD, folder / "model.safetensors")
    same = config == dict(plan.config)
    return plan.config_file if same else plan.output / ATTEMPT, config


def clear(folder: Path) -> None:
    """Remove what an attempt that came to nothing has left: logs and checkpoints cut off.

    LLaMA-Factory would go on from any checkpoint that it finds.
    """
    for checkpoint in checkpoints(folder):
        shutil.rmtree(checkpoint.folder)
    for name in (LOG, STEPS, ATTEMPT):
        (folder / name).unlink(missing_ok=True)
