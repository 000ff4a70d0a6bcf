"""MoDS' first two stages: good rows (quality), and those of them that cover the rest (coverage)."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.choices.selection import Selection
from curate.data.rows import Rows
from curate.errors import DataError, UsageError
from curate.parameters.mods import NONE, ModsParams, parse_bound
from curate.recipes import budgets
from curate.recipes.model_scores import called, embedded, rewarded
from curate.scorers.contract import OK, Scores
from curate.scorers.response_tokens import ResponseTokens
from curate.selectors import threshold
from curate.selectors.k_center import COVERED, Centres, k_center
from curate.selectors.kept_and_dropped import Candidates, Choice, Wanted, fitting, scored

NAME, QUALITY, LOW = "mods", "quality", "low_quality"
MOST = 1000
_SHOWN = (10, 25, 50, 75, 90)

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.int64]
Vectors: TypeAlias = NDArray[np.float32]


def choose_seeds(
    rows: Rows, params: ModsParams, tokens: ResponseTokens
) -> tuple[Selection, Vectors]:
    """Return rows with a high reward that leave no other such row far from them, and vectors.

    All good rows are kept or `covered`; the choice is in the order in which seeds were chosen.
    """
    rewards, model = rewarded(rows, params.reward, QUALITY)
    vectors, encoder = embedded(rows, params.encoder, "instruction")
    status = np.where(rewards.status == OK, vectors.status, rewards.status).astype(object)
    quality = np.where(status == OK, rewards.values(QUALITY), np.nan)
    good = _good(params, scored(status), quality, rows.ids)
    places = np.flatnonzero(good.kept)
    passed, low = len(places), good.counts().get(LOW, 0)
    most = min(MOST, max(1, passed // 10))
    wanted = budgets.wanted_of_part(params.seeds, most, tokens.counts, "--seeds")
    if wanted.tokens is None and wanted.rows > passed:
        raise UsageError(
            f"--seeds {wanted.rows}: only {passed:,} rows are good enough; give fewer, or a lower "
            f"--min-quality than {params.min_quality}"
        )
    centres = spread(rows, vectors.vectors, places, wanted, params.seed, quality)
    seeds = len(centres.order)
    notes = [
        f"quality: {passed:,} of {passed + low:,} rows are good enough (--min-quality "
        f"{params.min_quality}); coverage: {seeds:,} seeds, and no good row is further than "
        f"{centres.radius:.3f} from one"
    ]
    if params.seeds is None and wanted.rows < MOST:
        notes.append(
            f"{wanted.rows:,} seeds are taken, 10 % of the good rows; --seeds says how many, "
            f"{MOST:,} is usual for large sets"
        )
    if wanted.tokens is not None:
        notes.append(about_tokens(f"--seeds {params.seeds}", centres, wanted))
    elif seeds < wanted.rows:
        notes.append(
            f"{wanted.rows:,} seeds were sought and there are only {seeds:,} different instructions"
        )
    selection = Selection(
        recipe=NAME,
        params=replace(
            params,
            reward=called(params.reward),
            encoder=called(params.encoder),
            model=called(params.model),
            responder=NONE,
            seeds=wanted.rows if wanted.tokens is None else str(params.seeds),
            tokenizer=tokens.by,
        ),
        rows=rows,
        scored=Scores(status, {QUALITY: pa.array(quality), **ranks("seed", len(rows), centres)}),
        choice=good.only(centres.order, COVERED),
        ranked_by=QUALITY,
        model=model | encoder,
        notes=(*rewards.notes, *vectors.notes, *notes),
        details={
            "stages": [
                {"stage": "quality", "rows": passed + low, "good": passed, LOW: low},
                {"stage": "coverage", "rows": passed, "seeds": seeds},
            ]
        },
        tokens=tokens,
    )
    return selection, vectors.vectors


def spread(
    rows: Rows,
    vectors: Vectors,
    pool: Places,
    wanted: Wanted,
    seed: int,
    quality: Floats,
    start: Places | None = None,
) -> Centres:
    """Return the centres, positions among all rows, of those at `pool` (m,), from `start` on."""
    points = np.array(vectors[pool], dtype=np.float32)
    first = None if start is None else np.array(vectors[start], dtype=np.float32)

    def centres_of(k: int) -> Centres:
        # Answers to one question lie at distance zero: the best of them covers the others.
        centres = k_center(points, rows.ids[pool], k, seed, first, quality[pool])
        return replace(centres, order=pool[centres.order])

    return centres_of(fitting(lambda k: centres_of(k).order, wanted))


def about_tokens(typed: str, centres: Centres, wanted: Wanted) -> str:
    """Return a note: how much of a budget in tokens is used."""
    used, asked = int(wanted.row_tokens[centres.order].sum()), wanted.tokens or 0
    return f"{typed}: {used:,} of {asked:,} tokens of responses, {asked - used:,} are left"


def _good(params: ModsParams, choice: Choice, values: Floats, ids: NDArray[np.object_]) -> Choice:
    """Return the choice of the rows with a reward from the bound on."""
    rewards = values[choice.kept]
    if not len(rewards):
        counts = ", ".join(f"{rows:,} {reason}" for reason, rows in choice.counts().items())
        raise DataError(f"no row has a reward: {counts}. Give rows with a prompt and a response")
    bound = threshold.ThresholdParams(
        bound=lowest_good(params.min_quality, rewards), keep="from", reason=LOW
    )
    good = threshold.select(Candidates(choice, ids, values=values), bound)
    if not good.kept.any():
        raise DataError(
            f"--min-quality {params.min_quality}: none of {len(rewards):,} rows has a higher "
            f"reward. Their quantiles are {quantiles(rewards)}; give a lower number, or "
            "--min-quality 50% for the better half"
        )
    return good


def lowest_good(min_quality: str | float, rewards: Floats) -> float:
    """Return the lowest of the rewards (m,) that is good enough."""
    share, number = parse_bound(min_quality)
    if share is not None:
        return float(np.quantile(rewards, share))
    assert number is not None  # ModsParams refuses what is neither
    return float(np.nextafter(number, np.inf))


def quantiles(values: Floats) -> str:
    """Return some quantiles as a user reads them."""
    numbers = np.quantile(values, [percent / 100 for percent in _SHOWN])
    return ", ".join(f"{at}% {number:.3g}" for at, number in zip(_SHOWN, numbers, strict=True))


def ranks(name: str, size: int, centres: Centres) -> dict[str, pa.Array]:
    """Return each chosen row's rank (1 was first), and how far it was from those before it."""
    rank, distance = np.zeros(size, dtype=np.int64), np.full(size, np.nan)
    rank[centres.order] = np.arange(1, len(centres.order) + 1)
    distance[centres.order] = np.where(np.isfinite(centres.distances), centres.distances, np.nan)
    return {f"{name}_rank": pa.array(rank, mask=rank == 0), f"{name}_distance": pa.array(distance)}
