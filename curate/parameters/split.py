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
    seed: int = seed()

    def __post_init__(self) -> None:
        DedupParams(near=self.near, seed=self.seed)


@dataclass(frozen=True)
class DecontaminateParams:
    """How like a benchmark's question a row may not be."""

    near: float = option(0.8, "Jaccard similarity of n-grams with a question that drops a row.")
    seed: int = seed()
    # Names and sha256 of the benchmarks.
    against: tuple[str, ...] = filled_in()

    def __post_init__(self) -> None:
        DedupParams(near=self.near, seed=self.seed)
