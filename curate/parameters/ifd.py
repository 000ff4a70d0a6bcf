"""Parameters of IFD, and of the brief experience before it."""

from __future__ import annotations

from dataclasses import dataclass

from curate.parameters import option as options
from curate.parameters.option import check, option, refuse_unused

FORMS = ("loss", "ppl")
TEMPLATES = ("auto", "chat", "alpaca", "none")
DTYPES = ("auto", "float32", "bfloat16")


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
    train_set: tuple[str, ...] = options.train_set("of the brief experience")
    good_only: bool = options.good_only()
    limit: int | None = options.limit()

    def __post_init__(self) -> None:
        check(self)
        refuse_unused(self, "brief_experience", train_set=(True,))
