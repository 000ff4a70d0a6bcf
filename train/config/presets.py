"""The medical recipe on BLOOMZ-7B1, stage by stage, and the same made small for a CPU.

The recipe was published for flags of early 2024; here are the names that LLaMA-Factory 0.9.5
takes; pt, sft and dpo are its values one by one. The stages that it has not (rm, ppo, kto) come
from LLaMA-Factory's own examples for LoRA.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

STAGES = ("pt", "sft", "rm", "ppo", "dpo", "kto")


@dataclass(frozen=True)
class Preset:
    """How a stage is trained, before rows, model and hardware are looked at."""

    learning_rate: float = 5e-5
    epochs: float = 1.0
    cutoff_len: int = 1024  # tokens of a row, or of a packed block
    lora_rank: int = 8
    lora_alpha: int = 16
    batch: int = 2  # rows a device takes at once
    eval_batch: int | None = None  # None: as many as it trains on
    accumulation: int = 8
    warmup: float = 0.0  # share of the steps
    val_share: float = 0.0  # of the rows, held out
    max_val: int | None = None
    max_samples: int | None = None  # of a data set, the first of the file
    max_steps: int | None = None  # None: as many as the epochs have
    best_at_end: bool = False  # load the checkpoint of the lowest loss on the rows held out
    # Steps of warm-up, logging, saving and evaluating; what is not named hangs on the run's length.
    timing: Mapping[str, int] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)  # what only this stage has


# The preset quick takes the first that cuts fewer than half of the rows, else the last.
_QUICK_CUTOFF, *QUICK_CUTOFFS = 512, 768, 1024
_WORKERS = {"preprocessing_num_workers": 16}
_USUAL = {**_WORKERS, "flash_attn": "auto", "max_grad_norm": 1.0, "optim": "adamw_torch"}
_PREFERENCE = {"pref_beta": 0.1, "pref_ftx": 0.0, "pref_loss": "sigmoid"}


def _every(warmup: int, logging: int, saving: int) -> dict[str, int]:
    steps = {"warmup_steps": warmup, "logging_steps": logging}
    return {**steps, "save_steps": saving, "eval_steps": saving}


_TUTORIAL: Mapping[str, Preset] = {
    "pt": Preset(
        epochs=3.0,
        val_share=0.05,
        max_samples=100_000,
        timing=_every(0, 5, 100),
        more={**_USUAL, "packing": True},
    ),
    "sft": Preset(
        eval_batch=1,
        warmup=0.1,
        val_share=0.1,
        max_samples=20_000,
        best_at_end=True,
        timing=_every(1000, 2000, 2000),
        more={**_WORKERS, "overwrite_cache": True},
    ),
    "rm": Preset(learning_rate=1e-4, warmup=0.1, val_share=0.01),
    "ppo": Preset(
        learning_rate=1e-5,
        batch=1,
        warmup=0.1,
        more={"max_new_tokens": 512, "top_k": 0, "top_p": 0.9},
    ),
    "dpo": Preset(
        lora_rank=4,
        lora_alpha=8,
        eval_batch=1,
        warmup=0.1,
        val_share=0.01,
        max_samples=30_000,
        timing=_every(50, 100, 100),
        more={**_USUAL, **_PREFERENCE},
    ),
    "kto": Preset(learning_rate=5e-6, warmup=0.1, val_share=0.01, more={"pref_beta": 0.1}),
}


def _quick(stage: str, whole: Preset) -> Preset:
    """Return a stage made so small that a CPU does it in minutes with a model of 135M."""
    # Activations of a small model are small: computing them twice would cost a third of the time.
    more = {**whole.more, "disable_gradient_checkpointing": True}
    # Sixteen processes start more slowly than they read so few rows.
    more.pop("preprocessing_num_workers", None)
    more.pop("overwrite_cache", None)
    if stage == "ppo":
        more["max_new_tokens"] = 32
    return replace(
        whole,
        # Few steps have to show something: LoRA on a small model bears more than on a large one.
        learning_rate=max(whole.learning_rate, 2e-4 if stage in ("pt", "sft") else 5e-5),
        epochs=1.0,
        cutoff_len=_QUICK_CUTOFF,
        accumulation=2,
        max_val=8 if whole.val_share else None,
        max_samples=None,
        max_steps=4 if stage == "ppo" else 30,
        timing={},
        more=more,
    )


PRESETS: Mapping[str, Mapping[str, Preset]] = {
    "tutorial": _TUTORIAL,
    "quick": {stage: _quick(stage, preset) for stage, preset in _TUTORIAL.items()},
}
