"""Run a plan: LLaMA-Factory in a child process, followed, recorded, never left behind."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from curate import console
from curate.errors import CuratrainError, OutputError
from curate.llamafactory.release import Backend
from curate.system import failure, process
from curate.system.model_folder import ADAPTER_WEIGHTS
from curate.system.run_record import RunRecord, State, write_run
from train import setup
from train.checks.limits import check_output
from train.config.plan import Plan, to_yaml
from train.run import progress, resume, sha256_chain
from train.run.resume import LOG, Start

_LOCK = ".lock"
_LOOK_EVERY = 0.5  # seconds
_DEADLINE = 20.0  # seconds that LLaMA-Factory has to end when it is told to
_END_OF_LOG = 400_000  # bytes; a traceback under progress bars
_LESS_MEMORY = (
    "--set per_device_train_batch_size=1",
    "--set cutoff_len=512",
    "or a smaller --model (`train estimate` tells)",
)


class TrainingFailed(CuratrainError):
    """LLaMA-Factory ended with an error, or was killed."""


class TrainingStopped(CuratrainError):
    """Ctrl-C or SIGTERM ended the training."""

    exit_code = 130


def run(
    plan: Plan,
    resuming: bool = False,
    say: Callable[[str], None] = console.say,
) -> RunRecord:
    """Train, anew or from the last whole checkpoint; return the record of the finished run."""
    backend = setup.backend_of(plan.stage)
    begun = replace(sha256_chain.begun(plan), versions=backend.versions())
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
    """Return whether a process is training into a folder right now."""
    if not (folder / _LOCK).is_file():
        return False
    try:
        with _alone(folder):
            return False
    except OutputError:
        return True
    except OSError:
        return False


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep every other run out of the folder, as long as this process lives."""
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(
            f"{folder} is being trained right now; wait for it, or give another --output"
        ) from error
    try:
        yield
    finally:
        lock.release()


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
        """Train to the end, and record how it ended."""
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
            child = process.start(backend.command("train", [str(path)]), log, backend.variables)
            with process.stopping(child, _DEADLINE):
                while (code := child.wait(_LOOK_EVERY)) is None:
                    shown.look()
                shown.look()
        except KeyboardInterrupt:
            raise self._stopped() from None
        finally:
            shown.stop()
        if code:
            raise self._failed(code, end_of(log, from_byte))
        weights = sha256_chain.weights(folder)
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
        """Return what is to be recorded of it now."""
        points = progress.read(self.plan.output)
        return replace(
            self.begun,
            state=state,
            steps=max([self.start.step, *(point["current_steps"] for point in points[-1:])]),
            loss=progress.summary(points),
            seconds=round(self.start.seconds + time.monotonic() - self.since, 1),
            error=error,
        )

    def _stopped(self) -> TrainingStopped:
        record = self.record("stopped")
        with suppress(OSError):
            write_run(self.plan.output, record)
        return TrainingStopped(
            f"stopped at step {record.steps}; the same command with --resume goes on from the last "
            "whole checkpoint"
        )

    def _failed(self, code: int, log: str) -> TrainingFailed:
        folder = self.plan.output
        why = failure.explain(code, log, shutil.disk_usage(folder).free, _LESS_MEMORY)
        # On a full disk the record of it has no room either; the error is told all the same.
        with suppress(OSError):
            write_run(folder, self.record("failed", why))
        return TrainingFailed(f"{why} (the whole log: {folder / LOG})")


def end_of(log: Path, first: int) -> str:
    """Return what a log has after a place, of a long one its end."""
    with log.open("rb") as stream:
        stream.seek(max(first, log.stat().st_size - _END_OF_LOG))
        return stream.read().decode("utf-8", errors="replace")
