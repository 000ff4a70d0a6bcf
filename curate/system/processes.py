"""A function over many jobs in processes of this machine: its answers in the order of the jobs."""

from __future__ import annotations

import gc
import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, Self, TypeVar

from curate.errors import OutputError

Job = TypeVar("Job")
Answer = TypeVar("Answer")
_AHEAD = 4  # jobs a process that are worked out before the first of them is wanted
_ONE = "CURATRAIN_ONE_PROCESS"  # set in a process of these: it starts no others


def cores() -> int:
    """Return how many processes may compute at once."""
    if os.environ.get(_ONE):
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool(Generic[Job, Answer]):
    """Processes that work out a function, which is made by `start`, once in each of them.

    They are a module of ours, so that nobody's script needs a guard, and end with this process.
    `start` pickles, as do jobs and answers. Of fewer than two this process does it all.
    """

    def __init__(self, start: Callable[[], Callable[[Job], Answer]], processes: int) -> None:
        several = processes if processes > 1 else 0
        self._here = None if several else start()
        this = "curate.system.processes"
        self._workers = dict(started(this, {**os.environ, _ONE: "1"}) for _ in range(several))
        for ours in self._workers:
            ours.send(start)
        self._held = dict.fromkeys(self._workers, 0)
        self._sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for ours, process in self._workers.items():
            ours.close()
            process.terminate()
        for process in self._workers.values():
            process.wait()

    def map(self, jobs: Iterable[Job]) -> Iterator[Answer]:
        """Yield the answer to each job, in their order, a few of them worked out ahead.

        An exception of the function is raised here, where its answer would stand.
        """
        if self._here:
            yield from map(self._here, jobs)
            return
        coming, answers = iter(jobs), dict[int, tuple[bool, Any]]()
        given, ahead = self._sent, _AHEAD * len(self._workers)
        while True:
            self._feed(coming, given + ahead)
            if given == self._sent:
                return
            while given not in answers:
                self._hear(answers)
            sound, value = answers.pop(given)
            given += 1
            if not sound:
                raise value
            yield value

    def _feed(self, coming: Iterator[Job], end: int) -> None:
        for ours in sorted(self._held, key=self._held.__getitem__):
            room = min(2 - self._held[ours], end - self._sent)
            for job in itertools.islice(coming, max(0, room)):
                with suppress(OSError):  # it has ended, which is heard soon
                    ours.send((self._sent, job))
                self._held[ours] += 1
                self._sent += 1

    def _hear(self, answers: dict[int, tuple[bool, Any]]) -> None:
        try:
            for ours in wait([ours for ours, held in self._held.items() if held]):
                assert isinstance(ours, Connection)
                number, sound, value = ours.recv()
                answers[number] = sound, value
                self._held[ours] -= 1
        except (EOFError, ConnectionError):
            raise OutputError(
                "a process that computed for this one has ended; memory may be too small for "
                f"{len(self._workers)} at once. Close other programs and give the command again"
            ) from None


def started(
    module: str, environment: Mapping[str, str]
) -> tuple[Connection, subprocess.Popen[bytes]]:
    """Run a module of ours with its end of a pipe; return our end, and the process."""
    ours, theirs = Pipe()
    path = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen(
        [sys.executable, "-m", module, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        env={**environment, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    theirs.close()
    return ours, process


def _answer(connection: Connection) -> None:
    """Work out jobs until nothing more can come; a thread takes them, so that no pipe is full."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started this one ends it
    gc.set_threshold(100_000)  # rows are many objects and no cycles, which it looks for in vain
    waiting: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()

    def receive() -> None:
        with suppress(EOFError, OSError):
            while True:
                waiting.put(connection.recv())
        waiting.put(None)

    function = connection.recv()()
    threading.Thread(target=receive, daemon=True).start()
    while numbered := waiting.get():
        number, job = numbered
        try:
            answer = (number, True, function(job))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where it is wanted
            answer = (number, False, error)
        with suppress(OSError):
            connection.send(answer)


if __name__ == "__main__":
    _answer(Connection(int(sys.argv[1])))
