"""Keep the rows with the highest scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.selectors.choice import Choice

NAME = "top_k"


@dataclass(frozen=True)
class Params:
    """How many are kept, and what the reason of the others is called.

    Attributes:
        k: Rows to keep; all that are left if there are fewer.
        reason: Of the rows below.
    """

    k: int
    reason: str = "below_cut"


def select(
    choice: Choice, values: NDArray[np.float64], ids: NDArray[np.object_], params: Params
) -> Choice:
    """Return the choice of the k highest; equal scores in the order of their ids.

    Args:
        choice: What is left to choose from.
        values: (n,) scores, the higher the better; a NaN is never kept.
        ids: (n,) of the rows, so that the choice does not depend on their order.
        params: How many.

    Raises:
        UsageError: Fewer than none.

    Example:
        >>> scored = Choice(np.array(["", "", ""], dtype=object))
        >>> select(scored, np.array([1.0, 3.0, 2.0]), np.array(["a", "b", "c"]), Params(2)).kept
        array([False,  True,  True])
    """
    if params.k < 0:
        raise UsageError(f"top_k k={params.k}: allowed are 0 and more")
    places = np.flatnonzero(choice.kept & ~np.isnan(values))
    order = np.lexsort((ids[places].astype(str), -values[places]))
    left_out = np.ones(len(values), dtype=bool)
    left_out[places[order[: params.k]]] = False
    return choice.without(left_out, params.reason)
