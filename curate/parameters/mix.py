"""Parameters of a mixture, besides its sources and its ratio."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import UsageError, check_one_of
from curate.parameters.option import good_only, option, seed

_ALLOWED = {
    "by": ("rows", "tokens"),
    "stage": ("sft", "pt"),
    "shortage": ("error", "shrink", "repeat"),
}


@dataclass(frozen=True, kw_only=True)
class MixParams:
    """What a ratio counts, and what is done where rows are short."""

    by: str = option("rows", "What the ratio counts.", metavar="rows|tokens")
    model: str = option("smollm2", "Whose tokenizer counts tokens.")
    shortage: str = option(
        "error",
        "Too little general data: stop; use less domain data; repeat general rows.",
        metavar="error|shrink|repeat",
    )
    stage: str = option("sft", "pt: texts for pre-training.", metavar="sft|pt")
    seed: int = seed()
    name: str = option("", "Of the data set.", command=False)
    good_only: bool = good_only()

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            check_one_of(f"--{name}", getattr(self, name), allowed)
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: allowed are whole numbers from 0")
