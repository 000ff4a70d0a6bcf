"""How good a response is, as a reward model or a trained ranker says: one number a row.

MoDS (arXiv 2311.15653) keeps rows above a threshold of it, CaR (arXiv 2402.18191) ranks by it.
The scale is each model's own: a number of one says nothing beside a number of another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.preference_pairs import joined
from curate.data.rows import Row, Rows
from curate.models.protocols import RewardModel
from curate.scorers.contract import OK, REWARD, Engine, Scores, Work

_AT_A_TIME = 256
NAME, NEEDS, MAIN = "reward", REWARD, "reward"
ABOUT = "how good the response is, as a trained ranker or a reward model says"
# Part of the fingerprint: a changed way of making texts never continues an older journal.
_FORM = "reward 1"


@dataclass(frozen=True)
class RewardParams:
    """How to score.

    Attributes:
        column: Name of the column; `reward`, `quality`, `necessity` …
    """

    column: str = "reward"


PARAMS = RewardParams


def texts_of(row: Row) -> tuple[str, str]:
    """Return the prompt and the response of a row; of a dialogue, the last response.

    Args:
        row: Any without a flaw. The preferred response stands for a pair.
    """
    turns = row.turns if row.parsed.chosen is not None else row.turns[:-1]
    return joined(row.system, turns), row.response


def score(rows: Rows, params: RewardParams, model: RewardModel, engine: Engine) -> Scores:
    """Return the reward of every row; NaN and a status where there is none.

    Args:
        rows: Rows with a response each.
        params: Name of the column.
        model: Gives the numbers.
        engine: Runs the model over the rows.

    Raises:
        ModelError: The model cannot be loaded.

    Example:
        >>> score(rows, RewardParams(), load_reward("pairs"), engine).values("reward")
    """
    status = np.full(len(rows), OK, dtype=object)
    for row in rows:
        if row.flaw or not row.response.strip():
            status[row.position] = row.flaw or "empty_response"
    places = np.flatnonzero(status == OK)
    values = np.full(len(rows), np.nan)
    values[places] = _scored(
        (texts_of(rows[int(place)]) for place in places),
        lambda item: texts_of(rows[int(places[item])]),
        model,
        engine,
    )
    broken = (status == OK) & ~np.isfinite(values)
    status[broken], values[broken] = "non_finite", np.nan
    return Scores(status, {params.column: pa.array(values)})


def score_texts(
    pairs: Sequence[tuple[str, str]], model: RewardModel, engine: Engine
) -> NDArray[np.float64]:
    """Return the reward of each prompt and response, (pairs,).

    Args:
        pairs: Without lone surrogates.
        model: Gives the numbers.
        engine: Runs the model.
    """
    return _scored(pairs, lambda item: pairs[item], model, engine)


def _scored(
    texts: Iterable[tuple[str, str]],
    text: Callable[[int], tuple[str, str]],
    model: RewardModel,
    engine: Engine,
) -> NDArray[np.float64]:
    """Return one number a text; they pass by once, and are asked for again by their place."""
    digest = hashlib.sha256(f"{_FORM}|{model.fingerprint}".encode())
    lengths: list[int] = []
    stream = iter(texts)
    while batch := list(islice(stream, _AT_A_TIME)):
        lengths += model.lengths(batch)
        for each in batch:
            digest.update(hashlib.sha256("\0".join(each).encode()).digest())
    if not lengths:
        return np.zeros(0)

    def compute(items: NDArray[np.int64]) -> list[list[float]]:
        return [[number] for number in model.score([text(int(item)) for item in items])]

    work = Work(
        np.array(lengths, dtype=np.int64),
        np.ones(len(lengths), dtype=np.int64),
        compute,
        digest.hexdigest(),
        model.batch_tokens,
        model.workers,
        model.prepare,
        model.worker,
    )
    found: NDArray[np.float64] = engine.run(work, len(lengths))
    return found
