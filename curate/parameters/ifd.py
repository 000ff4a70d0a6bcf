"""Parameters of IFD, and of the brief experience before it."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import UsageError
from curate.parameters import option as options
from curate.parameters.option import check, option, refuse_unused

FORMS = ("loss", "ppl")
TEMPLATES = ("auto", "chat", "alpaca", "none")
DTYPES = ("auto", "float32", "bfloat16")
PER_CLUSTER = 10  # rows of the brief experience


@dataclass(frozen=True)
class IFDParams:
    """How IFD scores and how much it keeps."""

    model: str = option("smollm2", "A name of `curate models`, directory, hub id, ms://OWNER/NAME.")
    keep: str | int | None = options.keep()
    form: str = option(
        "loss",
        "loss: ratio of mean losses (Cherry_LLM); ppl: of perplexities (Superfiltering).",
        allowed=FORMS,
    )
    template: str = option("auto", "How a row becomes text.", allowed=TEMPLATES)
    max_length: int | None = option(
        None,
        "Tokens of prompt and response; longer rows are not scored.",
        shown="1024, or what the model takes",
    )
    dtype: str = option("auto", "auto: bfloat16 where it is fast.", allowed=DTYPES)
    keep_above_one: bool = option(False, "Keep rows whose IFD is 1 or more, too.")
    tokenizer: str | None = options.tokenizer()
    seed: int = options.seed()
    trust_remote_code: bool = options.trust_remote_code()
    brief_experience: bool = option(
        False, "Train the model on a few rows first, then score with it; needs `train setup`."
    )
    experience: str = option(
        "auto",
        "Rows of the brief experience: clusters x rows of each; auto: 100x10, fewer of few rows.",
        metavar="auto|CxN",
    )
    train_set: tuple[str, ...] = options.train_set("of the brief experience")
    good_only: bool = options.good_only()
    limit: int | None = options.limit()

    def __post_init__(self) -> None:
        check(self)
        parse_experience(self.experience)
        refuse_unused(self, "brief_experience", experience=(True,), train_set=(True,))


def parse_experience(text: str) -> tuple[int | None, int]:
    """Return clusters and rows of each, from `auto` or such as `100x10`."""
    if text == "auto":
        return None, PER_CLUSTER
    first, _, second = text.lower().partition("x")
    if first.isdecimal() and second.isdecimal() and int(first) and int(second):
        return int(first), int(second)
    raise UsageError(
        f"--experience {text}: allowed are auto, or clusters x rows of each such as 100x10"
    )
