"""What this machine can train on, found without importing torch."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from curate.system.hardware import free_memory

_QUERY = ("--query-gpu=index,memory.total,compute_cap", "--format=csv,noheader,nounits")
# Below it bfloat16 is not in the silicon (Ampere is 8.0).
_BF16_SINCE = 8.0
_MIB = 2**20


@dataclass(frozen=True)
class Hardware:
    """What trains.

    Attributes:
        kind: `cpu` or `cuda`.
        count: Devices; LLaMA-Factory uses all it sees.
        memory: Bytes that one device has: of a GPU, or what is free of the main memory.
        bf16: Whether it computes in bfloat16.
    """

    kind: Literal["cpu", "cuda"]
    count: int
    memory: int
    bf16: bool

    @property
    def name(self) -> str:
        """What it is, for people."""
        if self.kind == "cpu":
            return "CPU"
        return "GPU" if self.count == 1 else f"{self.count} GPUs"


def detect() -> Hardware:
    """Return the GPUs that torch can use, else the CPU.

    A build of torch that knows no CUDA trains on the CPU, whatever is plugged in.
    """
    gpus = [] if _torch_is_for_cpus() else _gpus()
    if not gpus:
        return Hardware("cpu", 1, free_memory() or 0, _cpu_has_bf16())
    memory = min(each[0] for each in gpus)
    return Hardware("cuda", len(gpus), memory, min(each[1] for each in gpus) >= _BF16_SINCE)


def as_cpu(hardware: Hardware) -> Hardware:
    """Return the CPU of a machine: its user wants it though there may be a GPU."""
    if hardware.kind == "cpu":
        return hardware
    return Hardware("cpu", 1, free_memory() or 0, _cpu_has_bf16())


def _torch_is_for_cpus() -> bool:
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return False
    return version.endswith("+cpu") or platform.system() == "Darwin"


def _gpus() -> list[tuple[int, float]]:
    """Return bytes and compute capability of the GPUs that CUDA_VISIBLE_DEVICES leaves."""
    try:
        told = subprocess.run(
            ["nvidia-smi", *_QUERY], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    found = {}
    for line in told.splitlines():
        with suppress(ValueError):
            index, memory, capability = (each.strip() for each in line.split(","))
            found[index] = (int(memory) * _MIB, float(capability))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return list(found.values())
    chosen = [each.strip() for each in visible.split(",") if each.strip() not in ("", "-1")]
    # Names such as GPU-8f6… are not looked up: as many of them as there are cards.
    return [found.get(each, next(iter(found.values()))) for each in chosen] if found else []


def _cpu_has_bf16() -> bool:
    """Return whether the CPU multiplies in bfloat16; others are slower at it than fp32."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = {
        word
        for line in told.splitlines()
        if line.startswith(("flags", "Features"))
        for word in line.split()
    }
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})
