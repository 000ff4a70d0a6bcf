"""Where a run begins: anew, or at its last whole checkpoint if it is still the same run."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import DataError, OutputError, UsageError
from curate.system.run_record import RUN, RunRecord
from train import backends
from train.planning.plan import CONFIG, Plan
from train.running import checkpoints, losses
from train.running.checkpoints import Checkpoint

LOG = "train.log"
ATTEMPT = "attempt.yaml"
_VALUE_HEAD = "value_head.safetensors"
_WHAT = {
    "data_sha256": "the data",
    "model_fingerprint": "the model's files",
    "parents": "the adapter it is trained on",
}


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    Attributes:
        checkpoint: To go on from, None for step 0.
        finished: Whether there is nothing left to do.
        seconds: What earlier attempts took.
        notes: What the user should know of it.
    """

    checkpoint: Checkpoint | None = None
    finished: bool = False
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


def decide(plan: Plan, now: RunRecord, before: RunRecord | None, resume: bool) -> Start:
    """Return where a run begins."""
    listed = checkpoints.found(plan.output, value_head=plan.stage in ("rm", "ppo"))
    whole = next((each for each in listed if not each.lacks), None)
    if not resume:
        _refuse_occupied(plan, before, listed)
        return Start()
    if before is None:
        raise UsageError(
            f"--resume: {plan.output} holds no run (no {RUN}); give the command without it"
        )
    _refuse_changed(plan, now, before)
    if before.state == "done":
        return Start(finished=True)
    if whole is not None:
        _refuse_unable(plan, whole)
    notes = [
        f"{each.folder.name} is passed over: it was cut off ({each.lacks})"
        for each in listed
        if each.lacks and (whole is None or each.step > whole.step)
    ]
    if whole is None:
        notes.append("no whole checkpoint is there yet: the run begins anew")
    return Start(whole, seconds=before.seconds, notes=tuple(notes))


def _refuse_occupied(plan: Plan, before: RunRecord | None, listed: list[Checkpoint]) -> None:
    if before is not None and before.state == "done":
        raise OutputError(
            f"{plan.output} holds a finished run (stage {before.stage}, {before.steps} steps); "
            "give another --output, or remove the folder"
        )
    if listed:
        # LLaMA-Factory would go on from them without being asked.
        raise OutputError(
            f"{plan.output} holds a run that came to step {listed[0].step}; --resume goes on with "
            "it, another --output begins a new one"
        )


def _refuse_changed(plan: Plan, now: RunRecord, before: RunRecord) -> None:
    """Refuse to go on with anything but the very same run."""
    other = "give another --output for a new run, or put it back as it was"
    if now.config_sha256 != before.config_sha256:
        changed = _changed(plan.output / CONFIG, plan.config)
        raise DataError(
            f"--resume: the settings are not those that {plan.output} was begun with: {changed}; "
            f"{other}"
        )
    old = {**before.dataset, "model_fingerprint": before.model_fingerprint}
    new = {**now.dataset, "model_fingerprint": now.model_fingerprint}
    old["parents"], new["parents"] = dict(before.parents), dict(now.parents)
    for key, what in _WHAT.items():
        if old.get(key) != new.get(key):
            named = f" '{now.dataset['name']}'" if key == "data_sha256" else ""
            raise DataError(
                f"--resume: {what}{named} changed since {plan.output} was begun; {other}"
            )


def _changed(file: Path, config: Mapping[str, Any]) -> str:
    import yaml

    try:
        old = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        old = None
    if not isinstance(old, dict):
        return f"{file.name} is gone or was edited"
    keys = [key for key in {**old, **config} if old.get(key) != config.get(key)]
    told = [f"{key} was {_value(old, key)}, is {_value(config, key)}" for key in keys]
    return "; ".join(told[:5]) or f"{file.name} was edited"


def _value(config: Mapping[str, Any], key: str) -> str:
    return str(config[key]) if key in config else "not given"


def _refuse_unable(plan: Plan, whole: Checkpoint) -> None:
    if plan.stage == "ppo" or (plan.stage == "rm" and plan.method == "full"):
        what = "ppo" if plan.stage == "ppo" else "rm with the method full"
        raise UsageError(
            f"--resume: LLaMA-Factory cannot go on with {what} (it came to step {whole.step}); "
            "begin anew with another --output"
        )


def config(plan: Plan, start: Start) -> tuple[Path, Mapping[str, Any]]:
    """Return the YAML that this attempt is given, and what it holds."""
    found = dict(plan.config)
    if plan.stage == "ppo" and plan.model.folder is not None:
        older = str(backends.readable_by_ppo(plan.model.folder))
        given = {"model_name_or_path", "ref_model"} & set(found)
        found |= {key: older for key in given if found[key] == str(plan.model.folder)}
    if start.checkpoint is not None:
        folder = str(start.checkpoint.folder)
        found["resume_from_checkpoint"] = folder
        # It would delete what was told of the steps before.
        found.pop("overwrite_output_dir", None)
        if plan.stage == "rm":
            _repair_value_head(start.checkpoint.folder)
            found["adapter_name_or_path"] = folder
    same = found == dict(plan.config)
    return plan.config_file if same else plan.output / ATTEMPT, found


def _repair_value_head(folder: Path) -> None:
    """Give a checkpoint of stage rm the one file without which transformers refuses it.

    LLaMA-Factory splits the weights into adapter and value head and deletes what they were in;
    the adapter is loaded by adapter_name_or_path, the value head from here.
    """
    whole = folder / "model.safetensors"
    if not whole.is_file():
        shutil.copyfile(folder / _VALUE_HEAD, whole)


def clear(folder: Path) -> None:
    """Remove what an attempt that came to nothing has left: logs and checkpoints cut off.

    LLaMA-Factory would go on from any checkpoint that it finds.
    """
    for each in checkpoints.found(folder):
        shutil.rmtree(each.folder)
    for name in (LOG, losses.FILE, ATTEMPT):
        (folder / name).unlink(missing_ok=True)
