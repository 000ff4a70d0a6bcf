"""Free memory in containers, on made-up files of the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.system.hardware import _gpus, free_memory, total_memory

GIB = 2**30
STAT = {"anon": 2 * GIB, "inactive_file": 9 * GIB, "active_file": 4 * GIB}


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(
        f"MemTotal: {96 * 2**20} kB\nMemAvailable: {64 * 2**20} kB\n"
    )
    return tmp_path


def group(folder: Path, limit: str, version: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current")
    names = names if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{15 * GIB}\n")
    prefix = "" if version == 2 else "total_"
    lines = [f"{prefix}{key} {count}" for key, count in STAT.items()]
    (folder / "memory.stat").write_text("\n".join(lines) + "\n")


def test_without_groups_it_is_what_the_kernel_says(kernel: Path) -> None:
    assert free_memory(kernel) == 64 * GIB


@pytest.mark.parametrize("where", ["", "pod/box"])
def test_cached_files_are_not_used_memory(kernel: Path, where: str) -> None:
    (kernel / "proc/self/cgroup").write_text(f"0::/{where}\n")
    group(kernel / "sys/fs/cgroup" / where, str(16 * GIB), 2)
    assert free_memory(kernel) == 14 * GIB


@pytest.mark.parametrize("where", ["", "docker/box"])
def test_groups_of_version_1(kernel: Path, where: str) -> None:
    (kernel / "proc/self/cgroup").write_text(f"9:name=systemd:/\n4:cpu,memory:/{where}\n0::/\n")
    group(kernel / "sys/fs/cgroup/memory" / where, str(16 * GIB), 1)
    assert free_memory(kernel) == 14 * GIB


def test_a_limit_above_counts_and_none_is_none(kernel: Path) -> None:
    (kernel / "proc/self/cgroup").write_text("0::/pod/box\n")
    group(kernel / "sys/fs/cgroup/pod/box", "max", 2)
    assert free_memory(kernel) == 64 * GIB
    group(kernel / "sys/fs/cgroup/pod", str(15 * GIB), 2)
    assert free_memory(kernel) == 13 * GIB


@pytest.mark.parametrize(("version", "where"), [(2, "sys/fs/cgroup"), (1, "sys/fs/cgroup/memory")])
def test_all_there_is_ends_at_the_containers_limit(kernel: Path, version: int, where: str) -> None:
    assert total_memory(kernel) == 96 * GIB
    group(kernel / where, str(2**63 - 4096) if version == 1 else "max", version)
    assert total_memory(kernel) == 96 * GIB
    group(kernel / where, str(16 * GIB), version)
    assert total_memory(kernel) == 16 * GIB


@pytest.mark.parametrize(
    ("visible", "cards"),
    [
        *(("0", [80]), ("1,0", [24, 80]), (" 1 , 0 ", [24, 80]), ("GPU-8f6a,MIG-1", [80, 80])),
        *(("", []), ("-1", []), ("0,-1,1", [80]), ("2", []), ("1,7,0", [24])),
    ],
)
def test_cards_that_cuda_would_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str, cards: list[int]
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, 81920, 9.0'\necho '1, 24576, 8.6'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert [size // GIB for size, _ in _gpus(visible)] == cards
