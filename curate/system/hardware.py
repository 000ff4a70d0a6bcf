"""What this machine computes on, and its memory, by the machine and by this process's container."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_GPU_QUERY = ("--query-gpu=index,memory.total,compute_cap", "--format=csv,noheader,nounits")
# Below it bfloat16 is not in the silicon (Ampere is 8.0).
_BF16_SINCE = 8.0
_CACHED = ("inactive_file", "active_file")  # pages of files: they give way when programs ask


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of main memory that programs can still get; None where it is not known.

    The limits of the process's control groups (version 1 or 2) count where they are lower. Files
    that lie in memory as a cache are not counted as used, neither by the kernel nor here.
    """
    return _memory(root, "MemAvailable:", less_used=True)


def total_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of main memory that programs can have in all; None where it is not known."""
    return _memory(root, "MemTotal:", less_used=False)


def _memory(root: Path, name: str, less_used: bool) -> int | None:
    """Return the least of what a line of meminfo, or the machine, and every control group says."""
    sizes = []
    with suppress(OSError, ValueError, AttributeError):
        sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith(name))
        sizes = [int(line.split()[1]) * 1024]
    for folder, limit, usage, prefix in _groups(root):
        with suppress(OSError, ValueError):  # no such file, or "max": no limit
            size = int((folder / limit).read_text(encoding="ascii"))
            if less_used:
                stat = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
                counts = {key: int(count) for key, count in (line.split() for line in stat)}
                size += sum(counts.get(prefix + key, 0) for key in _CACHED)
                size -= int((folder / usage).read_text(encoding="ascii"))
            sizes.append(size)
    return max(0, min(sizes)) if sizes else None


def _groups(root: Path) -> Iterator[tuple[Path, str, str, str]]:
    """Yield this process's groups and those above them, with the names of their files."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    # In a container the path is often the host's, and the group lies at the top.
    own = {2: {"/"}, 1: {"/"}}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            own[1 if controllers else 2] |= {path, *map(str, Path(path).parents)}
    for path in sorted(own[2]):
        folder = root / "sys/fs/cgroup" / path.lstrip("/")
        yield folder, "memory.max", "memory.current", ""
    for path in sorted(own[1]):
        folder = root / "sys/fs/cgroup/memory" / path.lstrip("/")
        yield folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"


@dataclass(frozen=True)
class Hardware:
    """What trains: the CPU, or GPUs of which each has so many bytes."""

    kind: Literal["cpu", "cuda"]
    count: int
    memory: int
    bf16: bool

    @property
    def name(self) -> str:
        if self.kind == "cpu":
            return "CPU"
        return "GPU" if self.count == 1 else f"{self.count} GPUs"


def detect(only_cpu: bool = False, visible: str | None = None) -> Hardware:
    """Return the GPUs that torch can use, of those that are `visible`, else the CPU.

    A build of torch that knows no CUDA trains on the CPU, whatever is plugged in.
    """
    torch = ""
    with suppress(importlib.metadata.PackageNotFoundError):
        torch = importlib.metadata.version("torch")
    on_cpu = only_cpu or torch.endswith("+cpu") or bool(torch and platform.system() == "Darwin")
    gpus = [] if on_cpu else _gpus(visible)
    if not gpus:
        # Whether the CPU multiplies in bfloat16; others are slower at it than fp32.
        words = {
            w for line in cpu_info() if line.startswith(("flags", "Features")) for w in line.split()
        }
        has_bf16 = bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
        return Hardware("cpu", 1, free_memory() or 0, has_bf16)
    bf16 = min(capability for _, capability in gpus) >= _BF16_SINCE
    return Hardware("cuda", len(gpus), min(memory for memory, _ in gpus), bf16)


def _gpus(visible: str | None = None) -> list[tuple[int, float]]:
    """Return bytes and compute capability of the GPUs that CUDA_VISIBLE_DEVICES leaves."""
    try:
        table = subprocess.run(
            ["nvidia-smi", *_GPU_QUERY], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    gpus = {}
    for line in table.splitlines():
        with suppress(ValueError):
            index, memory, capability = (cell.strip() for cell in line.split(","))
            gpus[index] = (int(memory) * 2**20, float(capability))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
    if visible is None:
        return list(gpus.values())
    # Names such as GPU-8f6… are not looked up: each is taken for a card like the first. What is
    # neither ends the list, as it does for CUDA: -1, or a number that no card has.
    names = map(str.strip, visible.split(","))
    chosen = itertools.takewhile(lambda n: n in gpus or n.startswith(("GPU-", "MIG-")), names)
    return [gpus.get(name, next(iter(gpus.values()))) for name in chosen] if gpus else []


def cpu_info() -> list[str]:
    """Return what Linux says of the CPU, line by line; [] elsewhere."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def has_gpu() -> bool:
    """Return whether there is a CUDA device that this process may use, without loading torch."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return Path("/dev/nvidiactl").exists() and allowed not in ("", "-1")
