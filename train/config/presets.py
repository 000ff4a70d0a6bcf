"""How a stage is trained: a preset's keys, how many steps, how often it logs, evaluates and saves.

The tutorial's presets are those of presets.toml; `quick` is the same made small for a CPU.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

STAGES = ("pt", "sft", "rm", "ppo", "dpo", "kto")
PRESETS = ("tutorial", "quick")
WRITTEN = (
    "as written"  # a config of the user's own: nothing is chosen, and what it leaves open is said
)
# The preset quick takes the first that cuts fewer than half of the rows, else the last.
_QUICK_CUTOFF, *QUICK_CUTOFFS = 512, 768, 1024
# Of the tutorial: sixteen processes start more slowly than they read so few rows.
_FOR_MANY_ROWS = ("preprocessing_num_workers", "overwrite_cache", "max_samples")

# Under so many rows what is held out says nothing, and each row is needed.
FEWEST_TO_SPLIT = 20
# Blocks that have to be held out of packed text: fewer leave nothing to evaluate.
_FEWEST_BLOCKS = 4
_FEWEST_TO_WARM_UP = 10  # steps
# Steps between logging, saving and evaluating, where a config is silent: transformers' own.
EVERY = 500
# What LLaMA-Factory 0.9.5 takes where a config is silent.
_SILENT = {
    **{"cutoff_len": 2048, "learning_rate": 5e-5, "num_train_epochs": 3.0},
    **{"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1},
}


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
    if name == WRITTEN:
        return Preset({**_SILENT, "packing": stage == "pt"})
    path = Path(__file__).parent / "presets.toml"
    recipes = tomllib.loads(path.read_text(encoding="utf-8"))
    keys = {**recipes["usual"], **recipes[stage]["keys"]}
    tutorial = Preset(**{**recipes[stage], "keys": keys})
    if name == "tutorial":
        return tutorial
    # quick: made so small that a CPU does it in minutes with a model of 135M.
    keys = {key: value for key, value in keys.items() if key not in _FOR_MANY_ROWS}
    # Few steps have to show something: LoRA on a small model bears more than on a large one.
    rate = max(keys["learning_rate"], 2e-4 if stage in ("pt", "sft") else 5e-5)
    keys |= {"learning_rate": rate, "num_train_epochs": 1.0, "max_steps": 30}
    keys |= {"cutoff_len": _QUICK_CUTOFF, "gradient_accumulation_steps": 2}
    # Activations of a small model are small: computing them twice would cost a third of the time.
    keys["disable_gradient_checkpointing"] = True
    if stage == "ppo":
        keys |= {"max_new_tokens": 32, "max_steps": 4}
    return replace(tutorial, keys=keys, timing={}, max_val=8 if tutorial.val_share else None)


_ENDS: Mapping[str, Callable[[list[float]], float]] = {
    "interleave_under": min,
    "interleave_over": max,
}


@dataclass(frozen=True)
class Extent:
    """Rows that a stage can use, tokens of packed text if counted, rows of each of several sets."""

    rows: int
    tokens: int | None = None
    sets: tuple[int, ...] = ()

    def used(self, config: Mapping[str, Any]) -> Extent:
        """Return what is trained on, mixed by `mix_strategy`."""
        mixed, sets = str(config.get("mix_strategy")), self.sets or (self.rows,)
        rows = sum(sets)
        if len(sets) > 1 and mixed in _ENDS:
            # Drawn by turns, or by probabilities, until one of them is used up, or all.
            shares = _shares(config.get("interleave_probs"), len(sets))
            drawn = [size * sum(shares) / share for size, share in zip(sets, shares, strict=True)]
            rows = round(_ENDS[mixed](drawn))
        tokens = None if self.tokens is None else self.tokens * rows // max(1, self.rows)
        return Extent(rows, tokens, sets)


def _shares(probabilities: Any, count: int) -> list[float]:
    try:
        shares = [float(share) for share in str(probabilities).split(",")]
    except ValueError:
        shares = []
    return shares if len(shares) == count and min(shares) > 0 else [1.0] * count


def blocks_of(extent: Extent, config: Mapping[str, Any], rows: int) -> int | None:
    """Return how many blocks of `cutoff_len` so many rows are packed into; None if not known.

    In stage pt each process fills blocks from each batch of its rows, and drops what is left over.
    """
    if not config.get("packing") or extent.tokens is None or not extent.rows:
        return None
    block, length = int(config["cutoff_len"]), extent.tokens / extent.rows
    if config.get("stage") != "pt":
        return int(rows * length) // block
    batch = int(config.get("preprocessing_batch_size", 1000))
    batch = batch if batch > 0 else max(1, rows)  # as datasets takes it: all rows at once
    workers = max(1, min(int(config.get("preprocessing_num_workers") or 1), rows))
    share, larger = divmod(rows, workers)
    blocks = 0
    for size, count in ((share + 1, larger), (share, workers - larger)):
        batches, rest = divmod(size, batch)
        blocks += count * (batches * int(batch * length / block) + int(rest * length / block))
    return blocks


def rows_held(rows: int, config: Mapping[str, Any]) -> int:
    """Return how many rows `val_size` holds out: a share of them, or from 2 on a number."""
    held = float(config.get("val_size") or 0)
    return int(held) if held > 1 else math.ceil(rows * held)


def held_out(extent: Extent, preset: Preset, config: Mapping[str, Any]) -> float | int:
    """Return `val_size`: a share of the rows, a number of them, or 0 where there are too few.

    LLaMA-Factory reads a number above 1 as rows, and ends on a split of which a side is empty.
    """
    share, most = preset.val_share, preset.max_val
    rows = math.ceil(extent.rows * share)
    if not share or extent.rows < FEWEST_TO_SPLIT:
        return 0
    blocks = blocks_of(extent, config, rows)
    if blocks is not None and blocks < _FEWEST_BLOCKS:
        return 0
    if rows < 2:
        return 2
    return most if most and rows > most else share


def steps_of(extent: Extent, config: Mapping[str, Any], devices: int) -> int:
    """Return the optimizer's steps, as transformers' Trainer counts them."""
    limit = int(config.get("max_steps") or -1)
    if limit > 0:
        return limit
    rows = extent.used(config).rows
    kept = rows - rows_held(rows, config)
    blocks = blocks_of(extent, config, kept)
    kept = kept if blocks is None else max(1, blocks)
    batches = math.ceil(kept / (int(config.get("per_device_train_batch_size", 8)) * devices))
    a_pass = max(1, math.ceil(batches / int(config.get("gradient_accumulation_steps", 1))))
    return math.ceil(a_pass * float(config.get("num_train_epochs", 3.0)))


def intervals(steps: int, warmup: float, evaluates: bool, best_at_end: bool) -> dict[str, Any]:
    """Return how often to log, evaluate and save, so that a short run does each of them, too."""
    every = min(100, max(1, math.ceil(steps / 5)))
    keys: dict[str, Any] = {
        # The first step of a warm-up has a rate of 0, which a run of a few steps cannot spare.
        "warmup_steps": math.ceil(steps * warmup) if steps >= _FEWEST_TO_WARM_UP else 0,
        "logging_steps": min(10, max(1, steps // 20)),
        "save_strategy": "steps",
        "save_steps": every,
    }
    if evaluates:
        keys |= {"eval_strategy": "steps", "eval_steps": every}
    if evaluates and best_at_end:
        keys |= {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss"}
        keys["greater_is_better"] = False
    return keys
