"""Run a scorer's work on this machine: one thread a worker, the journal kept by the main thread."""

from __future__ import annotations

import hashlib
import json
import platform
import queue
import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from curate.engine.journal import delete_journal, open_journal
from curate.engine.plan import Plan, plan_batches
from curate.models.protocols import Model
from curate.scorers.contract import Numbers, Work

if TYPE_CHECKING:
    from curate.models.recipe import ModelRecipe

_FORM = "journal 2"


class Progress(Protocol):
    """What is told while batches are done."""

    def start(self, rows: int, total: int, done: int) -> None:
        """Work of so many tokens, for so many rows, begins; so many tokens were done before."""

    def advance(self, tokens: int) -> None:
        """So many more tokens are done."""

    def stop(self) -> None:
        """All is done, or the run ends early."""


class Silent(Progress):
    """A progress that says nothing."""


@dataclass(frozen=True)
class LocalEngine:
    """This machine.

    Attributes:
        journals: Folder of the journals.
        progress: Is told of every batch.
        say: Is told what a user should know, a sentence each.
    """

    journals: Path
    progress: Progress = field(default_factory=Silent)
    say: Callable[[str], object] = str

    def load(self, recipe: ModelRecipe) -> Any:
        """Return the model; what it decides by itself, it decides by what this machine has."""
        return recipe.load()

    def run(self, work: Work, rows: int) -> NDArray[Any]:
        """Return the numbers of all items, computing those that no earlier run has journalled."""
        plan = plan_batches(work.lengths, work.model.batch_tokens, work.kinds)
        results = _Results(plan, work)
        name, here = _name(work, plan), machine(work.model)
        with open_journal(self.journals, name, here, len(plan)) as journal:
            for number, data in journal.batches():
                results.put(number, data)
            waiting = np.flatnonzero(~results.done).tolist()
            for other, batches in journal.of_others().items() if waiting else ():
                self.say(
                    f"{batches:,} batches of these rows were computed by {other}; machines round "
                    "differently, so here they are computed anew"
                )
            if waiting:
                work.model.prepare()
            elif len(plan):
                self.say("an earlier run computed all of this; nothing is computed anew")
            total, left = int(work.lengths.sum()), sum(map(plan.tokens, waiting))
            self.progress.start(rows, total, total - left)
            try:
                with closing(_computed(work, plan, waiting)) as finished:
                    for number, data in finished:
                        results.put(number, data)
                        journal.append(number, data)
                        self.progress.advance(plan.tokens(number))
            finally:
                self.progress.stop()
        return results.values

    def forget(self, work: Work) -> None:
        """Delete the journal of a work whose numbers are kept elsewhere by now."""
        plan = plan_batches(work.lengths, work.model.batch_tokens, work.kinds)
        delete_journal(self.journals, _name(work, plan))


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


def _name(work: Work, plan: Plan) -> str:
    parts = (_FORM, work.digest, work.model.fingerprint, plan.fingerprint())
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


class _Results:
    """The numbers of all items, in the items' order, filled batch by batch."""

    def __init__(self, plan: Plan, work: Work) -> None:
        self.plan, self.dtype = plan, work.dtype
        self.widths = np.broadcast_to(np.asarray(work.widths), len(work.lengths))
        self.starts = np.cumsum(self.widths) - self.widths
        self.values: NDArray[Any] = np.full(int(self.widths.sum()), np.nan, dtype=work.dtype)
        self.done = np.zeros(len(plan), dtype=bool)

    def put(self, number: int, data: bytes) -> None:
        items = self.plan.batch(number)
        widths = self.widths[items]
        numbers = _unpacked(data, self.dtype)
        if len(numbers) != widths.sum():
            raise ValueError(f"batch {number}: {len(numbers)} numbers instead of {widths.sum()}")
        before = np.cumsum(widths) - widths
        self.values[np.repeat(self.starts[items] - before, widths) + np.arange(len(numbers))] = (
            numbers
        )
        self.done[number] = True


def packed(numbers: Numbers, dtype: str) -> bytes:
    """Return the numbers of a batch as they are journalled."""
    if dtype == "object":
        return json.dumps(list(chain.from_iterable(numbers))).encode()
    if dtype == "float32":
        return np.ascontiguousarray(numbers, dtype="<f4").tobytes()
    return np.fromiter(chain.from_iterable(numbers), dtype="<f8").tobytes()


def _unpacked(data: bytes, dtype: str) -> NDArray[Any]:
    if dtype == "object":
        return np.array(json.loads(data), dtype=object)
    return np.frombuffer(data, dtype="<f4" if dtype == "float32" else "<f8")


def _computed(work: Work, plan: Plan, waiting: list[int]) -> Generator[tuple[int, bytes]]:
    """Yield each batch when it is done; an error of a worker is raised here."""
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in waiting:
        todo.put(number)
    finished: queue.SimpleQueue[tuple[int, bytes | BaseException]] = queue.SimpleQueue()
    stop = threading.Event()

    def compute() -> None:
        try:
            with work.model.worker():
                while not (stop.is_set() or todo.empty()):
                    with suppress(queue.Empty):  # another thread was faster
                        number = todo.get_nowait()
                        numbers = work.answer(work.model, work.take(plan.batch(number)))
                        finished.put((number, packed(numbers, work.dtype)))
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            finished.put((-1, error))

    workers = min(max(1, work.model.workers), len(waiting))
    threads = [threading.Thread(target=compute, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for _ in waiting:
            number, data = finished.get()
            if isinstance(data, BaseException):
                raise data
            yield number, data
    finally:
        stop.set()
        for thread in threads:
            thread.join()
