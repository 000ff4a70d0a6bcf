"""Who computes the batches: threads of this process or processes, and the loop that feeds them."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
from collections import Counter, deque
from collections.abc import Callable, Generator, Hashable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from curate.engine.plan import Plan
from curate.engine.worker import Job, Worker
from curate.errors import ModelError, OutputError
from curate.scorers.contract import Work
from curate.system.processes import cores, started
from curate.system.programs import NO_SPINNING

if TYPE_CHECKING:
    from curate.engine.actors import Actors

READY, DONE, DIED = "ready", "done", "died"
_TRIES = 3  # of a batch whose workers end
_SPARE = 5  # workers that may end, besides as many as there are


class Event(NamedTuple):
    """`ready` with machine and slots, `done` with a batch's number and outcome, `died` with why."""

    worker: Hashable
    kind: str
    value: Any


class Here:
    """Threads of this process, as one worker."""

    size = 1

    def __init__(self, most: int) -> None:
        self._most, self._worker = most, Worker()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def begin(self, work: Work) -> None:
        slots = min(max(1, work.model.workers), self._most)
        self._worker = Worker(work.model, slots)
        self._events.put(Event(0, READY, ("", slots)))

    def send(self, worker: Hashable, job: Job) -> None:
        self._worker.put(job, lambda *outcome: self._events.put(Event(worker, DONE, outcome)))

    def events(self) -> list[Event]:
        return [self._events.get()]

    def replace(self, worker: Hashable) -> None:
        raise NotImplementedError  # threads of this process do not die alone

    def close(self) -> None:
        self._worker.close()


class Processes:
    """Processes of this machine; with GPUs each has one of them, in turn."""

    def __init__(self, size: int, gpus: int = 0) -> None:
        self.size, self.gpus = size, gpus
        self._workers: dict[Hashable, tuple[subprocess.Popen[bytes], int]] = {}
        self._works = 0  # that were begun; what comes of an older one is not heard

    def begin(self, work: Work) -> None:
        """Let all workers load the work's model; each is `ready` in its time."""
        slots = max(1, cores() // self.size)
        self._prepare = (work.model.recipe, slots, work.model.threads, work.dtype != "bytes")
        self._works += 1
        for worker in list(self._workers):
            self._tell(worker, self._prepare)
        while len(self._workers) < self.size:
            self._start(len(self._workers))

    def _start(self, place: int) -> None:
        # Before torch is there to be told: threads that spin take the other workers' cores.
        environment = {**NO_SPINNING, "OMP_NUM_THREADS": str(self._prepare[1]), **os.environ}
        if self.gpus:
            own = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
            own = own if own[0] else [str(number) for number in range(self.gpus)]
            environment["CUDA_VISIBLE_DEVICES"] = own[place % self.gpus]
        ours, process = started("curate.engine", environment)
        self._workers[ours] = (process, place)
        self._tell(ours, self._prepare)

    def _tell(self, worker: Any, what: Any) -> None:
        with suppress(OSError):  # it has ended, which events() hears
            worker.send((self._works, what))

    def send(self, worker: Hashable, job: Job) -> None:
        self._tell(worker, job)

    def events(self) -> list[Event]:
        """Wait, and return what happened."""
        happened = []
        for worker in wait([*self._workers]):  # type: ignore[list-item]
            assert isinstance(worker, Connection)
            try:
                number, kind, *value = worker.recv()
                if number == self._works:
                    happened.append(Event(worker, kind, tuple(value)))
            except (EOFError, OSError):
                happened.append(Event(worker, DIED, self._ended(worker)))
        return happened

    def replace(self, worker: Hashable) -> None:
        """Start another in place of a worker that has ended."""
        self._start(self._workers.pop(worker)[1])

    def _ended(self, worker: Hashable) -> str:
        code = self._workers[worker][0].wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def close(self) -> None:
        for worker, (process, _) in self._workers.items():
            worker.close()  # type: ignore[attr-defined]
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._workers.clear()


def batches(count: int) -> str:
    return "1 batch" if count == 1 else f"{count:,} batches"


Crew: TypeAlias = "Here | Processes | Actors"


class Loop:
    """Hands the batches of a plan to workers until all are done."""

    def __init__(self, crew: Crew, work: Work, plan: Plan, say: Callable[[str], object]) -> None:
        self.crew, self.work, self.plan, self.say = crew, work, plan, say
        self.computed: Counter[Hashable] = Counter()
        self._held: dict[Hashable, set[int]] = {}  # by workers that are ready
        self._slots: dict[Hashable, int] = {}
        self._tries: Counter[int] = Counter()
        self._deaths = 0

    @property
    def workers(self) -> str:
        """How many workers have computed, '' for threads of this process."""
        count = 0 if isinstance(self.crew, Here) else len(self.computed)
        return f"{count} worker{'s' * (count > 1)}" if count else ""

    def run(self, waiting: list[int], here: str) -> Generator[tuple[int, bytes]]:
        """Yield each batch when it is done; an error of a worker is raised here."""
        todo, left = deque(waiting), len(waiting)
        if left:
            self.crew.begin(self.work)
        while left:
            for worker in self._held:
                self._feed(worker, todo)
            for worker, kind, value in self.crew.events():
                if kind == READY:
                    machine, slots = value
                    self._welcome(worker, machine, slots, here)
                elif kind == DIED:
                    todo.extendleft(self._bury(worker, value))
                else:
                    number, outcome = value
                    if isinstance(outcome, BaseException):
                        raise outcome
                    self._held[worker].discard(number)
                    self.computed[worker] += 1
                    left -= 1
                    yield number, outcome

    def _feed(self, worker: Hashable, todo: deque[int]) -> None:
        """Give a worker a batch more than it computes at once; a suspected one alone."""
        held = self._held[worker]
        while todo and len(held) <= self._slots[worker]:
            if any(self._tries[number] for number in held) or (held and self._tries[todo[0]]):
                return
            held.add(todo[0])
            payload = self.work.take(self.plan.batch(todo[0]))
            self.crew.send(worker, Job(todo.popleft(), self.work.answer, payload, self.work.dtype))

    def _welcome(self, worker: Hashable, machine: str, slots: int, here: str) -> None:
        if machine in ("", here) or not here:
            self._held[worker], self._slots[worker] = set(), slots
            return
        self.say(f"a worker is left out, since its machine rounds otherwise: {machine}, not {here}")
        self._deaths += 1
        if not self._held and self._deaths >= self.crew.size:
            raise ModelError(f"no worker is a machine as asked for: {here}")

    def _bury(self, worker: Hashable, why: str) -> list[int]:
        """Start another worker; return the batches that the dead one held."""
        held = sorted(self._held.pop(worker, ()), reverse=True)
        self._deaths += 1
        self._tries.update(held)
        for number in held:
            if self._tries[number] >= _TRIES:
                raise OutputError(
                    f"a batch has ended its worker {_TRIES} times ({why}): that of "
                    f"{self._named(number)}. Memory may be too small for it: give a shorter "
                    "--max-length or a smaller model, or leave these rows out; what was computed "
                    "stays"
                )
        if self._deaths > self.crew.size + _SPARE:
            raise OutputError(f"{self._deaths} workers have ended ({why}); what was computed stays")
        self.say(f"a worker has ended ({why}); computed again by another: {batches(len(held))}")
        self.crew.replace(worker)
        return held

    def _named(self, number: int) -> str:
        items = self.plan.batch(number)
        names = list(dict.fromkeys(self.work.names(items))) if self.work.names else []
        rows = f"row{'s' * (len(names) > 1)} {', '.join(names)}"
        return rows if names else f"{len(items)} texts"
