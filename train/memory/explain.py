"""Tables and sentences of an estimate: which methods, what fits which card, why so many times."""

from __future__ import annotations

from dataclasses import replace

from train.memory.estimate import activations, bytes_a_parameter, estimate, inference
from train.memory.formulas import GIB
from train.memory.job import Job
from train.memory.shape import ModelShape
from train.planning.hardware import Hardware

CARDS = (8, 12, 16, 24, 40, 48, 80)
_TOGETHER = (2, 4, 8)


def methods(job: Job, method: str | None, precision: str | None) -> list[tuple[str, Job]]:
    """Return the ways of training to compare, each under its name.

    Example:
        >>> [name for name, _ in methods(Job(), "lora", None)]
        ['lora bf16']
    """
    found = []
    if method in (None, "full"):
        for each in (precision,) if precision else ("fp32", "bf16", "pure_bf16"):
            found.append((f"full {each}", replace(job, method="full", precision=each)))
    if method in (None, "lora"):
        half = precision or "bf16"
        found.append((f"lora {half}", replace(job, method="lora", precision=half)))
    if method == "qlora" or (method is None and not job.zero):
        half = "fp16" if precision == "fp16" else "bf16"
        for bits in (8, 4) if method is None else (job.bits,):
            other = replace(job, method="qlora", precision=half, bits=bits)
            found.append((f"qlora {bits} bit", other))
    return found


def fits(shape: ModelShape, job: Job, gib: float) -> str:
    """Return whether a card holds it: `yes`, how many of them with ZeRO-3, or `-`.

    Example:
        >>> fits(shape_of(KNOWN["llama-2-7b"], "llama-2-7b"), Job(method="full"), 80)
        '2x'
    """
    if estimate(shape, job).total <= gib * GIB:
        return "yes"
    if job.gpus > 1 or job.method == "qlora":
        return "-"
    for number in _TOGETHER:
        if estimate(shape, replace(job, zero=3, gpus=number)).total <= gib * GIB:
            return f"{number}x"
    return "-"


def fits_here(shape: ModelShape, job: Job, hardware: Hardware) -> bool:
    """Return whether it fits what this machine has and can do.

    Without a GPU there are no quantised weights, and LLaMA-Factory refuses pure_bf16.
    """
    if hardware.kind == "cpu" and (job.method == "qlora" or job.precision == "pure_bf16"):
        return False
    here = replace(job, device="cpu" if hardware.kind == "cpu" else "gpu")
    return estimate(shape, here).total <= hardware.memory


def variants(shape: ModelShape, job: Job) -> dict[str, float]:
    """Return the bytes of activations with and without checkpointing and flash attention."""
    return {
        f"{'checkpointing' if again else 'no checkpointing'}, "
        f"{'flash attention' if flash else 'no flash attention'}": activations(
            shape, replace(job, checkpointing=again, flash=flash)
        )
        for again in (True, False)
        for flash in (True, False)
    }


def why(shape: ModelShape, job: Job) -> list[str]:
    """Say how many times inference full training takes, and why the usual rule is out of date."""
    lines = ["How many times inference is full training? By what a parameter takes (AdamW):"]
    for precision, bytes_each in (("fp32", 4), ("pure_bf16", 2), ("bf16", 2)):
        full = replace(job, method="full", precision=precision, optimizer="adamw", zero=0, gpus=1)
        weight, gradient, states = bytes_a_parameter(full)
        total = weight + gradient + states
        whole = estimate(shape, full).total / inference(shape, 0, bytes_each)[0]
        lines.append(
            f"  {precision + ':':<11}{weight} weight + {gradient} gradient + {states} "
            f"{'masters and states' if states > 8 else 'states'} = {total} B, "
            f"{total / bytes_each:.0f} times the {bytes_each} B of inference; here, with all the "
            f"rest, {whole:.1f} times"
        )
    lines.append(
        "  So '4 to 5 times inference' holds where weights, gradients and states are of one "
        "precision (fp32, pure_bf16).\n"
        "  Mixed precision keeps masters and states in fp32 and compares with inference in bf16: "
        "8 times (gradients in bf16, 16 B) to 9 times (in fp32, 18 B)."
    )
    return lines


def gib(number: float) -> str:
    """Return bytes in GiB: two places below 10, one above.

    Example:
        >>> gib(14138032128)
        '13.2'
    """
    value = number / GIB
    return f"{value:,.2f}" if value < 10 else f"{value:,.1f}"
