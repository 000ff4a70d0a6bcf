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
from curate.llamafactory.backend import Backend
from curate.system import failure, process
from curate.system.run_record import RunRecord, State, read_run, write_run
from train import backends
from train.planning.plan import Plan, to_yaml
from train.running import chain, losses, plot, resuming
from train.running.display import Display, choose
from train.running.follow import Follower
from train.running.resuming import LOG, Start

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


@dataclass(frozen=True)
class _Attempt:
    """One start of LLaMA-Factory."""

    plan: Plan
    start: Start
    begun: RunRecord
    since: float

    def record(self, state: State, error: str | None = None) -> RunRecord:
        """Return what is to be recorded of it now."""
        points = losses.read(self.plan.output)
        first = self.start.checkpoint.step if self.start.checkpoint else 0
        return replace(
            self.begun,
            state=state,
            steps=max([first, *(each.step for each in points[-1:])]),
            loss=losses.summary(points),
            seconds=round(self.start.seconds + time.monotonic() - self.since, 1),
            error=error,
        )


def run(
    plan: Plan,
    resume: bool = False,
    display: Callable[[], Display] = choose,
    say: Callable[[str], None] = console.say,
) -> RunRecord:
    """Train, and return the record of the finished run; its folder holds the rest.

    Args:
        plan: What to train.
        resume: Go on from the last whole checkpoint.
        display: Makes what shows the progress.
        say: Is told what the user should know, a line each.

    Raises:
        UsageError: LLaMA-Factory is not installed, or there is nothing to resume.
        OutputError: The folder cannot be written, or holds another run.
        DataError: What is to be resumed is no longer the same.
        TrainingFailed: LLaMA-Factory failed; says why, and where its whole log lies.
        TrainingStopped: Ctrl-C or SIGTERM; nothing of it runs any more.
    """
    backend = backends.find(plan.stage)
    begun = replace(chain.begun(plan), versions=backend.versions())
    with _alone(plan.output):
        before = read_run(plan.output)
        start = resuming.decide(plan, begun, before, resume)
        if start.finished and before is not None:
            say(f"{plan.output} is done already: {before.steps} steps")
            return before
        for note in start.notes:
            say(f"note: {note}")
        return _attempt(_Attempt(plan, start, begun, time.monotonic()), backend, display, say)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep every other run out of the folder, as long as this process lives."""
    folder.mkdir(parents=True, exist_ok=True)
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


def is_running(folder: Path) -> bool:
    """Return whether a process is training into a folder right now.

    Args:
        folder: Of the run.
    """
    if not (folder / _LOCK).is_file():
        return False
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _attempt(
    this: _Attempt, backend: Backend, display: Callable[[], Display], say: Callable[[str], None]
) -> RunRecord:
    folder, log = this.plan.output, this.plan.output / LOG
    if this.start.checkpoint is None:
        resuming.clear(folder)
    path, config = resuming.config(this.plan, this.start)
    this.plan.config_file.write_text(to_yaml(this.plan.config), encoding="utf-8", newline="\n")
    path.write_text(to_yaml(config), encoding="utf-8", newline="\n")
    write_run(folder, this.record("running"))
    from_byte = log.stat().st_size if log.is_file() else 0
    first = this.start.checkpoint.step if this.start.checkpoint else 0
    follower = Follower(folder, log, first)
    shown = display()
    try:
        child = process.start(backend.command("train", [str(path)]), log, backend.variables)
        with process.stopping(child, _DEADLINE):
            while (code := child.wait(_LOOK_EVERY)) is None:
                shown.show(follower.look())
            shown.show(follower.look())
    except KeyboardInterrupt:
        shown.stop()
        raise _stopped(this) from None
    finally:
        shown.stop()
    if code:
        raise _failed(this, code, _end_of(log, from_byte))
    return _done(this)


def _done(this: _Attempt) -> RunRecord:
    folder = this.plan.output
    found = chain.weights(folder)
    if not found:
        raise _failed(this, 0, "it ended without an error, and without weights")
    made = replace(this.record("done"), weights=found, adapter=chain.adapter(found))
    if not (folder / plot.FILE).is_file():
        plot.draw(folder, losses.read(folder))
    write_run(folder, made)
    return made


def _stopped(this: _Attempt) -> TrainingStopped:
    made = this.record("stopped")
    with suppress(OSError):
        write_run(this.plan.output, made)
    return TrainingStopped(
        f"stopped at step {made.steps}; the same command with --resume goes on from the last whole "
        "checkpoint"
    )


def _failed(this: _Attempt, code: int, log: str) -> TrainingFailed:
    folder = this.plan.output
    why = failure.explain(code, log, shutil.disk_usage(folder).free, _LESS_MEMORY)
    # On a full disk the record of it has no room either; the error is told all the same.
    with suppress(OSError):
        write_run(folder, this.record("failed", why))
    return TrainingFailed(f"{why} (the whole log: {folder / LOG})")


def _end_of(log: Path, first: int) -> str:
    with log.open("rb") as stream:
        stream.seek(max(first, log.stat().st_size - _END_OF_LOG))
        return stream.read().decode("utf-8", errors="replace")
