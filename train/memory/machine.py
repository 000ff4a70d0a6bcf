"""What memory this machine has: its GPU if it has one, else its RAM."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 10.0
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Machine:
    """Memory that a training run can use.

    Attributes:
        device: `gpu` or `cpu`.
        name: Of the GPU, or `RAM`.
        total: Bytes.
        free: Bytes that nothing else holds just now.
        gpus: How many of them there are; 0 without one.
    """

    device: str
    name: str
    total: int
    free: int
    gpus: int


def this_machine() -> Machine:
    """Return the GPU with the least free memory, of those a run would see, or the RAM.

    Example:
        >>> this_machine()
        Machine(device='cpu', name='RAM', total=25282199552, free=23622320128, gpus=0)
    """
    return _gpus() or _ram()


def _gpus() -> Machine | None:
    """Ask the driver's own program: importing torch for it would take seconds."""
    program = shutil.which("nvidia-smi")
    if not program or os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return None
    query = ["--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(
            [program, *query], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return read_gpus(told.stdout, os.environ.get("CUDA_VISIBLE_DEVICES"))


def read_gpus(table: str, visible: str | None) -> Machine | None:
    """Read the table of nvidia-smi: name, total and free MiB, a line a GPU.

    Args:
        table: The output.
        visible: CUDA_VISIBLE_DEVICES; names that are no numbers leave every GPU in.

    Example:
        >>> read_gpus("NVIDIA A10, 23028, 22515", None).free == 22515 * 1024**2
        True
    """
    lines = [[cell.strip() for cell in line.split(",")] for line in table.splitlines()]
    found = [line for line in lines if len(line) == 3 and line[1].isdigit() and line[2].isdigit()]
    places = [each.strip() for each in (visible or "").split(",")]
    if visible and all(each.isdigit() for each in places):
        found = [found[int(each)] for each in places if int(each) < len(found)]
    if not found:
        return None
    least = min(found, key=lambda line: int(line[2]))
    return Machine("gpu", least[0], int(least[1]) << 20, int(least[2]) << 20, len(found))


def _ram() -> Machine:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = total
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    limit, used = _limit()
    if limit and limit < total:
        total, free = limit, min(free, max(0, limit - used))
    return Machine("cpu", "RAM", total, free, 0)


def _limit() -> tuple[int, int]:
    """Return a container's own limit and what it uses of it, or zeros."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            most = int((_CGROUP / limit).read_text(encoding="ascii"))
            return most, int((_CGROUP / used).read_text(encoding="ascii"))
    return 0, 0
