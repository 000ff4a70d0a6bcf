"""Join the formulas: how many bytes training or running a model takes on one device."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import UsageError, did_you_mean
from train.memory import formulas
from train.memory.formulas import GIB
from train.memory.job import AUTO, OPTIMIZERS, Job
from train.memory.shape import ModelShape

# A CUDA context with its libraries takes 0.3 to 2 GB; a process with torch, transformers and
# LLaMA-Factory in it was measured on CPU. Peak memory of real runs there (SmolLM2, 2 x 512 tokens):
# the estimate is 0.93 (LoRA bf16), 0.95 (LoRA fp32), 1.12 (full fp32) and 1.19 (full bf16) times
# what was measured; 0.77 for LoRA without checkpointing, where more is kept than the formula says.
FIXED = {"gpu": 0.8 * GIB, "cpu": 1.0 * GIB}
# The allocator keeps more than is asked of it, where blocks come and go: 5 to 10 %.
_FRAGMENTS = 0.05
# Stage: sequences with a gradient, sequences without one whose logits lie beside them.
_SEQUENCES = {
    "pt": (1, 0),
    "sft": (1, 0),
    "rm": (2, 0),
    "dpo": (2, 2),
    "kto": (1, 1),
    "ppo": (1, 1),
}
_REFERENCE = ("dpo", "kto", "ppo")


@dataclass(frozen=True)
class Estimate:
    """Bytes on one device, part by part.

    Attributes:
        weights: As they lie there for forward and backward passes.
        reference: A second, frozen model that DPO, KTO and PPO compare with.
        gradients: Of what is trained.
        optimizer: Its states, and with mixed precision the fp32 masters of the weights.
        activations: Kept for the backward pass.
        logits: With their copies and gradient.
        fixed: Of the process, and what the allocator wastes.
        trainable: Parameters that are trained; a number, no bytes.
    """

    weights: float
    reference: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    fixed: float
    trainable: int

    @property
    def total(self) -> float:
        """All bytes."""
        return self.states + self.activations + self.logits + self.fixed

    @property
    def states(self) -> float:
        """Bytes that do not depend on the data: weights, reference, gradients, optimiser."""
        return self.weights + self.reference + self.gradients + self.optimizer


def estimate(shape: ModelShape, job: Job) -> Estimate:
    """Estimate the peak of a training run on one device.

    Example:
        >>> estimate(shape_of(config, "bloomz-7b1"), Job(method="full")).total / 1024**3
        127.4
    """
    trained, others = _SEQUENCES[job.stage]
    tokens = job.batch * job.cutoff_len
    wide = 2 if job.half else 4
    share = formulas.zero_share(job.zero, job.gpus)
    trainable = shape.parameters if job.method == "full" else adapter(shape, job)
    weights, gradients, optimizer = _states(shape, job, trainable)
    copies = shape.parameters * wide if job.method == "full" and job.stage in _REFERENCE else 0.0
    kept = activations(shape, job)
    seen = formulas.logits(trained * tokens, shape.vocabulary, wide, job.stage != "rm")
    seen += formulas.logits(others * tokens, shape.vocabulary, wide, False)
    moving = gradients * share[1] + kept + seen
    return Estimate(
        weights=weights * share[0],
        reference=copies * share[0],
        gradients=gradients * share[1],
        optimizer=optimizer * share[2],
        activations=kept,
        logits=seen,
        fixed=FIXED[job.device] + _FRAGMENTS * moving,
        trainable=trainable,
    )


def inference(shape: ModelShape, tokens: int, bytes_each: int = 2) -> tuple[float, float]:
    """Return the bytes of weights and of the KV cache when the model answers.

    Example:
        >>> inference(shape_of(config, "bloomz-7b1"), 2048)
        (14138032128.0, 1006632960.0)
    """
    cache = formulas.kv_cache(shape.layers, shape.kv_heads, shape.head_width, tokens, bytes_each)
    return formulas.weights(shape.parameters, bytes_each), cache


def activations(shape: ModelShape, job: Job) -> float:
    """Return the bytes that forward passes keep for the backward pass."""
    sequences = _SEQUENCES[job.stage][0] * job.batch
    tokens, wide = sequences * job.cutoff_len, 2 if job.half else 4
    scores = (
        0.0
        if job.flash
        else formulas.attention_scores(sequences, job.cutoff_len, shape.heads, wide)
    )
    one = formulas.layer_activations(tokens, shape.hidden, shape.inner, shape.gated, wide, scores)
    if not job.checkpointing:
        return one * shape.layers
    return formulas.checkpointed(tokens, shape.hidden, shape.layers, wide, one)


def adapter(shape: ModelShape, job: Job) -> int:
    """Return the parameters of LoRA at the job's rank and target."""
    names = {name for name, _, _ in shape.matrices}
    target = job.target
    if target == AUTO:
        target = "query_key_value" if shape.kind == "bloom" else "all"
    wanted = names if target == "all" else {each.strip() for each in target.split(",")}
    for each in sorted(wanted - names):
        raise UsageError(
            f"--lora-target {each}: {shape.name} has no such module; it has "
            f"{', '.join(sorted(names))}, or say all.{did_you_mean(each, names)}"
        )
    chosen = [(inward, outward) for name, inward, outward in shape.matrices if name in wanted]
    return formulas.lora_parameters(job.rank, shape.layers, chosen)


def bytes_a_parameter(job: Job) -> tuple[int, int, int]:
    """Return the bytes of weight, gradient and optimiser for each number that is trained.

    Mixed precision as LLaMA-Factory runs it: fp32 masters and gradients, and the bf16 copies that
    autocast makes: 2 + 4 + (4 + 8) = 18. With gradients in bf16 (arXiv 1910.02054) it is 16.

    Example:
        >>> bytes_a_parameter(Job(precision="pure_bf16"))
        (2, 2, 4)
    """
    states = OPTIMIZERS[job.optimizer]
    if job.precision == "fp32":
        return 4, 4, states
    if job.precision == "pure_bf16":
        return 2, 2, states // 2 if job.optimizer != "adamw_8bit" else states
    return 2, 4, 4 + states


def _states(shape: ModelShape, job: Job, trainable: int) -> tuple[float, float, float]:
    weight, gradient, optimizer = bytes_a_parameter(job)
    if job.method == "full":
        frozen = 0.0
    elif job.method == "qlora":
        frozen = formulas.quantised(shape.linear, shape.embedding, job.bits)
    else:
        frozen = formulas.weights(shape.parameters, 2 if job.half else 4)
    return (
        frozen + formulas.weights(trainable, weight),
        formulas.weights(trainable, gradient),
        formulas.weights(trainable, optimizer),
    )
