"""Parameters of the removal of duplicates."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import UsageError
from curate.parameters.option import check, filled_in, option, seed

ON = ("both", "prompt", "response")
LEAST_NEAR = 0.3
_MOST_NGRAM = 50


@dataclass(frozen=True)
class DedupParams:
    """What counts as a duplicate."""

    near: float = option(0.8, "Jaccard similarity of n-grams that makes two rows duplicates.")
    on: str = option("both", "What is compared; both: all turns.", allowed=ON)
    ngram: int = option(5, "Characters of an n-gram.")
    contained: float | None = option(
        None,
        "Drop a row that holds so much of a question of --against; 0: do not look.",
        shown="as --near",
    )
    seed: int = seed()
    # Names and sha256 of the other sets.
    against: tuple[str, ...] = filled_in()

    def __post_init__(self) -> None:
        if not LEAST_NEAR <= self.near <= 1:
            raise UsageError(
                f"--near {self.near:g}: allowed are {LEAST_NEAR} to 1, the share of n-grams that "
                "two rows have in common; 0.8 is usual, 1 takes only rows with the same n-grams"
            )
        if not 0 <= self.held <= 1:
            raise UsageError(
                f"--contained {self.held:g}: allowed are 0 (do not look) to 1, the share of a "
                "question's n-grams that stand in a row"
            )
        if not 1 <= self.ngram <= _MOST_NGRAM:
            raise UsageError(
                f"--ngram {self.ngram}: allowed are 1 to {_MOST_NGRAM} characters; 5 is usual"
            )
        check(self)

    @property
    def held(self) -> float:
        """The share of a question that a row may not hold; 0 where none is looked for."""
        return self.near if self.contained is None else self.contained
