"""`python -m curate.engine FD`: a worker of the process that started it, and ends with it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from curate.engine.worker import Job, Outcome, Worker, sendable


def main(connection: Connection) -> None:
    """Prepare for a work, and then compute its batches, until nothing more can come.

    What comes and what is answered begins with the number of the work.
    """
    worker, sending = Worker(), threading.Lock()

    def send(*event: Any) -> None:
        with sending:
            connection.send(event)

    def answer(work: int, job: int, outcome: Outcome) -> None:
        send(work, "done", job, sendable(outcome))

    def prepare(work: int, how: Any) -> None:
        try:
            send(work, "ready", *worker.prepare(*how))
        except BaseException as error:  # noqa: BLE001 - raised again where it was started
            answer(work, -1, error)

    while True:
        number, given = connection.recv()
        if isinstance(given, Job):
            worker.put(given, partial(answer, number))
        else:
            threading.Thread(target=prepare, args=(number, given), daemon=True).start()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; who started us decides
    try:
        main(Connection(int(sys.argv[1])))
    except (EOFError, OSError):
        os._exit(0)  # threads may be in the middle of a batch that nobody waits for
