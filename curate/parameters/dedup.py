"""Parameters of the removal of duplicates."""

from __future__ import annotations

from dataclasses import dataclass

from curate.errors import UsageError
from curate.parameters.option import check, filled_in, option, seed

ON = ("both", "prompt", "response")
LEAST_NEAR = 0.3


@dataclass(frozen=True)
class DedupParams:
    """What counts as a duplicate."""

    near: float = option(0.8, "Jaccard similarity of n-grams that makes two rows duplicates.")
    on: str = option("both", "What is compared; both: all turns.", allowed=ON)
    seed: int = seed()
    # Names and sha256 of the other sets.
    against: tuple[str, ...] = filled_in()

    def __post_init__(self) -> None:
        if not LEAST_NEAR <= self.near <= 1:
            raise UsageError(
                f"--near {self.near:g}: allowed are {LEAST_NEAR} to 1, the share of n-grams that "
                "two rows have in common; 0.8 is usual, 1 takes only rows with the same n-grams"
            )
        check(self)
