"""Judge a ranker or reward model on pairs, beside the rules that only look at length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.data.preference_pairs import Pair, read_pairs
from curate.engine import open_engine
from curate.errors import ModelError, UsageError
from curate.models.ranking.learn import right
from curate.models.ranking.reward_models import trained_on
from curate.models.recipe import ModelRecipe
from curate.scorers.reward import score_texts

_EVERY = "all"
_RESAMPLES = 2000


def judge(pairs: Sequence[Pair], margin: NDArray[np.float64], seed: int) -> dict[str, Any]:
    """Return how well margins tell better from worse, four digits a share.

    Args:
        pairs: At least one.
        margin: (pairs,) score of the better minus score of the worse.
        seed: Of the resampling.

    Returns:
        `pairs`; `accuracy`, the share of pairs whose better response scored higher, ties counting
        half, with `low` and `high`, its 95 % bootstrap interval; `longer_wins` and `shorter_wins`,
        the accuracy of going by length, and `length_baseline`, the higher of the two.
    """
    correct = right(margin)
    low, high = interval(correct, seed)
    longer = float(right(np.array([len(pair.better) - len(pair.worse) for pair in pairs])).mean())
    shares = {
        "accuracy": float(correct.mean()),
        "low": low,
        "high": high,
        "longer_wins": longer,
        "shorter_wins": 1 - longer,
        "length_baseline": max(longer, 1 - longer),
    }
    return {"pairs": len(pairs)} | {name: round(share, 4) for name, share in shares.items()}


def interval(outcomes: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of (pairs,) outcomes, at least one.

    By percentiles of resampled means; `scipy.stats.bootstrap` refuses a single pair.
    """
    draws, size = np.random.default_rng(seed), len(outcomes)
    means = [outcomes[draws.integers(0, size, size)].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def by_source(
    pairs: Sequence[Pair], margin: NDArray[np.float64], seed: int
) -> dict[str, dict[str, Any]]:
    """Return judge() of all pairs and, where there are several files, of each."""
    judged = {_EVERY: judge(pairs, margin, seed)}
    sources = np.array([pair.source for pair in pairs])
    names = sorted(set(sources.tolist()))
    for name in names if len(names) > 1 else ():
        places = np.flatnonzero(sources == name)
        judged[name] = judge([pairs[int(place)] for place in places], margin[places], seed)
    return judged


def refuse_broken(broken: NDArray[np.bool_], pairs: Sequence[Pair], who: str) -> None:
    """Raise ModelError if any pair is broken, naming the first."""
    if broken.any():
        first = pairs[int(np.flatnonzero(broken)[0])]
        raise ModelError(
            f"{who} gives NaN or infinity for {int(broken.sum())} of the pairs, first for "
            f"{first.source}, {first.where}; leave them out or take another"
        )


@dataclass(frozen=True)
class EvalParams:
    """What is judged on what.

    Attributes:
        ranker: See load_reward().
        pairs: Files of pairs.
        encoder: Where a head's encoder lies now, if not where its card says.
        seed: Of the resampling.
    """

    ranker: str
    pairs: tuple[Path, ...]
    encoder: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no data could make right."""
        if not self.pairs:
            raise UsageError("no pairs: give --pairs FILE (one or several)")


def evaluate(params: EvalParams) -> dict[str, Any]:
    """Return how often a ranker or reward model scores the better response higher.

    Args:
        params: Ranker and pairs.

    Raises:
        DataError: The pairs cannot be read.
        ModelError: The ranker is not to be had, or gives NaN.

    Returns:
        `files`: `all` and each file as judge() has it; `dropped`; `trained_on`, the files that the
        ranker was trained on, on which its accuracy says little.
    """
    files = read_pairs(list(params.pairs))
    engine = open_engine()
    recipe = ModelRecipe(kind="reward", name=params.ranker, encoder=params.encoder)
    model = engine.load(recipe)
    texts = [(pair.prompt, text) for pair in files.pairs for text in (pair.better, pair.worse)]
    scores = score_texts(texts, model, engine).reshape(-1, 2)
    broken = np.logical_or.reduce(~np.isfinite(scores), axis=1)
    refuse_broken(broken, files.pairs, f"'{model.name}'")
    known = trained_on(params.ranker)
    return {
        "ranker": model.name,
        "files": by_source(files.pairs, scores[:, 0] - scores[:, 1], params.seed),
        "dropped": files.dropped,
        "trained_on": [name for name, sha in files.sha256.items() if sha in known],
    }
