"""MoDS: its parameters, and its first two stages, what is good and what of it covers the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.rows import Rows
from curate.errors import DataError, UsageError
from curate.models.ranking.load import DEFAULT_RANKER
from curate.recipes.scoring import embedded, rewarded
from curate.scorers.contract import OK
from curate.scorers.necessity import AnswerParams
from curate.selectors import threshold
from curate.selectors.choice import Candidates, Choice, scored
from curate.selectors.k_center import COVERED, Centres, k_center

# What stands for a model behind --responder.
NONE, BASE, TRAINED = "none", "base", "trained"
OPTIONS = (
    *("reward", "encoder", "min_quality", "seeds", "seed", "responder", "model", "max_necessity"),
    *("augment", "max_new_tokens", "train_set", "good_only"),
)
QUALITY = "quality"
LOW = "low_quality"
MOST = 1000
_SHOWN = (10, 25, 50, 75, 90)


@dataclass(frozen=True)
class Params:
    """What is good enough, how many seeds, and which rows are added to them.

    Attributes:
        reward: See load_reward(): `pairs`, a trained ranker, a reward model.
        encoder: See load_encoder(): embeds instructions.
        min_quality: A reward that rows have to exceed; or a quantile such as `60%`: that share of
            the rows lies below, and is left out.
        seeds: Rows to keep for coverage; None is 1,000, but 10 % of the good rows where that is
            fewer.
        seed: Draws the first centre.
        responder: Answers the good rows' instructions: `trained` (`model` after training on the
            seeds, as the paper has it), `base` (`model` as it is), anything that load_generator()
            takes, or `none`, which ends with the seeds.
        model: What `base` and `trained` stand for.
        max_necessity: Rows whose answer has a reward below this are necessary; or a quantile
            such as `30%`: that share of the rows with the lowest rewards. Answers that are empty
            or repeat themselves count as lowest.
        augment: Necessary rows to add; None is as many as there are seeds.
        max_new_tokens: Where an answer is cut off.
        train_set: `KEY=VALUE` for `train sft --set`, of the model that `trained` stands for.
        good_only: Of rows with verdicts, leave out those with a bad one.
    """

    reward: str = DEFAULT_RANKER
    encoder: str = "use"
    min_quality: str | float = "0"
    seeds: int | None = None
    seed: int = 0
    responder: str = NONE
    model: str = "smollm2"
    max_necessity: str | float = "0"
    augment: int | None = None
    max_new_tokens: int = 256
    train_set: tuple[str, ...] = ()
    good_only: bool = False

    def __post_init__(self) -> None:
        """Refuse what no data could make right."""
        self.bound(np.zeros(1))
        self.necessary(np.zeros(1))
        if self.seeds is not None and self.seeds < 1:
            raise UsageError(f"--seeds {self.seeds}: allowed are 1 and more")
        if self.augment is not None and self.augment < 0:
            raise UsageError(f"--augment {self.augment}: allowed are 0 and more")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: allowed are 0 and above")
        AnswerParams(self.max_new_tokens)
        for each in self.train_set:
            if "=" not in each.strip("="):
                raise UsageError(f"--train-set {each}: allowed is KEY=VALUE, as train sft --set")
        if not self.responder.strip():
            raise UsageError(
                f"--responder '': allowed are {TRAINED}, {BASE}, {NONE}, a model, an adapter's "
                "directory, or http://HOST:PORT/v1#MODEL"
            )

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
        share, number = _parsed(self.min_quality)
        if share is not None and 0 <= share < 1:
            return float(np.quantile(values, share))
        if number is not None:
            return float(np.nextafter(number, np.inf))
        raise UsageError(
            f"--min-quality {self.min_quality}: allowed are a number that the reward has to "
            "exceed, such as 0, or a quantile from 0% to below 100%; 60% leaves out the 60 % with "
            "the lowest rewards"
        )

    def necessary(self, values: NDArray[np.float64]) -> float:
        """Return the reward below which an answer makes its row necessary.

        Args:
            values: (m,) rewards of the answers, at least one; -inf for one that is none.

        Raises:
            UsageError: max_necessity is neither a number nor a quantile.

        Example:
            >>> Params(max_necessity="50%").necessary(np.array([1.0, 2.0, 3.0]))
            2.0
        """
        share, number = _parsed(self.max_necessity)
        if share is not None and 0 < share <= 1:
            # Not between two rewards: one of them may be -inf.
            return float(np.quantile(values, share, method="higher")) if share < 1 else np.inf
        if number is not None:
            return number
        raise UsageError(
            f"--max-necessity {self.max_necessity}: allowed are a number that the reward of the "
            "model's answer is below, such as 0, or a quantile from above 0% to 100%; 30% takes "
            "the 30 % with the lowest rewards"
        )


def _parsed(given: str | float) -> tuple[float | None, float | None]:
    """Return the share that a quantile says, or the number that stands there, or neither."""
    text = str(given).strip()
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        return None, None
    if not np.isfinite(number):
        return None, None
    return (number / 100, None) if text.endswith("%") else (None, number)


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


def find_seeds(rows: Rows, params: Params) -> Seeds:
    """Return rows with a high reward that leave no other such row far from them.

    Args:
        rows: Instruction data.
        params: Models, threshold, number.

    Raises:
        UsageError: More seeds than there are good rows.
        DataError: No row has a score, or none is good enough.
        ModelError: The reward model or the encoder is not to be had.
    """
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


def quantiles(values: NDArray[np.float64]) -> str:
    """Return some quantiles for a message."""
    found = np.quantile(values, [each / 100 for each in _SHOWN])
    return ", ".join(f"{at}% {q:.3g}" for at, q in zip(_SHOWN, found, strict=True))


def _good(
    params: Params, choice: Choice, values: NDArray[np.float64], ids: NDArray[np.object_]
) -> Choice:
    """Return the choice of the rows with a reward from the bound on."""
    rewards = values[choice.kept]
    if not len(rewards):
        counts = ", ".join(f"{rows:,} {reason}" for reason, rows in choice.counts().items())
        raise DataError(f"no row has a reward: {counts}. Give rows with a prompt and a response")
    bound = params.bound(rewards)
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


def _wanted(params: Params, good: int) -> int:
    if params.seeds is None:
        return min(MOST, max(1, good // 10))
    if params.seeds > good:
        raise UsageError(
            f"--seeds {params.seeds}: only {good:,} rows are good enough; give fewer, or a lower "
            f"--min-quality than {params.min_quality}"
        )
    return params.seeds


def _notes(params: Params, good: Choice, wanted: int, centres: Centres) -> list[str]:
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
