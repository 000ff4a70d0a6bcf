"""Parameters of splitting rows in two, and of taking benchmarks' questions out."""

from __future__ import annotations

from dataclasses import dataclass

from curate.parameters.dedup import DedupParams
from curate.parameters.option import filled_in, option, seed


@dataclass(frozen=True)
class SplitParams:
    """How many rows to set aside, and what must not stand on both sides."""

    test: str | int = option("10%", "Rows to set aside.", metavar="10%|N", shown="10%")
    near: float = option(0.8, "Jaccard similarity of n-grams that keeps rows on one side.")
    ngram: int = option(5, "Characters of an n-gram.")
    seed: int = seed()

    def __post_init__(self) -> None:
        DedupParams(near=self.near, ngram=self.ngram, seed=self.seed)


@dataclass(frozen=True)
class DecontaminateParams:
    """How much of a benchmark's question a row may not hold."""

    near: float = option(0.8, "Jaccard similarity of n-grams with a question that drops a row.")
    contained: float = option(0.8, "Share of a question's n-grams that a row may not hold.")
    ngram: int = option(5, "Characters of an n-gram.")
    seed: int = seed()
    # Names and sha256 of the benchmarks.
    against: tuple[str, ...] = filled_in()

    def __post_init__(self) -> None:
        DedupParams(near=self.near, ngram=self.ngram, seed=self.seed, contained=self.contained)
