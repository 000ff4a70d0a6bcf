"""How much memory a process takes for itself, and what a command takes with all its processes."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


def _kilobytes(pid: int) -> dict[str, int]:
    """Return the kilobytes that a process has, by kind; none of one that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in status.splitlines() if "Rss" in line or "RSS" in line)
    return {name: int(value.split()[0]) for name, value in pairs}


def own_memory(process: subprocess.Popen[bytes]) -> int:
    """Return the most megabytes that a process had for itself, files in memory not counted."""
    most = 0
    while process.poll() is None:
        most = max(most, _kilobytes(process.pid).get("RssAnon", 0))
        time.sleep(0.005)
    return most // 1024


@dataclass(frozen=True)
class Usage:
    """What a command took.

    Attributes:
        code: Its exit code; None where it was ended for taking too long.
        seconds: On the wall, start-up included.
        cpu: Seconds of all cores, of the command and the processes that it waited for.
        own_mb: The most that it and all below it had for themselves at one time.
        rss_mb: The same with pages of files and shared memory, each as often as it is mapped.
        elsewhere: Cores that other programs kept busy meanwhile.
    """

    code: int | None
    seconds: float
    cpu: float
    own_mb: int
    rss_mb: int
    elsewhere: float


def measured(argv: list[str], limit: float, **how: Any) -> Usage:
    """Run a command to its end, or until so many seconds have passed; return what it took."""
    before, began = psutil.cpu_times(), time.perf_counter()
    process = psutil.Popen(argv, **how)
    ended, most, late = threading.Event(), Counter[str](), False

    def watch() -> None:
        nonlocal late
        pause = 0.02
        while not ended.wait(pause):
            looked = time.perf_counter()
            family = [process]
            with suppress(psutil.NoSuchProcess):
                family += process.children(recursive=True)
            kinds = [_kilobytes(each.pid) for each in family]
            most["own"] = max(most["own"], sum(each.get("RssAnon", 0) for each in kinds))
            most["rss"] = max(most["rss"], sum(each.get("VmRSS", 0) for each in kinds))
            if looked - began > limit:
                late = True
                for each in reversed(family):
                    with suppress(psutil.NoSuchProcess):
                        each.kill()
            # Looking takes a twentieth of a core at most.
            pause = max(0.02, 20 * (time.perf_counter() - looked))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds, after = time.perf_counter() - began, psutil.cpu_times()
    ended.set()
    watcher.join()
    cpu = usage.ru_utime + usage.ru_stime
    spent = {name: getattr(after, name) - getattr(before, name) for name in after._fields}
    busy = sum(spent.values()) - spent["idle"] - spent["iowait"] - spent["guest"]
    return Usage(
        code=None if late else os.waitstatus_to_exitcode(status),
        seconds=round(seconds, 3),
        cpu=round(cpu, 3),
        own_mb=most["own"] // 1024,
        rss_mb=most["rss"] // 1024,
        elsewhere=round(max(0.0, busy - cpu) / seconds, 2),
    )
