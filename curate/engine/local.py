"""Run a scorer's work on this machine: one thread a worker, the journal kept by the main thread."""

from __future__ import annotations

import base64
import hashlib
import queue
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from curate.engine.journal import Journal, Values, delete_journal, open_journal
from curate.engine.plan import Plan, plan_batches
from curate.scorers.contract import Numbers, Work


class Progress(Protocol):
    """What is told while batches are done."""

    def start(self, rows: int, total: int, done: int) -> None:
        """Work of so many tokens, for so many rows, begins; so many tokens were done before."""

    def advance(self, tokens: int) -> None:
        """So many more tokens are done."""

    def stop(self) -> None:
        """All is done, or the run ends early."""


class Silent:
    """A progress that says nothing."""

    def start(self, rows: int, total: int, done: int) -> None:
        """Say nothing."""

    def advance(self, tokens: int) -> None:
        """Say nothing."""

    def stop(self) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class LocalEngine:
    """This machine.

    Attributes:
        journals: Folder of the journals.
        progress: Is told of every batch.
    """

    journals: Path
    progress: Progress = field(default_factory=Silent)

    def run(self, work: Work, rows: int) -> NDArray[Any]:
        """Return the numbers of all items, computing those that no earlier run has journalled."""
        plan = plan_batches(work.lengths, work.budget, work.kinds)
        results = _Results(plan, work.widths, work.dtype)
        with open_journal(self.journals, _mark(work, plan), results.put) as journal:
            waiting = [number for number in range(len(plan)) if not results.done[number]]
            total, left = int(work.lengths.sum()), sum(plan.tokens(each) for each in waiting)
            if waiting:
                work.prepare()
            self.progress.start(rows, total, total - left)
            try:
                _compute(work, plan, waiting, journal, results, self.progress)
                journal.sync()
            finally:
                self.progress.stop()
        return results.values

    def forget(self, work: Work) -> None:
        """Delete the journal of a work whose numbers are kept elsewhere by now."""
        plan = plan_batches(work.lengths, work.budget, work.kinds)
        delete_journal(self.journals, _mark(work, plan))


def _mark(work: Work, plan: Plan) -> str:
    return hashlib.sha256(f"{work.fingerprint}|{plan.fingerprint()}".encode()).hexdigest()


class _Results:
    """The numbers of all items, in the items' order, filled batch by batch."""

    def __init__(self, plan: Plan, widths: NDArray[np.int64], dtype: str) -> None:
        self.plan = plan
        self.ends = np.cumsum(widths)
        self.starts = self.ends - widths
        self.values: NDArray[Any] = np.full(int(widths.sum()), np.nan, dtype=dtype)
        self.done = np.zeros(len(plan), dtype=bool)

    def put(self, number: int, values: Values) -> None:
        items = self.plan.batch(number)
        lists = _unpacked(values, len(items)) if isinstance(values, str) else values
        for item, numbers in zip(items, lists, strict=True):
            self.values[self.starts[item] : self.ends[item]] = numbers
        self.done[number] = True


def _packed(numbers: Numbers) -> Values:
    if isinstance(numbers, np.ndarray):
        return base64.b64encode(np.ascontiguousarray(numbers, dtype="<f4").tobytes()).decode()
    return numbers


def _unpacked(values: str, items: int) -> NDArray[np.float32]:
    return np.frombuffer(base64.b64decode(values), dtype="<f4").reshape(items, -1)


def _compute(
    work: Work,
    plan: Plan,
    waiting: list[int],
    journal: Journal,
    results: _Results,
    progress: Progress,
) -> None:
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in waiting:
        todo.put(number)
    finished: queue.SimpleQueue[tuple[int, Values | BaseException]] = queue.SimpleQueue()
    stop = threading.Event()
    threads = [
        threading.Thread(target=_work, args=(work, plan, todo, finished, stop), daemon=True)
        for _ in range(min(max(1, work.workers), len(waiting)))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in waiting:
            number, values = finished.get()
            if isinstance(values, BaseException):
                raise values
            journal.append(number, values)
            results.put(number, values)
            progress.advance(plan.tokens(number))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _work(
    work: Work,
    plan: Plan,
    todo: queue.SimpleQueue[int],
    finished: queue.SimpleQueue[tuple[int, Values | BaseException]],
    stop: threading.Event,
) -> None:
    """Compute batches until there are none left; an error goes to the main thread."""
    try:
        with work.worker():
            while not stop.is_set():
                try:
                    number = todo.get_nowait()
                except queue.Empty:
                    return
                finished.put((number, _packed(work.compute(plan.batch(number)))))
    except BaseException as error:  # noqa: BLE001 - raised again in the main thread
        finished.put((-1, error))
