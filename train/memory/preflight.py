"""What a run needs against what this machine has, before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from curate.system.hardware import Hardware
from train.memory.estimate import GIB, Job, total, trainable
from train.memory.model_shape import ModelShape, known_shape

_SMALL = "smollm2"


@dataclass(frozen=True)
class Need:
    """What a run takes on one device; and what would take less, the most effective first."""

    job: Job
    bytes: float
    trainable: int
    hardware: Hardware
    ways_out: tuple[tuple[str, float], ...]

    @property
    def fits(self) -> bool:
        return self.bytes <= self.hardware.memory

    @property
    def sentence(self) -> str:
        """One line with the numbers, and three ways out if it does not fit."""
        where = "this machine" if self.hardware.kind == "cpu" else "a GPU of this machine"
        has = _gib(self.hardware.memory)
        needed = f"about {_gib(self.bytes)} are needed and {where} has {has}"
        if self.fits or not self.ways_out:
            return needed
        ways = "; ".join(f"{way} ({_gib(takes)})" for way, takes in self.ways_out[:3])
        return f"{needed}. It would take less with: {ways}"


def need(shape: ModelShape, job: Job, hardware: Hardware) -> Need:
    """Estimate a run for a machine."""
    job = replace(job, device="cpu" if hardware.kind == "cpu" else "gpu")
    takes = total(shape, job)
    ways = [(way, total(shape, other)) for way, other in _smaller(job)]
    ways.append((f"--model {_SMALL}", total(known_shape(_SMALL), replace(job, target="auto"))))
    better = sorted((way for way in ways if way[1] < takes), key=lambda way: way[1])
    return Need(job, takes, trainable(shape, job), hardware, tuple(better))


def _smaller(job: Job) -> list[tuple[str, Job]]:
    """Return jobs that do the same with less, as a user would type them."""
    full, gpu, half = job.method == "full", job.device == "gpu", job.cutoff_len // 2
    ways: list[tuple[bool, str, dict[str, Any]]] = [
        (full, "finetuning_type=lora", {"method": "lora"}),
        (not full and gpu, "quantization_bit=4", {"method": "qlora", "bits": 4, "zero": 0}),
        (job.batch > 1, "per_device_train_batch_size=1", {"batch": 1}),
        (job.cutoff_len >= 256, f"cutoff_len={half}", {"cutoff_len": half}),
        (job.precision == "fp32", "bf16=true", {"precision": "bf16"}),
    ]
    return [(f"--set {way}", replace(job, **less)) for possible, way, less in ways if possible]


def _gib(number: float) -> str:
    return f"{number / GIB:,.1f} GiB"
