"""A model for workers elsewhere: it squares, and can be told to end its process."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from runpy import run_module
from typing import Any

import numpy as np

from curate.engine import crew
from curate.engine.worker import Job
from curate.errors import ModelError
from curate.scorers.contract import Work


@dataclass(frozen=True)
class Squaring:
    """Recipe and model at once."""

    folder: Path  # each worker leaves a file here, named after its process
    broken: str = ""
    machine: str = "cpu"
    slots: int = 1
    together: int = 1  # processes that wait for each other before they compute
    name, fingerprint, threads, batch_tokens = "squaring", "f" * 64, 1, 4

    @property
    def recipe(self) -> Squaring:
        return self

    @property
    def device(self) -> str:
        return self.machine

    @property
    def workers(self) -> int:
        return self.slots

    def load(self) -> Squaring:
        if self.broken == "nowhere" and os.getpid() != int((self.folder / "driver").read_text()):
            raise ModelError("model 'squaring' is not here")
        return self

    def prepare(self) -> None:
        if self.broken == "load":
            os.kill(os.getpid(), signal.SIGKILL)

    def worker(self) -> Any:
        return nullcontext()

    def answered(self, items: list[int]) -> list[list[float]]:
        come_together(self.folder, self.together)
        time.sleep(0.01)
        for item in items:
            once = self.folder / f"killed {item}"
            if self.broken == f"at {item}" or (self.broken == f"once {item}" and not once.exists()):
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if self.broken == f"error {item}":
                raise ZeroDivisionError("by the test")
        return [[float(item**2)] for item in items]


def squares(model: Squaring, items: list[int]) -> list[list[float]]:
    return model.answered(items)


def squaring(folder: Path, items: int = 60, **how: Any) -> Work:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "driver").write_text(str(os.getpid()))
    return Work(
        model=Squaring(folder, **how),
        lengths=np.ones(items, dtype=np.int64),
        widths=1,
        take=lambda places: places.tolist(),
        answer=squares,
        digest="d",
        names=lambda places: [f"row{place:02}" for place in places.tolist()],
    )


def computed_by(folder: Path) -> list[int]:
    """Return the processes that have computed, without this one."""
    pids = [int(each.name) for each in folder.iterdir() if each.name.isdecimal()]
    return [pid for pid in pids if pid != os.getpid()]


def come_together(folder: Path, count: int) -> None:
    """Leave a file named after this process; wait until there are as many, a minute at most."""
    (folder / str(os.getpid())).touch()
    limit = time.monotonic() + 60
    while len({*computed_by(folder), os.getpid()}) < count and time.monotonic() < limit:
        time.sleep(0.01)


def answered_together(folder: Path, job: Job, model: Any, payload: Any) -> Any:
    come_together(folder, 2)
    return job.answer(model, payload)


def curate_together() -> None:
    """Run the command line; its first folder is where two workers wait for each other.

    A quick machine computes a few rows before its second worker has started.
    """
    folder = Path(sys.argv.pop(1))
    folder.mkdir()

    def together(*job: Any) -> Job:
        made = Job(*job)
        tokens = made.dtype == "bytes"  # one block of few rows, for one worker
        return made if tokens else made._replace(answer=partial(answered_together, folder, made))

    crew.Job = together  # type: ignore[attr-defined,misc,assignment]
    run_module("curate", run_name="__main__", alter_sys=True)


class Tokenising:
    """A tokenizer whose weights cannot be loaded; it notes that it was asked in this process."""

    name, fingerprint, device, threads, batch_tokens, workers = "t", "t", "cpu", 1, 9, 1

    def __init__(self) -> None:
        self.pids: list[int] = []

    @property
    def recipe(self) -> Tokenising:
        return self

    @property
    def encoder(self) -> Any:
        from tests.fake import Characters

        self.pids.append(os.getpid())
        return Characters()

    def load(self) -> Tokenising:
        return self

    def prepare(self) -> None:
        raise AssertionError("no weights are needed")

    def worker(self) -> Any:
        return nullcontext()
