"""What a run needs against what this machine has, before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from train.memory.catalogue import KNOWN
from train.memory.estimate import Estimate, estimate
from train.memory.formulas import GIB
from train.memory.job import AUTO, Job
from train.memory.shape import shape_of
from train.planning.hardware import Hardware, detect

_SMALL = "smollm2"


@dataclass(frozen=True)
class Need:
    """An estimate beside the memory there is.

    Attributes:
        estimate: Bytes, part by part.
        hardware: This machine's.
        job: What was estimated.
        ways_out: What would take less, the most effective first, each with the bytes it takes.
    """

    estimate: Estimate
    hardware: Hardware
    job: Job
    ways_out: tuple[tuple[str, float], ...]

    @property
    def bytes(self) -> float:
        """The estimate's total."""
        return self.estimate.total

    @property
    def fits(self) -> bool:
        """Whether what is free now is enough."""
        return self.bytes <= self.hardware.memory

    @property
    def sentence(self) -> str:
        """One line with the numbers, and three ways out if it does not fit."""
        where = "this machine" if self.hardware.kind == "cpu" else "a GPU of this machine"
        has = _gib(self.hardware.memory)
        told = f"about {_gib(self.bytes)} are needed and {where} has {has}"
        if self.fits or not self.ways_out:
            return told
        ways = "; ".join(f"{way} ({_gib(takes)})" for way, takes in self.ways_out[:3])
        return f"{told}. It would take less with: {ways}"


def need(
    config: Mapping[str, Any], job: Job, name: str = "the model", hardware: Hardware | None = None
) -> Need:
    """Estimate a run for this machine.

    Example:
        >>> found = need(json.load(open("config.json")), Job(cutoff_len=512, batch=2))
        >>> found.bytes, found.fits, found.sentence
    """
    has = hardware or detect()
    device = "cpu" if has.kind == "cpu" else "gpu"
    shape, here = shape_of(config, name), replace(job, device=device)
    takes = estimate(shape, here)
    others = [(way, estimate(shape, other).total) for way, other in _smaller(here)]
    others.append(
        (
            f"--model {_SMALL}",
            estimate(shape_of(KNOWN[_SMALL], _SMALL), replace(here, target=AUTO)).total,
        )
    )
    better = sorted((each for each in others if each[1] < takes.total), key=lambda each: each[1])
    return Need(takes, has, here, tuple(better))


def _smaller(job: Job) -> list[tuple[str, Job]]:
    """Return jobs that do the same with less, as a user would type them."""
    found = []
    if job.method == "full":
        found.append(("--set finetuning_type=lora", replace(job, method="lora")))
    if job.method == "lora" and job.device == "gpu":
        found.append(("--set quantization_bit=4", replace(job, method="qlora", bits=4, zero=0)))
    if job.batch > 1:
        found.append(("--set per_device_train_batch_size=1", replace(job, batch=1)))
    if job.cutoff_len >= 256:
        half = job.cutoff_len // 2
        found.append((f"--set cutoff_len={half}", replace(job, cutoff_len=half)))
    if not job.half:
        found.append(("--set bf16=true", replace(job, precision="bf16")))
    return found


def _gib(number: float) -> str:
    return f"{number / GIB:,.1f} GiB"
