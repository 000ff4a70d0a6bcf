"""Keep the rows with the highest scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.errors import UsageError
from curate.selectors.choice import Candidates, Choice

NAME = "top_k"
NEEDS = ("values",)


@dataclass(frozen=True)
class TopKParams:
    """How many are kept, and what the reason of the others is called.

    Attributes:
        k: Rows to keep; all that are left if there are fewer.
        reason: Of the rows below.
    """

    k: int
    reason: str = "below_cut"


PARAMS = TopKParams


def select(candidates: Candidates, params: TopKParams) -> Choice:
    """Return the choice of the k highest; equal scores in the order of their ids.

    Args:
        candidates: What is left to choose from, with values.
        params: How many.

    Raises:
        UsageError: Fewer than none.

    Example:
        >>> scored = Choice(np.array(["", "", ""], dtype=object))
        >>> ids, values = np.array(["a", "b", "c"]), np.array([1.0, 3.0, 2.0])
        >>> select(Candidates(scored, ids, values), TopKParams(2)).kept
        array([False,  True,  True])
    """
    choice, ids = candidates.choice, candidates.ids
    values = candidates.values
    if params.k < 0:
        raise UsageError(f"top_k k={params.k}: allowed are 0 and more")
    places = np.flatnonzero(choice.kept & ~np.isnan(values))
    order = np.lexsort((ids[places].astype(str), -values[places]))
    left_out = np.ones(len(values), dtype=bool)
    left_out[places[order[: params.k]]] = False
    return choice.without(left_out, params.reason)
