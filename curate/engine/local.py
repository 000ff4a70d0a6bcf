"""Run a scorer's work: the plan, the journal and the results stay here, workers compute."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.console import Bar, Lines
from curate.engine.crew import Crew, Loop, batches
from curate.engine.crews import Crews
from curate.engine.journal import delete_journal, open_journal
from curate.engine.plan import Plan, plan_batches
from curate.engine.worker import machine
from curate.models.protocols import Model
from curate.scorers.contract import Work
from curate.system.cache import scratch_dir
from curate.system.files import writing_to

if TYPE_CHECKING:
    from curate.models.recipe import ModelRecipe

_FORM = "journal 2"
_MANY_BYTES = 1 << 28  # of results: half a million vectors of 128 numbers


_silent = partial(Lines, every=math.inf)


@dataclass(frozen=True)
class LocalEngine:
    """The engine: keeps plan, journal and results here, wherever the workers are."""

    folder: Path  # of journals, of tokens, and of vectors
    progress: Bar | Lines = field(default_factory=_silent)  # is told of every batch
    say: Callable[[str], object] = str  # is told what a user should know, a sentence each
    crews: Crews = field(default_factory=Crews)
    tokenising: Bar | Lines = field(default_factory=_silent)  # is told of tokens that are made

    def load(self, recipe: ModelRecipe) -> Any:
        """Return the model with the device, dtype and batch size of the workers."""
        return self.crews.settled(recipe).load()

    def run(self, work: Work, rows: int) -> NDArray[Any]:
        """Return the numbers of all items, computing those that no earlier run has journalled.

        Progress is told in rows.
        """
        plan = plan_batches(work.lengths, work.model.batch_tokens, work.kinds)
        results = _Results(plan, work)
        name, here = _name(work, plan), self.crews.machine(work.model) or machine(work.model)
        with open_journal(self.folder / "journals", name, here, len(plan)) as journal:
            for number, data in journal.batches():
                results.put(number, data)
            waiting = np.flatnonzero(~results.done).tolist()
            for other, count in journal.of_others().items() if waiting else ():
                self.say(
                    f"computed by {other}: {batches(count)} of these rows; machines round "
                    "differently, so here they are computed anew"
                )
            if not waiting and len(plan):
                self.say("an earlier run computed all of this; nothing is computed anew")
            total, left = int(work.lengths.sum()), sum(map(plan.tokens, waiting))
            with ExitStack() as stack:
                crew = stack.enter_context(self.crews.of(work.model, len(waiting)))
                self.progress.start(rows, total, total - left)
                stack.callback(self.progress.stop)
                loop = Loop(crew, work, plan, self.say)
                for number, data in stack.enter_context(closing(loop.run(waiting, here))):
                    results.put(number, data)
                    journal.append(number, data)
                    self.progress.advance(plan.tokens(number))
            if loop.workers:
                self.say(f"{batches(len(waiting))} computed by {loop.workers}")
        return results.values

    def each(
        self,
        model: Model,
        answer: Callable[[Any, Any], bytes],
        payloads: Iterator[Any],
        rows: int,
        total: int,
        done: int,
    ) -> Iterator[bytes]:
        """Yield what is made of each payload, in their order; the model's weights are not loaded.

        Of all rows there are so many payloads, and those that are done come no more.
        """
        with ExitStack() as stack:
            crew = stack.enter_context(self.crews.for_blocks(model, total - done))
            self.tokenising.start(rows, total, done)
            stack.callback(self.tokenising.stop)
            blocks = self._in_order(crew, model, answer, payloads, total - done)
            for block in stack.enter_context(closing(blocks)):
                yield block
                self.tokenising.advance(1)

    def _in_order(
        self,
        crew: Crew,
        model: Model,
        answer: Callable[[Any, Any], bytes],
        payloads: Iterator[Any],
        count: int,
    ) -> Generator[bytes]:
        taken: dict[int, Any] = {}  # and not made yet: a worker may end

        def take(items: NDArray[np.int64]) -> Any:
            (item,) = items.tolist()
            if item not in taken:
                taken[item] = next(payloads)
            return taken[item]

        one = np.ones(count, dtype=np.int64)
        plan = Plan(order=np.arange(count), ends=np.arange(1, count + 1), lengths=one)
        work = Work(model, one, 1, take, answer, digest="", dtype="bytes")
        ready: dict[int, bytes] = {}
        coming = 0
        for number, block in Loop(crew, work, plan, self.say).run([*range(count)], ""):
            ready[number] = block
            del taken[number]
            while coming in ready:
                yield ready.pop(coming)
                coming += 1

    def forget(self, work: Work) -> None:
        """Delete the journal of a work whose numbers are kept elsewhere by now."""
        plan = plan_batches(work.lengths, work.model.batch_tokens, work.kinds)
        delete_journal(self.folder / "journals", _name(work, plan))


def _name(work: Work, plan: Plan) -> str:
    parts = (_FORM, work.digest, work.model.fingerprint, plan.fingerprint())
    return hashlib.sha256("|".join(parts).encode()).hexdigest()


class _Results:
    """The numbers of all items, in the items' order, filled batch by batch."""

    def __init__(self, plan: Plan, work: Work) -> None:
        self.plan, self.dtype = plan, work.dtype
        self.widths = np.broadcast_to(np.asarray(work.widths), len(work.lengths))
        self.starts = np.cumsum(self.widths) - self.widths
        count, dtype = int(self.widths.sum()), np.dtype(work.dtype)
        if dtype.hasobject or count * dtype.itemsize < _MANY_BYTES:
            self.values: NDArray[Any] = np.full(count, np.nan, dtype=dtype)
        else:
            with writing_to(scratch_dir(), "results", "set CURATRAIN_CACHE to another folder"):
                file = tempfile.TemporaryFile(dir=scratch_dir())  # noqa: SIM115 - goes with the array
                # A full disk is told of now.
                os.posix_fallocate(file.fileno(), 0, count * dtype.itemsize)
                self.values = np.memmap(file, dtype, mode="r+", shape=(count,))
        self.done = np.zeros(len(plan), dtype=bool)

    def put(self, number: int, data: bytes) -> None:
        items = self.plan.batch(number)
        widths = self.widths[items]
        if self.dtype == "object":
            numbers = np.array(json.loads(data), dtype=object)
        else:
            numbers = np.frombuffer(data, dtype="<f4" if self.dtype == "float32" else "<f8")
        if len(numbers) != widths.sum():
            raise ValueError(f"batch {number}: {len(numbers)} numbers instead of {widths.sum()}")
        before = np.cumsum(widths) - widths
        places = np.repeat(self.starts[items] - before, widths) + np.arange(len(numbers))
        self.values[places] = numbers
        self.done[number] = True
