"""What computes batches: a model and its threads, the same here, in a process and in an actor."""

from __future__ import annotations

import json
import platform
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

from curate.errors import CuratrainError, ModelError
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


class Worker:
    """A model, and threads that compute its batches side by side, a batch on one of them."""

    def __init__(self, model: Model | None = None, slots: int = 1) -> None:
        self._model, self._pool = model, ThreadPoolExecutor(slots)
        self._preparing = threading.Lock()

    def prepare(
        self, recipe: ModelRecipe, slots: int, cores: int, weights: bool
    ) -> tuple[str, int]:
        """Load a model for so many batches at a time, of as many cores; return machine, slots."""
        with self._preparing:
            self.close()
            if cores > 1:
                import torch

                torch.set_num_threads(cores)
            self._model = recipe.load()
            if weights:
                self._model.prepare()
            slots = max(1, min(slots, self._model.workers)) if weights else 1
            self._pool = ThreadPoolExecutor(slots)
            return machine(self._model), slots

    def put(self, job: Job, reply: Callable[[int, Outcome], None]) -> None:
        """Compute a job beside others; reply is called with its number and what came of it."""
        self._pool.submit(lambda: reply(job.number, self.outcome(job)))

    def outcome(self, job: Job) -> Outcome:
        """Compute a job in this thread; return its numbers, or what went wrong."""
        try:
            assert self._model, "prepare() comes first"
            with self._model.worker():
                return packed(job.answer(self._model, job.payload), job.dtype)
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            if type(error).__name__ != "OutOfMemoryError":  # torch's
                return error
            why = str(error).partition(". ")[0]
            return ModelError(
                f"the GPU has too little free memory for a batch ({why}); "
                "end what else runs on it, give a shorter --max-length where there is one, or a "
                "smaller model: what was computed stays"
            )

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def sendable(outcome: Outcome) -> Outcome:
    """Return what pickles: numbers, an error of ours as it is, any other as text."""
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
