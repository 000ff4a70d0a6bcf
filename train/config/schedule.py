"""How many steps a training has, and how often it logs, evaluates and saves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Under so many rows what is held out says nothing, and each row is needed.
FEWEST_TO_SPLIT = 20
# Blocks that have to be held out of packed text: fewer leave nothing to evaluate.
_FEWEST_BLOCKS = 4
_FEWEST_TO_WARM_UP = 10  # steps


@dataclass(frozen=True)
class Extent:
    """Rows that a stage can use, tokens of packed text if counted, rows of each of several sets."""

    rows: int
    tokens: int | None = None
    sets: tuple[int, ...] = ()

    def limited(self, most: Any) -> Extent:
        """Return what `max_samples` leaves: LLaMA-Factory takes so many rows of each data set."""
        if most is None:
            return self
        sets = tuple(min(rows, int(most)) for rows in self.sets or (self.rows,))
        rows = sum(sets)
        tokens = None if self.tokens is None else self.tokens * rows // max(1, self.rows)
        return Extent(rows, tokens, sets)


def held_out(extent: Extent, share: float, most: int | None, block: int | None) -> float | int:
    """Return `val_size`: a share of the rows, a number of them, or 0 where there are too few.

    LLaMA-Factory reads a number above 1 as rows, and ends on a split of which a side is empty.
    """
    rows = math.ceil(extent.rows * share)
    if not share or extent.rows < FEWEST_TO_SPLIT:
        return 0
    if block and extent.tokens is not None and extent.tokens * share < _FEWEST_BLOCKS * block:
        return 0
    if rows < 2:
        return 2
    return most if most and rows > most else share


def steps_of(extent: Extent, config: Mapping[str, Any], devices: int) -> int:
    """Return the optimizer's steps, as transformers' Trainer counts them."""
    limit = int(config.get("max_steps") or -1)
    if limit > 0:
        return limit
    rows = extent.limited(config.get("max_samples")).rows
    held = float(config.get("val_size") or 0)
    kept = rows - (int(held) if held > 1 else math.ceil(rows * held))
    if config.get("packing") and extent.tokens is not None:
        share = kept / extent.rows if extent.rows else 0.0
        kept = max(1, int(extent.tokens * share) // int(config["cutoff_len"]))
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
