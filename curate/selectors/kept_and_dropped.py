"""Which rows are kept, for every other row why it is not, and what selectors choose from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NO_VECTOR = "no_vector"
BELOW_CUT = "below_cut"


@dataclass(frozen=True)
class Choice:
    """One line for each row, in input order.

    Attributes:
        reason: (n,) why the row is left out; '' for a row that is kept.
        chosen_in_order: (m,) positions as they were chosen, the first one first; None where
            there was no order. Rows that were left out later may be among them.
    """

    reason: NDArray[np.object_]
    chosen_in_order: NDArray[np.int64] | None = None

    @property
    def order(self) -> NDArray[np.int64]:
        """Positions of the kept rows, in the order in which they were chosen, else in the rows'."""
        if self.chosen_in_order is None:
            return np.flatnonzero(self.kept)
        return self.chosen_in_order[self.kept[self.chosen_in_order]]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Whether each row is kept, shape (n,)."""
        kept: NDArray[np.bool_] = self.reason == ""
        return kept

    def without(self, rows: NDArray[np.bool_], reason: str) -> Choice:
        """Return the choice without rows (n,); rows left out before keep their first reason."""
        reasons = np.where(rows & self.kept, reason, self.reason).astype(object)
        return Choice(reasons, self.chosen_in_order)

    def only(self, places: NDArray[np.int64], reason: str) -> Choice:
        """Return the choice of rows alone, with a reason for the others.

        Args:
            places: (m,) positions, in the order in which they are chosen.
            reason: Of all others.
        """
        left_out = np.ones(len(self.reason), dtype=bool)
        left_out[places] = False
        return Choice(self.without(left_out, reason).reason, np.asarray(places))

    def counts(self) -> dict[str, int]:
        """Return how many rows each reason left out, the most frequent first."""
        reasons, counts = np.unique(self.reason[~self.kept].astype(str), return_counts=True)
        pairs = zip(reasons.tolist(), counts.tolist(), strict=True)
        return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


@dataclass(frozen=True)
class Candidates:
    """What a selector chooses from; what it does not name in its NEEDS may be empty.

    Attributes:
        choice: What is left to choose from.
        ids: (n,) of the rows, so that a choice does not depend on their order.
        values: (n,) scores, the higher the better; NaN for a row that has none.
        vectors: (n, d) embeddings; NaN for a row that has none.
        clusters: (n,) number of each row's cluster; -1 for none.
        tokens: (n,) of the responses.
        questions: (m, d) embeddings of each set of questions; NaN for a question that has none.
    """

    choice: Choice
    ids: NDArray[np.object_]
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    clusters: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    tokens: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    questions: tuple[NDArray[np.float32], ...] = ()

    def ranked(self) -> NDArray[np.int64]:
        """Return the positions of rows with a score, the best first, equal ones by their ids."""
        places = np.flatnonzero(self.choice.kept & ~np.isnan(self.values))
        return places[np.lexsort((self.ids[places].astype(str), -self.values[places]))]


def scored(status: NDArray[np.object_]) -> Choice:
    """Return the choice of all rows that have a score; the others' status is their reason.

    Args:
        status: (n,) of a scorer.

    Example:
        >>> scored(np.array(["ok", "truncated"], dtype=object)).reason.tolist()
        ['', 'truncated']
    """
    return Choice(np.where(status == "ok", "", status).astype(object))


def finite(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which rows of (n, d) have a vector without NaN and infinity, shape (n,)."""
    # The sum of a row is finite only if every number is; huge numbers are no embedding.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32, casting="same_kind")
        sums: NDArray[np.bool_] = np.isfinite(squares)
    return sums


def by_id(ids: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return the positions in the order of the ids."""
    return np.argsort(ids.astype(str), kind="stable")


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors (n, d) of length 1; a vector of length 0 stays as it is."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    lengths[lengths == 0] = 1
    scaled: NDArray[np.float32] = (vectors / lengths[:, None]).astype(np.float32)
    return scaled
