"""How good a response is, as a reward model or a trained ranker says: one number a row.

MoDS (arXiv 2311.15653) keeps rows above a threshold of it, CaR (arXiv 2402.18191) ranks by it.
The scale is each model's own: a number of one says nothing beside a number of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.preference_pairs import joined
from curate.data.rows import Row, Rows
from curate.models.protocols import RewardModel
from curate.scorers.contract import OK, REWARD, Engine, Scores, Work, digest_of, in_batches

NAME, NEEDS, MAIN = "reward", REWARD, "reward"
ABOUT = "how good the response is, as a trained ranker or a reward model says"

Pair = tuple[str, str]


@dataclass(frozen=True)
class RewardParams:
    """How to score."""

    column: str = "reward"  # its name: `reward`, `quality` …


PARAMS = RewardParams


def texts_of(row: Row) -> Pair:
    """Return the prompt and the response of a row; of a dialogue, the last response."""
    turns = row.turns if row.parsed.chosen is not None else row.turns[:-1]
    return joined(row.system, turns), row.response


def score(rows: Rows, params: RewardParams, model: RewardModel, engine: Engine) -> Scores:
    """Return the reward of every row; NaN and a status where there is none.

    Example:
        >>> score(rows, RewardParams(), load_reward("pairs"), engine).values("reward")
    """
    status = np.full(len(rows), OK, dtype=object)
    for row in rows:
        if row.flaw or not row.response.strip():
            status[row.position] = row.flaw or "empty_response"
    places = np.flatnonzero(status == OK)
    values = np.full(len(rows), np.nan)
    texts = (texts_of(rows[place]) for place in places.tolist())
    work = pairs_work(
        texts,
        lambda item: texts_of(rows[int(places[item])]),
        model,
        names=lambda items: [rows[place].id for place in places[items].tolist()],
    )
    values[places] = engine.run(work, len(places))
    broken = (status == OK) & ~np.isfinite(values)
    status[broken], values[broken] = "non_finite", np.nan
    return Scores(status, {params.column: pa.array(values)})


def score_texts(pairs: Sequence[Pair], model: RewardModel, engine: Engine) -> NDArray[np.float64]:
    """Return the reward of each prompt and response, (pairs,)."""
    work = pairs_work(pairs, pairs.__getitem__, model)
    rewards: NDArray[np.float64] = engine.run(work, len(pairs))
    return rewards


def _rewards(model: RewardModel, pairs: list[Pair]) -> list[list[float]]:
    return [[number] for number in model.score(pairs)]


def pairs_work(
    texts: Iterable[Pair],
    pair: Callable[[int], Pair],
    model: Any,
    answer: Callable[[Any, list[Pair]], Any] = _rewards,
    **kept: Any,
) -> Work:
    """Return the work of a model that is asked about prompts and responses, an item a pair."""
    lengths: list[int] = []
    digests: list[str] = []
    for batch in in_batches(texts):
        lengths += model.lengths(batch)
        digests.append(digest_of(*("\0".join(each) for each in batch)))
    return Work(
        model=model,
        lengths=np.array(lengths, dtype=np.int64),
        take=lambda items: [pair(item) for item in items.tolist()],
        answer=answer,
        digest=digest_of("pairs 2", *digests),
        **{"widths": 1, **kept},
    )
