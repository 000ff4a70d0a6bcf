"""Parameters of CaR."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import UsageError
from curate.parameters.budget import METAVAR, parse_budget
from curate.parameters.option import check, good_only, limit, option, seed, tokenizer

AUTO = "auto"
RANKERS = (
    "pairs (bundled), a folder of `curate ranker train`, LLaMA-Factory's output of stage rm, or a "
    "reward model's directory, hub id or ms://OWNER/NAME."
)
ENCODERS = "use (bundled), a sentence-transformers directory, a hub id or ms://OWNER/NAME."


@dataclass(frozen=True)
class CarParams:
    """How CaR scores, and how many it keeps from where."""

    ranker: str = option("pairs", RANKERS)
    encoder: str = option("use", ENCODERS)
    top: str | int | None = option(
        None, "Best of all.", metavar=METAVAR, shown="1000, at most 10 % of the rows"
    )
    tokenizer: str | None = tokenizer()
    per_cluster: int = option(1, "Best rows of every cluster.", least=0)
    clusters: str | int = option(AUTO, "auto: the root of half the rows.", metavar="auto|K")
    seed: int = seed()
    good_only: bool = good_only()
    limit: int | None = limit()

    def __post_init__(self) -> None:
        check(self)
        if self.top is not None and str(self.top) != "0":
            parse_budget(self.top, "--top")
        if str(self.top) == "0" and self.per_cluster == 0:
            raise UsageError("--top 0 and --per-cluster 0 keep no row; give one of them a number")
        if self.k == 0:
            raise UsageError(
                f"--clusters {self.clusters}: allowed are {AUTO}, and whole numbers from 1"
            )

    @property
    def k(self) -> int | None:
        """The number of clusters, None for `auto`; 0 for what is neither."""
        text = str(self.clusters)
        if text == AUTO:
            return None
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
