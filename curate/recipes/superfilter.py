"""Superfiltering with diversity: the rows with the highest IFD, thinned out by facility location.

Source: arXiv 2402.00530, Superfiltering.D: of the 20 % with the highest IFD (ratio of
perplexities, below 1), 2 % of all rows that stand for the others best. Deviations: the encoder is
multilingual, and see `curate.selectors.facility_location` for the similarity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.selectors import facility_location, top_k
from curate.selectors.budget import budget
from curate.selectors.choice import Candidates, Choice

NAME = "superfilter"
COVERED = "covered"


@dataclass(frozen=True)
class SuperfilterParams:
    """How many of how many.

    Attributes:
        wanted: Rows to keep.
        pool: Rows with the highest scores that they are chosen from.
    """

    wanted: int
    pool: int


def pool_of(pool: str | int | None, wanted: int, rows: int) -> int:
    """Return how many rows the budget is chosen from."""
    if pool is None:
        return max(wanted, rows // 5)
    try:
        size = budget(pool, rows)
    except UsageError as error:
        raise UsageError(str(error).replace("--keep", "--pool", 1)) from error
    if size < wanted:
        raise UsageError(
            f"--pool {pool}: that is {size:,} rows, and --keep asks for {wanted:,} of them; give a "
            "larger pool"
        )
    return size


def choose(
    choice: Choice,
    values: NDArray[np.float64],
    vectors: NDArray[np.float32],
    ids: NDArray[np.object_],
    params: SuperfilterParams,
) -> Choice:
    """Return the rows of the pool that stand for the others best.

    Args:
        choice: What is left to choose from.
        values: (n,) scores, the higher the better.
        vectors: (n, d) embeddings.
        ids: (n,) of the rows.
        params: Budget and pool.
    """
    pool = top_k.select(Candidates(choice, ids, values=values), top_k.TopKParams(k=params.pool))
    return facility_location.select(
        Candidates(pool, ids, vectors=vectors),
        facility_location.FacilityLocationParams(k=params.wanted, reason=COVERED),
    )
