"""MoDS, its first two stages: good rows (quality), and of these the ones that cover the rest.

Source: arXiv 2311.15653. Quality: a reward above a threshold. Coverage: k-centre greedy on
embeddings of the instructions; its choice are the seeds. The third stage, necessity, asks a model
that was trained on the seeds. Deviations: the threshold can be a quantile, since rewards of
different models have different scales; the first centre is drawn with a seed; and see
`curate.selectors.k_center`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.rows import Rows
from curate.errors import DataError, UsageError
from curate.models.ranking.load import DEFAULT_RANKER
from curate.recipes.scoring import called, embedded, refuse_pairs_and_texts, rewarded
from curate.scorers.contract import OK, Scores
from curate.selection import Selection
from curate.selectors import threshold
from curate.selectors.choice import Choice, scored
from curate.selectors.k_center import COVERED, DUPLICATE, Centres, k_center

NAME = "mods"
QUALITY = "quality"
LOW = "low_quality"
MOST = 1000
OPTIONS = ("reward", "encoder", "min_quality", "seeds", "seed")
_SHOWN = (10, 25, 50, 75, 90)


@dataclass(frozen=True)
class Params:
    """What is good enough, and how many seeds.

    Attributes:
        reward: See load_reward(): `pairs`, a trained ranker, a reward model.
        encoder: See load_encoder(): embeds instructions.
        min_quality: A reward that rows have to exceed; or a quantile such as `60%`: that share of
            the rows lies below, and is left out.
        seeds: Rows to keep; None is 1,000, but 10 % of the good rows where that is fewer.
        seed: Draws the first centre.
    """

    reward: str = DEFAULT_RANKER
    encoder: str = "use"
    min_quality: str | float = "0"
    seeds: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no data could make right."""
        self.bound(np.zeros(1))
        if self.seeds is not None and self.seeds < 1:
            raise UsageError(f"--seeds {self.seeds}: allowed are 1 and more")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: allowed are 0 and above")

    def bound(self, values: NDArray[np.float64]) -> float:
        """Return the lowest reward that is good enough.

        Args:
            values: (m,) rewards of the rows that have one, at least one.

        Raises:
            UsageError: min_quality is neither a number nor a quantile.

        Example:
            >>> Params(min_quality="50%").bound(np.array([1.0, 2.0, 3.0]))
            2.0
        """
        text = str(self.min_quality).strip()
        try:
            number = float(text.removesuffix("%"))
        except ValueError:
            number = float("nan")
        if text.endswith("%") and 0 <= number < 100:
            return float(np.quantile(values, number / 100))
        if not text.endswith("%") and np.isfinite(number):
            return float(np.nextafter(number, np.inf))
        raise UsageError(
            f"--min-quality {text}: allowed are a number that the reward has to exceed, such as "
            "0, or a quantile from 0% to below 100%; 60% leaves out the 60 % with the lowest "
            "rewards"
        )


def mods(rows: Rows, params: Params) -> Selection:
    """Choose seeds: rows with a high reward that leave no other such row far from them.

    The columns of the scores file: `quality` (the reward), `seed_rank` (1 was chosen first) and
    `seed_distance` (to the nearest seed before it, of embeddings of the instruction).

    Args:
        rows: Instruction data.
        params: Models, threshold, number.

    Raises:
        UsageError: A parameter that does not fit, or rows of another kind.
        DataError: No row has a score, or none is good enough.
        ModelError: The reward model or the encoder is not to be had.

    Example:
        >>> mods(curate.read("huatuo.json"), Params(min_quality="60%", seeds=500))
    """
    refuse_pairs_and_texts(rows, "MoDS")
    started = time.monotonic()
    found, model = rewarded(rows, params.reward, None, QUALITY)
    vectors, encoder = embedded(rows, params.encoder, "instruction")
    status = np.where(found.status == OK, vectors.status, found.status).astype(object)
    values = np.where(status == OK, found.values(QUALITY), np.nan)
    good = _good(params, scored(status), values, rows.ids)
    places = np.flatnonzero(good.kept)
    seeds = _seeds(params, len(places))
    points = np.array(vectors.vectors[places], dtype=np.float32)
    centres = k_center(points, rows.ids[places], seeds, params.seed)
    chosen = places[centres.order]
    choice = good.without(~np.isin(np.arange(len(rows)), chosen), _why(centres, seeds))
    scores = Scores(status, _columns(values, chosen, centres))
    notes = (*found.notes, *vectors.notes, *_notes(params, good, seeds, centres))
    used = replace(
        params, reward=called(params.reward), encoder=called(params.encoder), seeds=seeds
    )
    seconds = time.monotonic() - started
    return Selection(NAME, used, rows, scores, choice, QUALITY, model | encoder, notes, seconds)


def _good(
    params: Params, choice: Choice, values: NDArray[np.float64], ids: NDArray[np.object_]
) -> Choice:
    """Return the choice of the rows with a reward from the bound on."""
    rewards = values[choice.kept]
    if not len(rewards):
        counts = ", ".join(f"{rows:,} {reason}" for reason, rows in choice.counts().items())
        raise DataError(f"no row has a reward: {counts}. Give rows with a prompt and a response")
    bound = params.bound(rewards)
    good = threshold.select(choice, values, ids, threshold.Params(bound, "from", LOW))
    if not good.kept.any():
        quantiles = np.quantile(rewards, [each / 100 for each in _SHOWN])
        told = ", ".join(f"{at}% {q:.3g}" for at, q in zip(_SHOWN, quantiles, strict=True))
        raise DataError(
            f"--min-quality {params.min_quality}: none of {len(rewards):,} rows has a higher "
            f"reward. Their quantiles are {told}; give a lower number, or --min-quality 50% for "
            "the better half"
        )
    return good


def _seeds(params: Params, good: int) -> int:
    if params.seeds is None:
        return min(MOST, max(1, good // 10))
    if params.seeds > good:
        raise UsageError(
            f"--seeds {params.seeds}: only {good:,} rows are good enough; give fewer, or a lower "
            f"--min-quality than {params.min_quality}"
        )
    return params.seeds


def _why(centres: Centres, seeds: int) -> str:
    # With fewer centres than asked for, every other row lies on one of them.
    return DUPLICATE if len(centres.order) < seeds else COVERED


def _columns(
    values: NDArray[np.float64], chosen: NDArray[np.int64], centres: Centres
) -> dict[str, pa.Array]:
    order = np.zeros(len(values), dtype=np.int64)
    order[chosen] = np.arange(1, len(chosen) + 1)
    distance = np.full(len(values), np.nan)
    distance[chosen] = np.where(np.isfinite(centres.distances), centres.distances, np.nan)
    return {
        QUALITY: pa.array(values),
        "seed_rank": pa.array(order, mask=order == 0),
        "seed_distance": pa.array(distance),
    }


def _notes(params: Params, good: Choice, seeds: int, centres: Centres) -> list[str]:
    low = good.counts().get(LOW, 0)
    passed, made = int(good.kept.sum()), len(centres.order)
    notes = [
        f"quality: {passed:,} of {passed + low:,} rows are good enough (--min-quality "
        f"{params.min_quality}); coverage: {made:,} seeds, and no good row is further than "
        f"{centres.radius:.3f} from one"
    ]
    if params.seeds is None and seeds < MOST:
        notes.append(
            f"{seeds:,} seeds are taken, 10 % of the good rows; --seeds says how many, "
            f"{MOST:,} is usual for large sets"
        )
    if made < seeds:
        notes.append(
            f"{seeds:,} seeds were sought and there are only {made:,} different instructions"
        )
    return notes
