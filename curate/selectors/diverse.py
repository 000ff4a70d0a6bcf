"""DEITA: the highest scores, without rows that say what a better one says (arXiv 2312.15685)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.selectors import at_least
from curate.selectors.kept_and_dropped import BELOW_CUT, NO_VECTOR, Candidates, Choice, finite, unit

NAME = "diverse"
NEEDS = ("values", "vectors")
_BLOCK = 1024


@dataclass(frozen=True)
class DiverseParams:
    """How many, and what is too near."""

    k: int  # rows to keep; fewer where not as many are apart from each other
    nearest: float = 0.9  # a row is skipped if its cosine to a kept one is above this

    def __post_init__(self) -> None:
        at_least(0, NAME, k=self.k)
        if not -1 <= self.nearest <= 1:
            raise UsageError(f"diverse nearest={self.nearest}: allowed is a cosine, -1 to 1")


PARAMS = DiverseParams


def select(candidates: Candidates, params: DiverseParams) -> Choice:
    """Return the choice: from the highest score down, each row that is near no kept one.

    Example:
        >>> all_of = Choice(np.array(["", "", ""], dtype=object))
        >>> vectors = np.array([[1, 0], [1, 0.1], [0, 1]], dtype=np.float32)
        >>> values, ids = np.array([3.0, 2, 1]), np.array(["a", "b", "c"])
        >>> select(Candidates(all_of, ids, values, vectors), DiverseParams(2)).kept
        array([ True, False,  True])
    """
    vectors, ranked = candidates.vectors, candidates.ranked()
    ranked = ranked[finite(vectors)[ranked]]
    kept: list[int] = []
    too_near = np.zeros(len(vectors), dtype=bool)
    chosen = np.empty((min(params.k, len(ranked)), vectors.shape[1]), dtype=np.float32)
    # A block of rows at a time is compared with the kept.
    for block in (ranked[at : at + _BLOCK] for at in range(0, len(ranked), _BLOCK)):
        rows = unit(vectors[block])
        near = np.zeros(len(block), dtype=bool)
        for start in range(0, len(kept), 8 * _BLOCK):
            others = chosen[start : min(start + 8 * _BLOCK, len(kept))]
            near |= _above(rows, others, params.nearest).any(axis=1)
        among = _above(rows, rows, params.nearest)
        for line, place in enumerate(block.tolist()):
            if len(kept) >= params.k:
                break
            if near[line]:
                too_near[place] = True
                continue
            near |= among[line]  # from now on, whatever lies near this row is skipped
            chosen[len(kept)] = rows[line]
            kept.append(place)
        if len(kept) >= params.k:
            break
    choice = candidates.choice.without(~finite(vectors), NO_VECTOR)
    choice = choice.without(too_near, "too_similar")
    return choice.only(np.array(kept, dtype=np.int64), BELOW_CUT)


def _above(
    rows: NDArray[np.float32], others: NDArray[np.float32], bound: float
) -> NDArray[np.bool_]:
    """Return whether each cosine is above the bound, (rows, others)."""
    cosines = rows @ others.T
    above: NDArray[np.bool_] = cosines > bound
    # A product in 32 bits may be on the wrong side of a bound that it all but touches, and which
    # one depends on the shape of the product: those are computed again in 64 bits.
    slack = 2.0**-23 * (rows.shape[1] + 8)
    lines, columns = np.nonzero(np.abs(cosines - np.float32(bound)) <= slack)
    for at in range(0, len(lines), _BLOCK):
        one, other = lines[at : at + _BLOCK], columns[at : at + _BLOCK]
        product = rows[one].astype(np.float64) * others[other]
        above[one, other] = product.sum(axis=1) > bound
    return above
