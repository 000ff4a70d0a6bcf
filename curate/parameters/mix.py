"""Parameters of a mixture, besides its sources and its ratio."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import UsageError
from curate.parameters.option import check, good_only, option, seed


@dataclass(frozen=True, kw_only=True)
class MixParams:
    """What a ratio counts, and what is done where rows are short."""

    by: str = option("rows", "What the ratio counts.", allowed=("rows", "tokens"))
    model: str = option("smollm2", "Whose tokenizer counts tokens.")
    shortage: str = option(
        "error",
        "Too little general data: stop; use less domain data; repeat general rows.",
        allowed=("error", "shrink", "repeat"),
    )
    stage: str = option("sft", "pt: texts for pre-training.", allowed=("sft", "pt"))
    seed: int = seed()
    name: str = option("", "Of the data set.", command=False)
    good_only: bool = good_only()
    self_answers: str = option(
        "",
        "Let MODEL, the one to be trained, answer the general prompts: it forgets less.",
        metavar="MODEL",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.self_answers and (self.by == "tokens" or self.stage == "pt"):
            raise UsageError(
                "--self-answers goes with --by rows and --stage sft: how long answers will be is "
                "not known before"
            )
