"""Run a plan on this machine: one thread a worker, the journal written by the main thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from curate.engine.journal import Journal, open_journal
from curate.engine.plan import Plan


class Progress(Protocol):
    """What is told while batches are done."""

    def start(self, total: int, done: int) -> None:
        """Work of so many tokens begins; so many were done by an earlier run."""

    def advance(self, tokens: int) -> None:
        """So many more tokens are done."""


class Silent:
    """A progress that says nothing."""

    def start(self, total: int, done: int) -> None:
        """Say nothing."""

    def advance(self, tokens: int) -> None:
        """Say nothing."""


Compute = Callable[[NDArray[np.int64]], list[float]]
Worker = Callable[[], AbstractContextManager[Any]]


def run_plan(
    plan: Plan,
    compute: Compute,
    journals: Path,
    fingerprint: str,
    workers: int,
    worker: Worker,
    progress: Progress,
) -> list[list[float]]:
    """Return the values of every batch, computing those that no earlier run has journalled.

    Args:
        plan: What to compute.
        compute: Items of one batch to their values, flat; called from worker threads.
        journals: Folder of the journals.
        fingerprint: sha256 of all that decides the numbers besides the plan.
        workers: Batches in flight.
        worker: Context in which a thread computes.
        progress: Is told of every batch.
    """
    with open_journal(journals, _joined(fingerprint, plan)) as journal:
        waiting = [number for number in range(len(plan)) if number not in journal.done]
        total = int(plan.lengths.sum())
        progress.start(total, total - sum(plan.tokens(number) for number in waiting))
        _run(plan, waiting, compute, journal, workers, worker, progress)
        return [journal.done[number] for number in range(len(plan))]


def _joined(fingerprint: str, plan: Plan) -> str:
    import hashlib

    return hashlib.sha256(f"{fingerprint}|{plan.fingerprint()}".encode()).hexdigest()


def _run(
    plan: Plan,
    waiting: list[int],
    compute: Compute,
    journal: Journal,
    workers: int,
    worker: Worker,
    progress: Progress,
) -> None:
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in waiting:
        todo.put(number)
    finished: queue.SimpleQueue[tuple[int, list[float] | BaseException]] = queue.SimpleQueue()
    stop = threading.Event()

    def work() -> None:
        with worker():
            while not stop.is_set():
                try:
                    number = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    finished.put((number, compute(plan.batch(number))))
                except BaseException as error:  # noqa: BLE001 - raised again in the main thread
                    finished.put((number, error))
                    return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        for _ in waiting:
            number, values = finished.get()
            if isinstance(values, BaseException):
                raise values
            journal.append(number, values)
            journal.done[number] = values
            progress.advance(plan.tokens(number))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
