"""Parameters of a proof: what is trained, on how much, how often, and what it is measured on."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import UsageError, check_one_of
from curate.parameters import option as options
from curate.parameters.option import check, option
from curate.scorers.overlap import MEASURES

BASE, RANDOM, RANDOM_TOKENS, LIKE = "base", "random", "random-tokens", "like"
# What chooses; base, random and random-tokens are in every proof.
CHOOSING = ("longest", "clusters", LIKE, "ifd", "superfilter", "deita", "car", "mods", "k_center")
ARMS = (BASE, RANDOM, RANDOM_TOKENS, *CHOOSING)


@dataclass(frozen=True)
class ProveParams:
    """What is compared, and how."""

    arms: tuple[str, ...] = option(
        (),
        f"What chooses: {', '.join(ARMS)}.",
        metavar="A,B…",
        shown="base,random,random-tokens,longest,clusters,ifd, and like with --like",
    )
    keep: str | int | None = options.keep()
    model: str = option("smollm2", "What is trained: as train sft --model.")
    repeats: int = option(3, "Trainings of each arm, each with a seed of its own.", least=1)
    steps: int = option(60, "Of the optimizer, the same for every arm.", least=1)
    batch: int = option(8, "Rows a step, the same for every arm.", least=1)
    test: str | int = option(
        300, "Rows to set aside and measure on, or a file of such.", metavar="N|10%|F"
    )
    rates: str = option(
        "5e-5,1e-4,2e-4",
        "Learning rates; the best on a part of the random rows is taken. One: no choice.",
        metavar="R,R…",
    )
    rates_per_arm: bool = option(False, "Choose it for every arm, on a part of its own rows.")
    mix: tuple[str, ...] = option(
        (),
        "Mix --general with the first arm's rows: 1:1, 1:5, self (1:1, answered by the model).",
        metavar="0,1:1…",
        several=False,
    )
    answers: tuple[str, ...] = option(
        (), f"Measure answers, too: {', '.join(MEASURES)}.", metavar="A,B…", several=False
    )
    judge: str | None = option(
        None, "Who says which answer is better: pairs, a ranker, http://HOST:PORT/v1#MODEL."
    )
    exam: tuple[str, ...] = option(
        (), "Let every model sit an exam, as `deploy eval --exam`, by letters.", metavar="F…"
    )
    max_new_tokens: int = option(256, "Where an answer is cut off.", least=1)
    tokenizer: str | None = options.tokenizer()
    seed: int = options.seed()
    train_set: tuple[str, ...] = options.train_set("of every training", several=True)
    trust_remote_code: bool = options.trust_remote_code()

    def __post_init__(self) -> None:
        for arm in self.named:
            check_one_of("--arms", arm, ARMS)
        for measure in self.measures:
            check_one_of("--answers", measure, tuple(MEASURES))
        check(self)
        if not self.learning_rates or not all(0 < rate < 1 for rate in self.learning_rates):
            raise UsageError(
                f"--rates {self.rates}: allowed are numbers between 0 and 1, such as 5e-5,1e-4"
            )

    @property
    def named(self) -> tuple[str, ...]:
        return _one_by_one(self.arms)

    @property
    def measures(self) -> tuple[str, ...]:
        """What of answers is measured against references, one by one."""
        return _one_by_one(self.answers)

    @property
    def mixes(self) -> tuple[str, ...]:
        """What the first arm is mixed with, one by one; 0 is the arm itself."""
        return tuple(each for each in _one_by_one(self.mix) if each != "0")

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """The rates as numbers; () where one is none."""
        try:
            return tuple(dict.fromkeys(float(each) for each in self.rates.split(",")))
        except ValueError:
            return ()


def _one_by_one(typed: tuple[str, ...]) -> tuple[str, ...]:
    names = (name.strip() for each in typed for name in each.split(","))
    return tuple(dict.fromkeys(filter(None, names)))
