"""How many bytes training or running a model takes on one device: the formulas, and their sum.

Sources: ZeRO (arXiv 1910.02054) for bytes a parameter, Korthikanti et al. (arXiv 2205.05198) for
activations, LoRA (arXiv 2106.09685), QLoRA (arXiv 2305.14314).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from typer import Option

from curate.errors import UsageError, did_you_mean
from curate.parameters.option import check, filled_in, option
from curate.system.hardware import Hardware
from train.memory.model_shape import ModelShape

GIB = 1024**3
METHODS = ("full", "lora", "qlora")
# Bytes of state that an optimiser keeps for each number it trains, in fp32.
OPTIMIZERS = {"adamw": 8, "adamw_8bit": 2, "sgd": 4, "adafactor": 0}
# A CUDA context with its libraries takes 0.3 to 2 GB; a process with torch, transformers and
# LLaMA-Factory in it was measured on CPU. Beside peaks of real runs there (SmolLM2, LoRA, 2 x 512
# and 2 x 1,024 tokens, with and without checkpointing, dpo) the estimate is 0.90 to 1.12 times it.
_FIXED = {"gpu": 0.8 * GIB, "cpu": 0.9 * GIB}
# The allocator keeps more than is asked of it, where blocks come and go: 5 to 10 %.
_FRAGMENTS = 0.05
STAGES = ("pt", "sft", "rm", "dpo", "kto", "ppo")
# Sequences of a sample that are learned from, and others whose logits lie beside them.
_LEARNED = {"rm": 2, "dpo": 2}
COMPARED = {"dpo": 2, "kto": 1, "ppo": 1}
# NF4 with double quantisation: 4 bits, and for 64 weights one byte, and for 256 of these one float.
_CONSTANTS = 1 / 64 + 4 / (64 * 256)


@dataclass(frozen=True)
class Job:
    """One way to train a model; most fields are options of `train estimate`."""

    method: str = filled_in("lora", allowed=METHODS)
    # bf16 or fp16 (mixed, fp32 masters), fp32, or pure_bf16 (all in bf16)
    precision: str = filled_in("bf16", allowed=("bf16", "fp16", "fp32", "pure_bf16"))
    device: str = filled_in("gpu")  # or cpu: what a process costs before any model is in it
    # Bytes of a weight in the model's files, as LLaMA-Factory keeps what is not trained; 0: not
    # known, and taken to be what it computes with.
    stored: int = filled_in(0)
    # Of full training: only so many of the last layers, below 0 of the first (freeze); None: all
    layers: int | None = filled_in(None)
    # Embedding and head where they are trained besides, by freeze_extra_modules, additional_target
    embeddings: int = filled_in(0)
    others: int = filled_in(0)  # whole models beside it, besides full training's reference
    compared: bool = filled_in(True)  # with what it was before; orpo and simpo are not
    stage: str = option("sft", "What is trained.", allowed=STAGES)
    cutoff_len: int = option(1024, "Tokens of the longest sequence.", least=1)
    batch: int = option(1, "Samples a GPU takes at once.", least=1)
    bits: int = option(4, "Of qlora's weights.", allowed=("2", "4", "8"))
    lora_rank: int = option(8, "r of LoRA.", least=1)
    # auto: query_key_value for BLOOM, else all
    lora_target: str = option("auto", "Modules by commas, all, or auto.")
    optimizer: str = option("adamw", "Of the weights.", allowed=tuple(OPTIMIZERS))
    checkpointing: Annotated[bool, Option(help="Compute activations again going back.")] = True
    zero: int = option(0, "ZeRO stage of DeepSpeed.", allowed=("0", "1", "2", "3"))
    gpus: int = option(1, "GPUs that share the work.", least=1)

    def __post_init__(self) -> None:
        check(self)
        if self.zero and self.method == "qlora":
            raise UsageError("--zero and qlora: quantised weights are not divided; --method lora")

    @property
    def sequences(self) -> int:
        return self.batch * _LEARNED.get(self.stage, 1)

    @property
    def wide(self) -> int:
        """Bytes of a number in activations; pure_bf16 leaves all as the model's files have it."""
        if self.precision == "pure_bf16" and self.stage != "ppo":
            return self.stored or 2
        return 4 if self.precision == "fp32" else 2

    @property
    def frozen(self) -> int:
        """Bytes of a weight that is not trained; the release of ppo, 0.9.3, casts them all."""
        return self.wide if self.stage == "ppo" else self.stored or self.wide


def estimate(shape: ModelShape, job: Job) -> dict[str, float]:
    """Return the bytes that training takes on one device at its peak, by the name of each part.

    `reference` are frozen models beside it, such as the one that DPO, KTO and PPO compare with if
    all is trained; the `optimizer` has the fp32 masters of mixed precision; the allocator's waste
    is in `fixed`.
    ZeRO-1 divides what the optimiser has, 2 the gradients too, 3 the weights too.
    """
    weight_bytes, gradient_bytes, state_bytes = bytes_a_parameter(job)
    on_each = [1 / job.gpus if job.zero >= since else 1.0 for since in (3, 2, 1)]
    trained, full = trainable(shape, job), job.method == "full"
    if job.method == "qlora":
        linear = shape.parameters - shape.unquantised
        frozen = quantised(linear, job.bits) + shape.unquantised * job.frozen
    else:
        frozen = float((shape.parameters - (trained if full else 0)) * job.frozen)
    learned = job.sequences * job.cutoff_len
    compared = job.compared * COMPARED.get(job.stage, 0) * job.batch * job.cutoff_len
    gradients = trained * gradient_bytes * on_each[1]
    kept = activations(shape, job)
    seen = logits(learned, shape.vocabulary, job.wide, backward=job.stage != "rm")
    seen += logits(compared, shape.vocabulary, job.wide, backward=False)
    if job.device == "cpu" and job.wide == 2:
        # Measured there: the logarithms of the softmax lie beside the copy in fp32, too.
        seen += learned * shape.vocabulary * 4
    reference = (job.others + (full and compared > 0)) * shape.parameters * job.frozen
    return {
        "weights": (frozen + trained * weight_bytes) * on_each[0],
        "reference": reference * on_each[0],
        "gradients": gradients,
        "optimizer": trained * state_bytes * on_each[2],
        "activations": kept,
        "logits": seen,
        "fixed": _FIXED[job.device] + _FRAGMENTS * (gradients + kept + seen),
    }


def total(shape: ModelShape, job: Job) -> float:
    return sum(estimate(shape, job).values())


def inference(shape: ModelShape, tokens: int) -> tuple[float, float]:
    """P·2 and 2·L·n_kv·d·s·b·2: bytes of weights and KV cache when the model answers in bf16."""
    cache = 2 * shape.layers * shape.kv_heads * shape.head_width * tokens * 2
    return shape.parameters * 2.0, float(cache)


def activations(shape: ModelShape, job: Job) -> float:
    """What forward passes keep: all of each layer, or (section 5) its input, and one layer."""
    tokens = job.sequences * job.cutoff_len
    layer = layer_activations(tokens, shape.hidden, shape.inner, shape.gated, job.wide)
    # Below the first layer that is trained nothing is kept, and frozen ones are not computed again.
    frozen = job.layers is not None
    ends = job.layers is not None and job.layers >= 0 and not job.embeddings
    depth = min(job.layers or 0, shape.layers) if ends else shape.layers
    if not job.checkpointing or (frozen and not ends):
        # An adapter has weights in fp32: autocast keeps what enters each of them once more.
        ranks = trainable(shape, replace(job, embeddings=0)) / job.lora_rank
        return layer * depth + (tokens * ranks if job.method != "full" and job.wide == 2 else 0.0)
    return tokens * shape.hidden * depth * job.wide + layer


def trainable(shape: ModelShape, job: Job) -> int:
    """All parameters or some layers', or Σ r·(d_in + d_out), LoRA's on the target's modules."""
    embedding = shape.vocabulary * shape.hidden
    if job.method == "full":
        if job.layers is None:
            return shape.parameters
        inside = shape.parameters - embedding * min(2, shape.unquantised // embedding)
        some = inside * min(abs(job.layers), shape.layers) // shape.layers
        return some + job.embeddings * embedding
    target = job.lora_target
    if target == "auto":
        target = "query_key_value" if shape.kind == "bloom" else "all"
    names = set(shape.modules)
    wanted = names if target == "all" else {name.strip() for name in target.split(",")}
    for name in sorted(wanted - names):
        raise UsageError(
            f"--lora-target {name}: {shape.name} has no such module; it has "
            f"{', '.join(sorted(names))}, or say all.{did_you_mean(name, names)}"
        )
    return job.lora_rank * sum(map(shape.modules.__getitem__, wanted)) + job.embeddings * embedding


def saved(shape: ModelShape, job: Job) -> int:
    """Return the bytes of the weights that a run saves: fp32, and a whole model's frozen ones."""
    trained, full = trainable(shape, job), job.method == "full"
    wide = job.wide if full and job.precision == "pure_bf16" else 4
    return trained * wide + full * (shape.parameters - trained) * job.frozen


def bytes_a_parameter(job: Job) -> tuple[int, int, int]:
    """Return the bytes of weight, gradient and optimiser for each number that is trained.

    Mixed precision as LLaMA-Factory runs it: fp32 masters and gradients, and the bf16 copies that
    autocast makes: 2 + 4 + (4 + 8) = 18. With gradients in bf16 (arXiv 1910.02054) it is 16.
    Without autocast all have the precision of the weights, of adapters always fp32.
    """
    states = OPTIMIZERS[job.optimizer]
    if job.precision in ("fp32", "pure_bf16"):
        wide = job.wide if job.method == "full" else 4
        return wide, wide, states if job.optimizer == "adamw_8bit" else states * wide // 4
    return 2, 4, 4 + states


def methods(job: Job, method: str | None, precision: str | None) -> list[tuple[str, Job]]:
    ways = []
    for name, usual in (("full", ("fp32", "bf16", "pure_bf16")), ("lora", ("bf16",))):
        for kind in (precision,) if precision else usual:
            if method in (None, name):
                ways.append((f"{name} {kind}", replace(job, method=name, precision=kind)))
    if method == "qlora" or (method is None and not job.zero):
        half = replace(job, method="qlora", precision="fp16" if precision == "fp16" else "bf16")
        bits = (job.bits,) if method else (8, 4)
        ways += [(f"qlora {number} bit", replace(half, bits=number)) for number in bits]
    return ways


def fits_here(shape: ModelShape, job: Job, hardware: Hardware) -> bool:
    """Return whether it fits what this machine has and can do.

    Without a GPU there are no quantised weights, and LLaMA-Factory refuses pure_bf16.
    """
    if hardware.kind == "cpu" and (job.method == "qlora" or job.precision == "pure_bf16"):
        return False
    device = "cpu" if hardware.kind == "cpu" else "gpu"
    return total(shape, replace(job, device=device)) <= hardware.memory


def quantised(linear: float, bits: int) -> float:
    """linear·(bits/8 + constants): the rest is not quantised."""
    return linear * (bits / 8 + (0.0 if bits == 8 else _CONSTANTS))


def layer_activations(tokens: int, hidden: int, inner: int, gated: bool, wide: int) -> float:
    """s·b·(18·h + 2·n·m)·bytes/2, where the inner part keeps n = 2 tensors of width m, gated 4.

    For m = 4·h and a plain one this is the s·b·h·34 of arXiv 2205.05198, equation 2, whose scores
    of attention (5·a·s/h) flash attention and SDPA do not keep.
    """
    return tokens * (18 * hidden + 2 * (4 if gated else 2) * inner) * wide / 2


def logits(tokens: int, vocabulary: int, wide: int, backward: bool = True) -> float:
    """s·b·V·(bytes + 4 [+ 4]): logits, their copy in fp32 and, in training, its gradient."""
    return tokens * vocabulary * (wide + 4 + (4 if backward else 0))
