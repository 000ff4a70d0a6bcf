"""Parameters of MoDS."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from curate.errors import UsageError
from curate.parameters import option as options
from curate.parameters.budget import METAVAR, parse_budget
from curate.parameters.car import ENCODERS, RANKERS
from curate.parameters.option import check, flag, option, refuse_unused

# What stands for a model behind --responder.
NONE, BASE, TRAINED = "none", "base", "trained"
# Of no use where nobody answers.
_ANSWERS = ("max_necessity", "augment", "max_new_tokens", "train_set", "model")


@dataclass(frozen=True)
class ModsParams:
    """What is good enough, how many seeds, and which rows are added to them."""

    reward: str = option("pairs", RANKERS)
    encoder: str = option("use", ENCODERS)
    min_quality: str | float = option(
        "0",
        "Reward that rows have to exceed; 60% leaves out the lowest 60 % of rows.",
        metavar="X|60%",
    )
    seeds: str | int | None = option(
        None,
        "How much to keep of the good rows.",
        metavar=METAVAR,
        shown="1000, at most 10 % of them",
    )
    tokenizer: str | None = options.tokenizer()
    seed: int = options.seed()
    responder: str = option(
        NONE,
        "Answers the good rows: --model trained on the seeds, or as it is; a model, an adapter's "
        "folder, or http://HOST:PORT/v1#MODEL.",
        metavar="trained|base|M|URL",
        typed=TRAINED,
    )
    model: str = option("smollm2", "What `trained` and `base` stand for; see `curate models`.")
    max_necessity: str | float = option(
        "0",
        "Rows whose answer has a lower reward are necessary; 30% takes the lowest 30 %.",
        metavar="X|30%",
    )
    augment: str | int | None = option(
        None, "Necessary rows to add.", metavar=METAVAR, shown="as many as there are seeds"
    )
    max_new_tokens: int = option(256, "Where an answer is cut off.", least=1)
    train_set: tuple[str, ...] = options.train_set("of the trained responder; 3 epochs else")
    good_only: bool = options.good_only()
    limit: int | None = options.limit()

    def __post_init__(self) -> None:
        share, number = parse_bound(self.min_quality)
        if number is None and (share is None or not 0 <= share < 1):
            raise UsageError(
                f"--min-quality {self.min_quality}: allowed are a number that the reward has to "
                "exceed, such as 0, or a quantile from 0% to below 100%; 60% leaves out the 60 % "
                "with the lowest rewards"
            )
        share, number = parse_bound(self.max_necessity)
        if number is None and (share is None or not 0 < share <= 1):
            raise UsageError(
                f"--max-necessity {self.max_necessity}: allowed are a number that the reward of "
                "the model's answer is below, such as 0, or a quantile from above 0% to 100%; 30% "
                "takes the 30 % with the lowest rewards"
            )
        for name, typed in (("--seeds", self.seeds), ("--augment", self.augment)):
            if typed is not None and not (name == "--augment" and str(typed) == "0"):
                parse_budget(typed, name)
        check(self)
        if not self.responder.strip():
            raise UsageError(
                f"--responder '': allowed are {TRAINED}, {BASE}, {NONE}, a model, an adapter's "
                "directory, or http://HOST:PORT/v1#MODEL"
            )

    def refuse_unused(self) -> None:
        """Refuse what was given of a model that does not answer, or is not trained."""
        for each in fields(self) if self.responder == NONE else ():
            if each.name in _ANSWERS and getattr(self, each.name) != each.default:
                raise UsageError(
                    f"{flag(each.name)}: no model answers with --seeds-only or --responder {NONE}; "
                    "leave one of them out"
                )
        refuse_unused(self, "responder", train_set=(TRAINED,), model=(TRAINED, BASE))


def parse_bound(text: str | float) -> tuple[float | None, float | None]:
    """Return the share of a quantile such as `60%`, or the number; None twice for neither."""
    whole = str(text).strip()
    try:
        number = float(whole.removesuffix("%"))
    except ValueError:
        return None, None
    if not math.isfinite(number):
        return None, None
    return (number / 100, None) if whole.endswith("%") else (None, number)
