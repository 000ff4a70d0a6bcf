"""How much memory there is, by the machine and by the container that this process runs in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CACHED = ("inactive_file", "active_file")  # pages of files: they give way when programs ask


def free_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of main memory that programs can still get; None where it is not known.

    The limits of the process's control groups (version 1 or 2) count where they are lower. Files
    that lie in memory as a cache are not counted as used, neither by the kernel nor here.
    """
    free = _from_kernel(root, "MemAvailable:")
    for folder, limit, usage, prefix in _groups(root):
        with suppress(OSError, ValueError):  # no such file, or "max": no limit
            most = int((folder / limit).read_text(encoding="ascii"))
            used = int((folder / usage).read_text(encoding="ascii"))
            stat = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
            counts = {key: int(count) for key, count in (line.split() for line in stat)}
            free.append(most - used + sum(counts.get(prefix + key, 0) for key in _CACHED))
    return max(0, min(free)) if free else None


def total_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes of main memory that programs can have in all; None where it is not known."""
    total = _from_kernel(root, "MemTotal:")
    for folder, limit, _, _ in _groups(root):
        with suppress(OSError, ValueError):  # no such file, or "max": no limit
            total.append(int((folder / limit).read_text(encoding="ascii")))
    return min(total) if total else None


def _from_kernel(root: Path, name: str) -> list[int]:
    """Return the bytes that a line of meminfo says, else the machine's memory; [] for neither."""
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        line = next(line for line in lines if line.startswith(name))
        return [int(line.split()[1]) * 1024]
    with suppress(OSError, ValueError, AttributeError):
        return [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    return []


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
