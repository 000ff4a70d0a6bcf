"""What MoDS is asked for: bounds, numbers, models, and where the trained model goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.models.ranking.load import DEFAULT_RANKER
from curate.scorers.necessity import AnswerParams

# What stands for a model behind --responder.
NONE, BASE, TRAINED = "none", "base", "trained"
OPTIONS = (
    *("reward", "encoder", "min_quality", "seeds", "seed", "responder", "model", "max_necessity"),
    *("augment", "max_new_tokens", "train_set", "good_only"),
)


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
