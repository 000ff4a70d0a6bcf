"""The recipes: the tutorial's as presets.toml has it, and the same made small for a CPU."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

STAGES = ("pt", "sft", "rm", "ppo", "dpo", "kto")
PRESETS = ("tutorial", "quick")
# The preset quick takes the first that cuts fewer than half of the rows, else the last.
_QUICK_CUTOFF, *QUICK_CUTOFFS = 512, 768, 1024
# Of the tutorial: sixteen processes start more slowly than they read so few rows.
_FOR_MANY_ROWS = ("preprocessing_num_workers", "overwrite_cache", "max_samples")


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


@functools.cache
def preset_of(name: str, stage: str) -> Preset:
    """Return how a preset trains a stage."""
    path = Path(__file__).parent / "presets.toml"
    recipes = tomllib.loads(path.read_text(encoding="utf-8"))
    keys = {**recipes["usual"], **recipes[stage]["keys"]}
    tutorial = Preset(**{**recipes[stage], "keys": keys})
    return tutorial if name == "tutorial" else _quick(stage, tutorial)


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
