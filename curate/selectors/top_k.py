"""Keep the rows with the highest scores."""

from __future__ import annotations

from dataclasses import dataclass

from curate.selectors import at_least
from curate.selectors.kept_and_dropped import BELOW_CUT, Candidates, Choice

NAME = "top_k"
NEEDS = ("values",)


@dataclass(frozen=True)
class TopKParams:
    """How many are kept."""

    k: int  # rows to keep; all that are left if there are fewer

    def __post_init__(self) -> None:
        at_least(0, NAME, k=self.k)


PARAMS = TopKParams


def select(candidates: Candidates, params: TopKParams) -> Choice:
    """Return the choice of the k highest; equal scores in the order of their ids.

    Example:
        >>> scored = Choice(np.array(["", "", ""], dtype=object))
        >>> ids, values = np.array(["a", "b", "c"]), np.array([1.0, 3.0, 2.0])
        >>> select(Candidates(scored, ids, values), TopKParams(2)).kept
        array([False,  True,  True])
    """
    return candidates.choice.only(candidates.ranked()[: params.k], BELOW_CUT)
