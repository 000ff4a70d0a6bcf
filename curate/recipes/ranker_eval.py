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
from curate.models.ranking.fit import interval, length_rule, right
from curate.models.ranking.load import trained_on
from curate.models.recipe import ModelRecipe
from curate.scorers.reward import score_texts

_EVERY = "all"


@dataclass(frozen=True)
class Judged:
    """How a judge did on pairs.

    Attributes:
        pairs: How many.
        accuracy: Share of pairs whose better response scored higher; ties count half.
        low: End of the accuracy's 95 % bootstrap interval.
        high: Its other end.
        longer_wins: Accuracy of "the longer response is the better".
        shorter_wins: Accuracy of "the shorter response is the better".
        length_baseline: The higher of the two.
    """

    pairs: int
    accuracy: float
    low: float
    high: float
    longer_wins: float
    shorter_wins: float
    length_baseline: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it, four digits a share."""
        return {key: round(value, 4) for key, value in vars(self).items()}


def judge(pairs: Sequence[Pair], margin: NDArray[np.float64], seed: int) -> Judged:
    """Return how well margins tell better from worse.

    Args:
        pairs: At least one.
        margin: (pairs,) score of the better minus score of the worse.
        seed: Of the resampling.
    """
    correct = right(margin)
    low, high = interval(correct, seed)
    longer = length_rule([pair.better for pair in pairs], [pair.worse for pair in pairs])
    return Judged(
        len(pairs), float(correct.mean()), low, high, longer, 1 - longer, max(longer, 1 - longer)
    )


def by_source(
    pairs: Sequence[Pair], margin: NDArray[np.float64], seed: int
) -> dict[str, dict[str, Any]]:
    """Return judge() of all pairs and, where there are several files, of each.

    Args:
        pairs: At least one.
        margin: (pairs,).
        seed: Of the resampling.
    """
    found = {_EVERY: judge(pairs, margin, seed).as_dict()}
    names = sorted({pair.source for pair in pairs})
    for name in names if len(names) > 1 else ():
        mask = np.array([pair.source == name for pair in pairs])
        own = [pair for pair in pairs if pair.source == name]
        found[name] = judge(own, margin[mask], seed).as_dict()
    return found


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
        `all` and each file as Judged.as_dict() has it; `dropped`; `trained_on`, the files that
        the ranker was trained on, on which its accuracy says little.
    """
    found = read_pairs(list(params.pairs))
    engine = open_engine()
    recipe = ModelRecipe(kind="reward", name=params.ranker, encoder=params.encoder)
    model = engine.load(recipe)
    texts = [(p.prompt, text) for p in found.pairs for text in (p.better, p.worse)]
    scores = score_texts(texts, model, engine).reshape(-1, 2)
    broken = ~np.isfinite(scores).all(1)
    if broken.any():
        first = found.pairs[int(np.flatnonzero(broken)[0])]
        raise ModelError(
            f"'{model.name}' gives NaN or infinity for {int(broken.sum())} of the pairs, first for "
            f"{first.source}, {first.where}"
        )
    known = trained_on(params.ranker)
    return {
        "ranker": model.name,
        "files": by_source(found.pairs, scores[:, 0] - scores[:, 1], params.seed),
        "dropped": found.dropped,
        "trained_on": [name for name, sha in found.sha256.items() if sha in known],
    }
