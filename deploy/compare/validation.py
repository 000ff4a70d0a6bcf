"""The validation part of a run: rows of its data set that LLaMA-Factory kept out of training.

LLaMA-Factory draws it with `train_test_split` of the library datasets, which takes the first
places of a permutation that NumPy draws from the run's seed: with the run's config and its data
file, both unchanged, the same rows are found again.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from curate.data.manifest import sha256_of
from curate.data.read import read
from curate.errors import DataError
from deploy.compare.held_out import held_out
from deploy.compare.prompts import Prompts
from deploy.compare.trained import TrainedOn, data_file, digests

CONFIG = "train.yaml"
# What else decides which rows are trained on; with one of them the part is not told.
_OTHERWISE = ("eval_dataset", "streaming", "tokenized_path", "mix_strategy", "interleave_probs")
_SEED = 42  # of transformers, where the config has none


def places(rows: int, share: float, seed: int) -> NDArray[np.int64]:
    """Return where the rows of the validation part stand, in the order of the file.

    Args:
        rows: Of the data set, after `max_samples`.
        share: `val_size`: of the rows, or above 1 their number.
        seed: Of the run.

    Example:
        >>> places(10, 0.2, 0)
        array([4, 6])
    """
    count = int(share) if share > 1 else math.ceil(share * rows)
    drawn: NDArray[np.int64] = np.random.default_rng(seed).permutation(rows)[:count]
    return np.sort(drawn)


def validation_part(folder: Path, run: dict[str, Any], dataset_dir: Path) -> Prompts:
    """Return the prompts of a run's validation part that are not in the training part as well.

    Args:
        folder: Of the run.
        run: Its run.json.
        dataset_dir: Where its data set is registered.

    Raises:
        DataError: It has no such part, or which rows it held cannot be proven.
    """
    config = _config(folder, run)
    told = run["dataset"]
    rows = read(data_file(str(told["name"]), dataset_dir, str(told["data_sha256"])))
    first = min(len(rows), int(config.get("max_samples") or len(rows)))
    seed = int(config.get("seed", _SEED))
    held = set(places(first, float(config["val_size"]), seed).tolist())
    training = [row for row in rows if row.position < first and row.position not in held]
    trained = TrainedOn(
        str(told["name"]),
        dataset_dir,
        frozenset(int(rows.hashes[row.position]) for row in training),
        frozenset(each for row in training for each in digests(row)),
    )
    return held_out([rows], trained)


def _config(folder: Path, run: dict[str, Any]) -> dict[str, Any]:
    path = folder / CONFIG
    unproven = f"the validation part of {folder} cannot be proven: "
    if not path.is_file() or sha256_of(path) != run.get("config_sha256"):
        raise DataError(f"{unproven}{CONFIG} is not the one that the run was started with")
    if not (run.get("dataset") or {}).get("data_sha256"):
        raise DataError(f"{unproven}run.json does not say what the data file was")
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict) or not float(config.get("val_size") or 0) > 0:
        raise DataError(f"{folder} has no validation part: its config has no val_size")
    if others := [each for each in _OTHERWISE if config.get(each)]:
        raise DataError(f"{unproven}its config has {', '.join(others)}")
    return config
