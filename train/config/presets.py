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

    keys: Mapping[str, Any]  # LLaMA-Factory's
    # Steps of warm-up, logging, saving and evaluating; what is not named hangs on the run's length.
    timing: Mapping[str, int] = field(default_factory=dict)
    warmup: float = 0.0  # share of the steps
    val_share: float = 0.0  # of the rows, held out
    max_val: int | None = None
    best_at_end: bool = False  # load the checkpoint of the lowest loss on the rows held out


# The preset quick takes the first that cuts fewer than half of the rows, else the last.
_QUICK_CUTOFF, *QUICK_CUTOFFS = 512, 768, 1024
_USUAL = {
    **{"cutoff_len": 1024, "lora_rank": 8, "lora_alpha": 16, "lora_dropout": 0.0},
    **{"per_device_train_batch_size": 2, "per_device_eval_batch_size": 2},
    **{"gradient_accumulation_steps": 8, "num_train_epochs": 1.0},
    **{"learning_rate": 5e-5, "lr_scheduler_type": "cosine"},
}
_WORKERS = {"preprocessing_num_workers": 16}
_FLAGS = {**_WORKERS, "flash_attn": "auto", "max_grad_norm": 1.0, "optim": "adamw_torch"}
_ONE_TO_EVALUATE = {"per_device_eval_batch_size": 1}


def _every(warmup: int, logging: int, saving: int) -> dict[str, int]:
    steps = {"warmup_steps": warmup, "logging_steps": logging}
    return {**steps, "save_steps": saving, "eval_steps": saving}


_TUTORIAL: Mapping[str, Preset] = {
    "pt": Preset(
        {**_USUAL, **_FLAGS, "num_train_epochs": 3.0, "max_samples": 100_000, "packing": True},
        timing=_every(0, 5, 100),
        val_share=0.05,
    ),
    "sft": Preset(
        {**_USUAL, **_ONE_TO_EVALUATE, **_WORKERS, "max_samples": 20_000, "overwrite_cache": True},
        timing=_every(1000, 2000, 2000),
        warmup=0.1,
        val_share=0.1,
        best_at_end=True,
    ),
    "rm": Preset({**_USUAL, "learning_rate": 1e-4}, warmup=0.1, val_share=0.01),
    "ppo": Preset(
        {
            **{**_USUAL, **_ONE_TO_EVALUATE, "per_device_train_batch_size": 1},
            **{"learning_rate": 1e-5, "max_new_tokens": 512, "top_k": 0, "top_p": 0.9},
        },
        warmup=0.1,
    ),
    "dpo": Preset(
        {
            **{**_USUAL, **_FLAGS, **_ONE_TO_EVALUATE, "lora_rank": 4, "lora_alpha": 8},
            **{"max_samples": 30_000, "pref_beta": 0.1, "pref_ftx": 0.0, "pref_loss": "sigmoid"},
        },
        timing=_every(50, 100, 100),
        warmup=0.1,
        val_share=0.01,
    ),
    "kto": Preset({**_USUAL, "learning_rate": 5e-6, "pref_beta": 0.1}, warmup=0.1, val_share=0.01),
}
# Of the tutorial: sixteen processes start more slowly than they read so few rows.
_FOR_MANY_ROWS = ("preprocessing_num_workers", "overwrite_cache", "max_samples")


def _quick(stage: str, whole: Preset) -> Preset:
    """Return a stage made so small that a CPU does it in minutes with a model of 135M."""
    keys = {key: value for key, value in whole.keys.items() if key not in _FOR_MANY_ROWS}
    # Few steps have to show something: LoRA on a small model bears more than on a large one.
    rate = max(keys["learning_rate"], 2e-4 if stage in ("pt", "sft") else 5e-5)
    keys |= {"learning_rate": rate, "num_train_epochs": 1.0, "max_steps": 30}
    keys |= {"cutoff_len": _QUICK_CUTOFF, "gradient_accumulation_steps": 2}
    # Activations of a small model are small: computing them twice would cost a third of the time.
    keys["disable_gradient_checkpointing"] = True
    if stage == "ppo":
        keys |= {"max_new_tokens": 32, "max_steps": 4}
    return replace(whole, keys=keys, timing={}, max_val=8 if whole.val_share else None)


PRESETS: Mapping[str, Mapping[str, Preset]] = {
    "tutorial": _TUTORIAL,
    "quick": {stage: _quick(stage, preset) for stage, preset in _TUTORIAL.items()},
}
