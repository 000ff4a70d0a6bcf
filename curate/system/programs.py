"""Other programs: each in a process group of its own that ends as a whole, its output in a log."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from curate.errors import UsageError

_PAUSE = 0.1
_AFTER_KILL = 10.0  # seconds; the kernel needs a moment to free a large process
_PR_SET_PDEATHSIG = 1
# OpenMP's threads spin at barriers: beside one busy process, training is many times slower.
NO_SPINNING = {"OMP_WAIT_POLICY": "PASSIVE"}


class Child:
    """A program that runs, in a process group of its pid, and the log that its output goes to."""

    def __init__(self, running: subprocess.Popen[bytes], log: Path) -> None:
        self._running, self.pid, self.log = running, running.pid, log

    def code(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        return self._running.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """Return its exit code, or None if it still runs after the time."""
        with suppress(subprocess.TimeoutExpired):
            return self._running.wait(timeout)
        return None

    def stop(self, deadline: float = 30.0) -> None:
        """End it with everything that it has started: politely, and by force when time is up."""
        for number, seconds in ((signal.SIGTERM, deadline), (signal.SIGKILL, _AFTER_KILL)):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            until = time.monotonic() + seconds
            while self.alive() and time.monotonic() < until:
                time.sleep(_PAUSE)
            if not self.alive():
                return

    def alive(self) -> bool:
        """Return whether the program, or anything in its group, still runs."""
        if self.code() is None:
            return True
        processes = Path("/proc")
        if not (processes / "self" / "stat").is_file():
            try:
                os.killpg(self.pid, 0)
            except (ProcessLookupError, PermissionError):
                return False
            return True
        for path in processes.glob("[0-9]*/stat"):
            with suppress(OSError):
                # The name in parentheses may hold anything; what follows it is state, ppid, pgrp.
                state, _, group = path.read_text(errors="replace").rpartition(")")[2].split()[:3]
                # One that is but an entry to be reaped runs no more.
                if int(group) == self.pid and state not in "ZX":
                    return True
        return False


def start(
    arguments: Sequence[str],
    log: Path,
    variables: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Child:
    """Start a program in a process group of its own; its output is added to a file.

    Should this process be killed outright, the program is told to end, too (on Linux). It is told
    so when the thread that started it ends, so start it in a thread that stays. Its OpenMP threads
    wait without spinning, unless OMP_WAIT_POLICY says otherwise.
    """
    with log.open("ab") as stream:
        try:
            running = subprocess.Popen(
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**NO_SPINNING, **os.environ, **(variables or {})},
                cwd=folder,
                start_new_session=True,
                preexec_fn=dying_with_parent(),
            )
        except FileNotFoundError as error:
            raise UsageError(
                f"there is no program {arguments[0]} (or no folder {folder or '.'}); install it, "
                "or put right where it is looked for"
            ) from error
    return Child(running, log)


@contextmanager
def stopping(child: Child, deadline: float = 30.0) -> Iterator[Child]:
    """Leave nothing of a program behind, whatever ends the block.

    SIGTERM and SIGHUP end the block as Ctrl-C does: with KeyboardInterrupt. A second one while the
    program is being stopped does not cut that short.
    """
    before = _handle(signal.default_int_handler)
    try:
        yield child
    finally:
        during = _handle(signal.SIG_IGN)
        child.stop(deadline)
        for number, handler in {**during, **before}.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def new_lines(path: Path, offset: int = 0) -> tuple[list[str], int]:
    """Return the whole lines of a growing file from a place on, and the place after them."""
    if not path.is_file():
        return [], offset
    with path.open("rb") as stream:
        stream.seek(offset)
        read = stream.read()
    # A progress bar ends its lines so that the next is written over them.
    whole = read[: max(read.rfind(b"\n"), read.rfind(b"\r")) + 1]
    return whole.decode("utf-8", errors="replace").splitlines(), offset + len(whole)


_ENDING = (signal.SIGTERM, signal.SIGHUP)


def _handle(how: object) -> dict[int, object]:
    """Set the handlers and return those that were set; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    ending = (*_ENDING, signal.SIGINT) if how is signal.SIG_IGN else _ENDING
    # What is ignored stays so: it was started with nohup.
    heard = [number for number in ending if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, how) for number in heard}  # type: ignore[arg-type]


def dying_with_parent() -> Callable[[], None] | None:
    """Return what a child does before it begins, so that it is told to end when we are killed."""
    # The library is looked up here: after the fork little may be done.
    if not sys.platform.startswith("linux"):
        return None
    set_option = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: set_option(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
