"""MoDS: its first two stages, what is good and what of it covers the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.rows import Rows
from curate.errors import DataError, UsageError
from curate.parameters.mods import ModsParams, parse_bound
from curate.recipes.model_scores import embedded, rewarded
from curate.scorers.contract import OK
from curate.selectors import threshold
from curate.selectors.choice import Candidates, Choice, scored
from curate.selectors.k_center import COVERED, Centres, k_center

QUALITY = "quality"
LOW = "low_quality"
MOST = 1000
_SHOWN = (10, 25, 50, 75, 90)


@dataclass(frozen=True)
class Seeds:
    """What the first two stages found; everything a line for each row.

    Attributes:
        status: (n,) `ok`, or why a row has no reward or no vector.
        quality: (n,) rewards; NaN where the status is not ok.
        vectors: (n, d) float32 of the instructions, on disk.
        good: The choice of rows that are good enough.
        chosen: (s,) positions of the seeds, the first chosen first.
        centres: What k-centre greedy says of them.
        wanted: Seeds that were to be found.
        model: Names and fingerprints of the reward model and the encoder.
        notes: What a user should be told, a sentence each.
    """

    status: NDArray[np.object_]
    quality: NDArray[np.float64]
    vectors: NDArray[np.float32]
    good: Choice
    chosen: NDArray[np.int64]
    centres: Centres
    wanted: int
    model: dict[str, str]
    notes: tuple[str, ...]

    def choice(self) -> Choice:
        """Return the choice of the seeds alone."""
        seeds = np.isin(np.arange(len(self.status)), self.chosen)
        return self.good.without(~seeds, COVERED)

    def columns(self) -> dict[str, pa.Array]:
        """Return the columns of a scores file."""
        rank, distance = ranks(len(self.status), self.chosen, self.centres)
        return {QUALITY: pa.array(self.quality), "seed_rank": rank, "seed_distance": distance}

    def stages(self) -> list[dict[str, int | str]]:
        """Return the counts of both stages."""
        good = int(self.good.kept.sum())
        low = self.good.counts().get(LOW, 0)
        return [
            {"stage": "quality", "rows": good + low, "good": good, LOW: low},
            {"stage": "coverage", "rows": good, "seeds": len(self.chosen)},
        ]


def find_seeds(rows: Rows, params: ModsParams) -> Seeds:
    """Return rows with a high reward that leave no other such row far from them."""
    found, model = rewarded(rows, params.reward, None, QUALITY)
    vectors, encoder = embedded(rows, params.encoder, "instruction")
    status = np.where(found.status == OK, vectors.status, found.status).astype(object)
    values = np.where(status == OK, found.values(QUALITY), np.nan)
    good = _good(params, scored(status), values, rows.ids)
    places = np.flatnonzero(good.kept)
    wanted = _wanted(params, len(places))
    points = np.array(vectors.vectors[places], dtype=np.float32)
    # Answers to one question lie at distance zero: the best of them covers the others.
    centres = k_center(points, rows.ids[places], wanted, params.seed, values=values[places])
    notes = (*found.notes, *vectors.notes, *_notes(params, good, wanted, centres))
    return Seeds(
        status=status,
        quality=values,
        vectors=vectors.vectors,
        good=good,
        chosen=places[centres.order],
        centres=centres,
        wanted=wanted,
        model=model | encoder,
        notes=notes,
    )


def ranks(size: int, chosen: NDArray[np.int64], centres: Centres) -> tuple[pa.Array, pa.Array]:
    """Return each chosen row's rank (1 was first), and how far it was from those before it."""
    order = np.zeros(size, dtype=np.int64)
    order[chosen] = np.arange(1, len(chosen) + 1)
    distance = np.full(size, np.nan)
    distance[chosen] = np.where(np.isfinite(centres.distances), centres.distances, np.nan)
    return pa.array(order, mask=order == 0), pa.array(distance)


def lowest_good(params: ModsParams, rewards: NDArray[np.float64]) -> float:
    """Return the lowest of the rewards (m,) that is good enough."""
    share, number = parse_bound(params.min_quality)
    if share is not None:
        return float(np.quantile(rewards, share))
    assert number is not None  # ModsParams refuses what is neither
    return float(np.nextafter(number, np.inf))


def quantiles(values: NDArray[np.float64]) -> str:
    """Return some quantiles for a message."""
    found = np.quantile(values, [each / 100 for each in _SHOWN])
    return ", ".join(f"{at}% {q:.3g}" for at, q in zip(_SHOWN, found, strict=True))


def _good(
    params: ModsParams, choice: Choice, values: NDArray[np.float64], ids: NDArray[np.object_]
) -> Choice:
    """Return the choice of the rows with a reward from the bound on."""
    rewards = values[choice.kept]
    if not len(rewards):
        counts = ", ".join(f"{rows:,} {reason}" for reason, rows in choice.counts().items())
        raise DataError(f"no row has a reward: {counts}. Give rows with a prompt and a response")
    bound = lowest_good(params, rewards)
    good = threshold.select(
        Candidates(choice, ids, values=values),
        threshold.ThresholdParams(bound=bound, keep="from", reason=LOW),
    )
    if not good.kept.any():
        raise DataError(
            f"--min-quality {params.min_quality}: none of {len(rewards):,} rows has a higher "
            f"reward. Their quantiles are {quantiles(rewards)}; give a lower number, or "
            "--min-quality 50% for the better half"
        )
    return good


def _wanted(params: ModsParams, good: int) -> int:
    if params.seeds is None:
        return min(MOST, max(1, good // 10))
    if params.seeds > good:
        raise UsageError(
            f"--seeds {params.seeds}: only {good:,} rows are good enough; give fewer, or a lower "
            f"--min-quality than {params.min_quality}"
        )
    return params.seeds


def _notes(params: ModsParams, good: Choice, wanted: int, centres: Centres) -> list[str]:
    low = good.counts().get(LOW, 0)
    passed, made = int(good.kept.sum()), len(centres.order)
    notes = [
        f"quality: {passed:,} of {passed + low:,} rows are good enough (--min-quality "
        f"{params.min_quality}); coverage: {made:,} seeds, and no good row is further than "
        f"{centres.radius:.3f} from one"
    ]
    if params.seeds is None and wanted < MOST:
        notes.append(
            f"{wanted:,} seeds are taken, 10 % of the good rows; --seeds says how many, "
            f"{MOST:,} is usual for large sets"
        )
    if made < wanted:
        notes.append(
            f"{wanted:,} seeds were sought and there are only {made:,} different instructions"
        )
    return notes
