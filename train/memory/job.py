"""What is to be trained, and how: the parameters of an estimate."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import UsageError, did_you_mean

STAGES = ("pt", "sft", "rm", "dpo", "kto", "ppo")
METHODS = ("full", "lora", "qlora")
PRECISIONS = ("bf16", "fp16", "fp32", "pure_bf16")
# Bytes of state that an optimiser keeps for each number it trains, in fp32.
OPTIMIZERS = {"adamw": 8, "adamw_8bit": 2, "sgd": 4, "adafactor": 0}
BITS = (2, 4, 8)
DEVICES = ("gpu", "cpu")
AUTO = "auto"


@dataclass(frozen=True)
class Job:
    """One way to train a model.

    Attributes:
        stage: `pt`, `sft`, `rm`, `dpo`, `kto` or `ppo`.
        method: `full`, `lora` or `qlora`.
        precision: `bf16` or `fp16` (mixed, fp32 masters), `fp32`, or `pure_bf16` (all in bf16).
        cutoff_len: Longest sequence in tokens.
        batch: Samples a device takes at once.
        bits: Of the quantised weights of `qlora`.
        rank: r of LoRA.
        target: Names of the modules that get an adapter, by commas; `all`; or `auto`:
            query_key_value for BLOOM, else all.
        optimizer: `adamw`, `adamw_8bit`, `sgd` or `adafactor`.
        checkpointing: Compute activations again in the backward pass (LLaMA-Factory's default).
        flash: Attention that does not keep its scores (flash attention, SDPA).
        zero: ZeRO stage, 0 for none.
        gpus: Devices that share the work.
        device: `gpu` or `cpu`: what a process costs before any model is in it.
    """

    stage: str = "sft"
    method: str = "lora"
    precision: str = "bf16"
    cutoff_len: int = 1024
    batch: int = 1
    bits: int = 4
    rank: int = 8
    target: str = AUTO
    optimizer: str = "adamw"
    checkpointing: bool = True
    flash: bool = True
    zero: int = 0
    gpus: int = 1
    device: str = "gpu"

    def __post_init__(self) -> None:
        """Refuse what there is no formula for."""
        _one_of("--stage", self.stage, STAGES)
        _one_of("--method", self.method, METHODS)
        _one_of("--precision", self.precision, PRECISIONS)
        _one_of("--optimizer", self.optimizer, tuple(OPTIMIZERS))
        _one_of("device", self.device, DEVICES)
        for option, value in (
            ("--cutoff-len", self.cutoff_len),
            ("--batch", self.batch),
            ("--lora-rank", self.rank),
            ("--gpus", self.gpus),
        ):
            if value < 1:
                raise UsageError(f"{option} {value}: allowed are 1 and more")
        if self.bits not in BITS:
            raise UsageError(f"--bits {self.bits}: allowed are {', '.join(map(str, BITS))}")
        if self.zero not in (0, 1, 2, 3):
            raise UsageError(
                f"--zero {self.zero}: allowed are 0 (nothing is divided), 1 (states of the "
                "optimiser), 2 (gradients too) and 3 (weights too)"
            )
        if self.zero and self.method == "qlora":
            raise UsageError("--zero and qlora: quantised weights are not divided; --method lora")

    @property
    def half(self) -> bool:
        """Whether activations are computed in 16 bits."""
        return self.precision != "fp32"


def _one_of(option: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        hint = did_you_mean(given, allowed)
        raise UsageError(f"{option} {given}: allowed are {', '.join(allowed)}.{hint}")
