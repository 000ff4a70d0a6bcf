"""What computes batches: a model and its threads, the same here, in a process and in an actor."""

from __future__ import annotations

import json
import platform
import queue
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from curate.errors import CuratrainError
from curate.models.protocols import Model
from curate.scorers.contract import Numbers

if TYPE_CHECKING:
    from curate.models.recipe import ModelRecipe

Outcome = bytes | BaseException


class Job(NamedTuple):
    """A batch: `answer` of the model and the payload gives its numbers, of that dtype."""

    number: int
    answer: Callable[[Any, Any], Numbers | bytes]
    payload: Any
    dtype: str


class Threads:
    """Threads that compute batches with one model side by side, a batch on one of them."""

    def __init__(self, model: Model, count: int) -> None:
        self._model, self._pool = model, ThreadPoolExecutor(count)

    def put(self, job: Job, reply: Callable[[int, Outcome], None]) -> None:
        """Compute a job; reply is called with its number and its numbers, or what went wrong."""
        self._pool.submit(self._compute, job, reply)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _compute(self, job: Job, reply: Callable[[int, Outcome], None]) -> None:
        try:
            with self._model.worker():
                outcome: Outcome = packed(job.answer(self._model, job.payload), job.dtype)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            outcome = error
        reply(job.number, outcome)


class Worker:
    """A worker in another process or on another machine: loads a model, computes batches."""

    def __init__(self) -> None:
        self._threads: Threads | None = None
        self._preparing = threading.Lock()

    def settled(self, recipe: ModelRecipe) -> tuple[ModelRecipe, str]:
        model = recipe.load()
        return model.recipe, machine(model)

    def prepare(
        self, recipe: ModelRecipe, slots: int, cores: int, weights: bool
    ) -> tuple[str, int]:
        """Load a model for so many batches at a time, of as many cores; return machine, slots."""
        with self._preparing:
            if self._threads is not None:
                self._threads.close()
            if cores > 1:
                import torch

                torch.set_num_threads(cores)
            model = recipe.load()
            if weights:
                model.prepare()
            slots = max(1, min(slots, model.workers)) if weights else 1
            self._threads = Threads(model, slots)
            return machine(model), slots

    def put(self, job: Job, reply: Callable[[int, Outcome], None]) -> None:
        """Compute a job in the background; what went wrong is handed on so that it pickles."""
        if self._threads is None:
            raise RuntimeError("prepare() comes first")
        self._threads.put(job, lambda number, outcome: reply(number, sendable(outcome)))

    def compute(self, job: Job) -> bytes:
        outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self.put(job, lambda _, outcome: outcomes.put(outcome))
        outcome = outcomes.get()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


def sendable(outcome: Outcome) -> Outcome:
    """Return an error of ours as it is, any other as text: not all errors pickle."""
    if isinstance(outcome, bytes | CuratrainError):
        return outcome
    return RuntimeError("".join(traceback.format_exception(outcome)))


def machine(model: Model) -> str:
    """Return what decides how numbers are rounded, besides the model: device, libraries, cores."""
    if not model.device:
        return "a server"
    if model.device == "cuda":
        import torch

        name = torch.cuda.get_device_name()
    else:
        name = platform.processor() or platform.machine()
        with suppress(OSError):
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            name = next((x.partition(":")[2].strip() for x in lines if "model name" in x), name)
    libraries = f"torch {version('torch')}, numpy {version('numpy')}"
    return f"{name} ({libraries}, {model.threads} cores a batch)"


def packed(numbers: Numbers | bytes, dtype: str) -> bytes:
    if isinstance(numbers, bytes):
        return numbers
    if dtype == "object":
        return json.dumps(list(chain.from_iterable(numbers))).encode()
    if dtype == "float32":
        return np.ascontiguousarray(numbers, dtype="<f4").tobytes()
    return np.fromiter(chain.from_iterable(numbers), dtype="<f8").tobytes()
