"""Why a program failed: the one line of its log that says so, and what to do about it."""

from __future__ import annotations

import itertools
import re
import signal
from collections.abc import Sequence
from pathlib import Path

# What only passes on that something else has failed.
_WRAPPERS = (
    "subprocess.CalledProcessError",
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError",
    "datasets.exceptions.DatasetGenerationError",
    "multiprocess.pool.RemoteTraceback",
    "concurrent.futures.process._RemoteTraceback",
    "SystemExit",
    "KeyboardInterrupt",
)
_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit|Warning|Traceback)\b")
_TRACEBACK = "Traceback (most recent call last)"
# Where another message begins, of LLaMA-Factory or of torch's own log.
_NEXT = re.compile(r"\s*$|\[|[EWIF]\d{4} |The above|During|={4}|-{4}")
# torchrun puts "[rank0]: " before each line of a traceback.
_RANK = re.compile(r"^\[rank\d+\]:\s?")
_KILLED_CHILD = re.compile(r"exitcode\s*:\s*-(\d+)")
_FULL = ("No space left on device", "os error 28", "Disk quota exceeded")
# What torch says when the disk is full under a checkpoint.
_CUT = ("PytorchStreamWriter failed", "unexpected pos ")
_MEMORY = re.compile(
    r"out of memory|OutOfMemory|can't allocate memory|Cannot allocate memory|bad_alloc"
    r"|\bMemoryError\b|No available memory|less than desired GPU memory|KV cache is needed",
    re.IGNORECASE,
)
_ERROR = re.compile(r"\b([A-Za-z_.]*(Error|Exception|Refused)|error): *(?=\S)")
_NO_CAUSE = re.compile(r"root cause|Engine core init|Application startup failed")
_SIGNALS = {int(number): f" ({number.name})" for number in signal.Signals}
_LONGEST = 500
_NO_ROOM = 10_000_000  # bytes


def explain(code: int, log: str, free: int, more: Sequence[str] = ()) -> str:
    less = f": {', '.join(more)}" if more else ""
    line = reason(log)
    is_cut = code > 0 or any(sign in log for sign in _CUT)
    if any(sign in log for sign in _FULL) or (free < _NO_ROOM and is_cut):
        # The log itself is cut off then, mostly in the middle of a traceback.
        why = f": {line}" if any(sign in line for sign in (*_FULL, *_CUT)) else ""
        return (
            f"the disk is full ({free / 1e9:.2f} GB free){why}. Make room, then the same command "
            "with --resume goes on from the last whole checkpoint"
        )
    killed = _KILLED_CHILD.search(log)
    number = -code if code < 0 else int(killed[1]) if killed else 0
    if number == signal.SIGKILL:
        return (
            "killed by signal 9, which is mostly the kernel when memory runs out. Take less "
            f"memory{less}; --resume goes on from the last whole checkpoint"
        )
    if number:
        last = f"; its last line: {line}" if line else ""
        return f"ended by signal {number}{_SIGNALS.get(number, '')}{last}"
    if _MEMORY.search(line):
        return f"{line.split('. ')[0]}. Take less memory{less}"
    return line or f"it ended with exit code {code} and said nothing"


def reason(log: str) -> str:
    """Return the line of a log that says what was wrong, '' if it is empty.

    The exception of the last traceback that is not there only to pass on another; failing that
    the last line with an error in it; failing that the last line.
    """
    lines = [_RANK.sub("", part) for line in log.splitlines() for part in line.split("\r")]
    # What each traceback ends with: the exception and the lines of its message.
    exceptions, inside = [], False
    for place, line in enumerate(lines):
        if _TRACEBACK in line:
            inside = True
        elif inside and line[:1].strip() and _EXCEPTION.match(line):
            message = itertools.takewhile(
                lambda more: _TRACEBACK not in more and not _NEXT.match(more),
                lines[place + 1 : place + 6],
            )
            exceptions.append(" ".join(part.strip() for part in (line, *message)))
            inside = False
    if raised := [line for line in exceptions if not line.startswith(_WRAPPERS)]:
        return _short(raised[-1])
    filled = [line.strip() for line in lines if line.strip()]
    wrong = [line for line in filled if re.search(r"\b(error|fatal|cannot)\b", line, re.IGNORECASE)]
    return _short((wrong or filled or [""])[-1])


def reason_in(log: Path) -> str:
    return reason(log.read_text(encoding="utf-8", errors="replace")) or "it said nothing"


def _short(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def explain_server(log: Path, code: int | None) -> str:
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    lines = text.splitlines()[-400:]
    memory = [line for line in lines if _MEMORY.search(line) and "INFO" not in line]
    if memory or code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        why = _after_time(memory[-1]) if memory else "it was killed, mostly a sign of that"
        return (
            f"out of memory ({why}). Take a smaller model, make it smaller with `deploy "
            "quantize`, shorten its context with --max-length, or end other programs"
        )
    errors = [line for line in lines if _ERROR.search(line) and not _NO_CAUSE.search(line)]
    return _after_time(errors[-1]) if errors else f"it ended with code {code} and said nothing"


def _after_time(line: str) -> str:
    """Return what an error line says, without time, process and file before it."""
    error = _ERROR.search(line)
    return _short(" ".join(line[error.start() if error else 0 :].split())).rstrip(".")
