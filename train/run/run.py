"""Run a plan: LLaMA-Factory in a child process, followed, recorded, never left behind."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from curate import console
from curate.errors import CuratrainError, OutputError
from curate.llamafactory.dataset_info import data_file, read_registry
from curate.llamafactory.release import Backend
from curate.system import failure, programs
from curate.system.cache import fingerprint
from curate.system.files import at_home, sha256_of, sha256_of_all
from curate.system.model_folder import ADAPTER_WEIGHTS
from curate.system.run_record import RunRecord, State, write_run
from train import setup
from train.checks.limits import check_output
from train.config.model import BUNDLED
from train.config.plan import Plan, to_yaml
from train.run import progress, resume
from train.run.progress import LOG, end_of
from train.run.resume import Start

_LOCK = ".lock"
_LOOK_EVERY = 0.5  # seconds
# Seconds that LLaMA-Factory has to end when it is told to; its launcher gives its workers 30.
_DEADLINE = 40.0
_OTHERS = ("freeze", "oft")  # methods that --set finetuning_type names
_LESS_MEMORY = (
    "--set per_device_train_batch_size=1",
    "--set cutoff_len=512",
    "or a smaller --model (`train estimate` tells)",
)


class TrainingFailed(CuratrainError):
    """LLaMA-Factory ended with an error, or was killed."""


class TrainingStopped(CuratrainError):
    exit_code = 130


def run(plan: Plan, resuming: bool = False, say: Callable[[str], None] = console.say) -> RunRecord:
    backend = setup.backend_of(plan.stage)
    begun = replace(begun_record(plan), versions=backend.versions())
    plan.output.mkdir(parents=True, exist_ok=True)
    with _alone(plan.output):
        if not resuming:
            check_output(plan.output, overwrite=False)
        start = Start()
        if resuming:
            before = resume.run_before(plan, begun)
            if before.state == "done":
                say(f"{plan.output} is done already: {before.steps} steps")
                return before
            start = resume.decide(plan, before)
        for note in start.notes:
            say(f"note: {note}")
        return _Attempt(plan, start, begun, time.monotonic()).run(backend)


def is_running(folder: Path) -> bool:
    if not (folder / _LOCK).is_file():
        return False
    try:
        with _alone(folder):
            return False
    except OutputError:
        return True
    except OSError:
        return False


def _alone(folder: Path) -> AbstractContextManager[object]:
    """Keep every other run out of the folder, as long as this process lives."""
    try:
        return FileLock(folder / _LOCK).acquire(timeout=0)
    except Timeout as error:
        raise OutputError(
            f"{folder} is being trained right now; wait for it, or give another --output"
        ) from error


def clear(output: Path) -> None:
    """Take away a run that --overwrite replaces; that it is one was looked at before."""
    if is_running(output):
        raise OutputError(f"{output} is being trained right now; wait for it, or end it first")
    if output.is_dir():
        shutil.rmtree(output)


@dataclass(frozen=True)
class _Attempt:
    plan: Plan
    start: Start
    begun: RunRecord
    since: float

    def run(self, backend: Backend) -> RunRecord:
        folder, log = self.plan.output, self.plan.output / LOG
        if self.start.checkpoint is None:
            resume.clear(folder)
        path, config = resume.attempt_config(self.plan, self.start)
        for file, keys in ((self.plan.config_file, self.plan.config), (path, config)):
            file.write_text(to_yaml(keys), encoding="utf-8", newline="\n")
        write_run(folder, self.record("running"))
        from_byte = log.stat().st_size if log.is_file() else 0
        shown = progress.Progress(folder, log, self.start.step)
        try:
            variables = {**backend.variables, **self.plan.launching, **self.plan.variables}
            child = programs.start(backend.command("train", [str(path)]), log, variables)
            with programs.stopping(child, _DEADLINE):
                while (code := child.wait(_LOOK_EVERY)) is None:
                    shown.look()
                shown.look()
        except KeyboardInterrupt:
            record = self.record("stopped")
            with suppress(OSError):
                write_run(folder, record)
            saved = resume.checkpoints(folder, value_head=self.plan.stage in ("rm", "ppo"))
            steps = (f"step {entry.step}" for entry in saved if not entry.lacks)
            raise TrainingStopped(
                f"stopped at step {record.steps}; the same command with --resume goes on from "
                f"{next(steps, 'the beginning')}"
            ) from None
        finally:
            shown.stop()
        if code:
            raise self._failed(code, end_of(log, from_byte))
        weights = weights_of(folder)
        if not weights:
            raise self._failed(0, "it ended without an error, and without weights")
        adapter = {"file": ADAPTER_WEIGHTS, "sha256": weights.get(ADAPTER_WEIGHTS, "")}
        record = replace(
            self.record("done"),
            weights=weights,
            adapter=adapter if ADAPTER_WEIGHTS in weights else None,
        )
        write_run(folder, record)
        return record

    def record(self, state: State, error: str | None = None) -> RunRecord:
        points = progress.read(self.plan.output)
        return replace(
            self.begun,
            state=state,
            steps=max(self.start.step, progress.steps_done(self.plan.output)),
            loss=progress.summary(points),
            seconds=round(self.start.seconds + time.monotonic() - self.since, 1),
            error=error,
        )

    def _failed(self, code: int, log: str) -> TrainingFailed:
        folder = self.plan.output
        why = failure.explain(code, log, shutil.disk_usage(folder).free, _LESS_MEMORY)
        # On a full disk the record of it has no room either; the error is told all the same.
        with suppress(OSError):
            write_run(folder, self.record("failed", why))
        return TrainingFailed(f"{why} (the whole log: {folder / LOG})")


def begun_record(plan: Plan) -> RunRecord:
    """Return the record of a run that begins, with the sha256 of all that it is made from."""
    folder, names = plan.dataset.folder, [name.strip() for name in plan.dataset.name.split(",")]
    entries = read_registry(folder)
    files = [data_file(folder, name, entries) for name in names]
    manifests = [folder / f"{name}.manifest.json" for name in names]
    model = plan.model.folder
    # The adapter that is trained further, and that of the reward model.
    parents = {
        "adapter": plan.config.get("adapter_name_or_path"),
        "reward_model": plan.config.get("reward_model"),
    }
    adapters = {what: Path(str(path)) / ADAPTER_WEIGHTS for what, path in parents.items() if path}
    typed = plan.model.name
    is_here = typed not in BUNDLED and at_home(typed).is_dir()
    has_weights = model is not None and any(model.glob("*.safetensors"))
    return RunRecord(
        name=plan.output.name,
        stage=plan.stage,
        method=kind
        if (kind := str(plan.config.get("finetuning_type"))) in _OTHERS
        else plan.method,
        state="running",
        model=os.path.abspath(at_home(typed)) if is_here else typed,
        template=plan.config.get("template"),
        dataset={
            "name": plan.dataset.name,
            "dataset_dir": os.path.abspath(folder),
            "data_sha256": sha256_of_all(files),
            "manifest_sha256": sha256_of_all(manifests),
        },
        config_sha256=hashlib.sha256(to_yaml(plan.config).encode()).hexdigest(),
        model_fingerprint=fingerprint(model) if model is not None and has_weights else None,
        parents={what: sha256_of(path) for what, path in adapters.items() if path.is_file()},
        precision=plan.step_seconds,
        variables=plan.variables,
        processes=plan.processes,
    )


def weights_of(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(folder.glob("*.safetensors"))}
