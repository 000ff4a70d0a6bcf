"""Which rows are kept, why others are not, what selectors choose from, and within which budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError

MARKED_KEEP, MARKED_DROP = "marked_keep", "marked_drop"
NO_VECTOR = "no_vector"
BELOW_CUT = "below_cut"
# Reasons that a score alone decided, of whatever selector or recipe: with a little more of it the
# row would have been kept.
MISSED = (BELOW_CUT, "near_duplicate", "not_called", "low_quality")


def labelled(
    texts: NDArray[np.object_], places: NDArray[np.bool_], text: str
) -> NDArray[np.object_]:
    """Return texts (n,) with another at some places: one object, where np.where() makes many."""
    new = texts.copy()
    new[places] = text
    return new


@dataclass(frozen=True)
class Choice:
    """One line for each row, in input order."""

    reason: NDArray[np.object_]  # (n,) why the row is left out; '' for a row that is kept
    # (m,) positions as they were chosen, the first one first; None where there was no order. Rows
    # that were left out later may be among them.
    chosen_in_order: NDArray[np.int64] | None = None
    # (n,) whether the row is kept because somebody marked it, whatever the rule says; None where
    # nobody did.
    marked: NDArray[np.bool_] | None = None

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
        return Choice(labelled(self.reason, rows & self.kept, reason), self.chosen_in_order)

    def only(self, places: NDArray[np.int64], reason: str) -> Choice:
        """Return the choice of rows alone, with a reason for the others."""
        left_out = np.ones(len(self.reason), dtype=bool)
        left_out[places] = False
        return Choice(self.without(left_out, reason).reason, np.asarray(places))

    def with_marked(self, rows: NDArray[np.bool_]) -> Choice:
        """Return the choice with rows (n,) that somebody marked, before the others."""
        order = self.chosen_in_order
        if order is not None:
            order = np.concatenate([np.flatnonzero(rows), order[~rows[order]]])
        return Choice(labelled(self.reason, rows, ""), order, rows)

    def by_rule(self) -> Choice:
        """Return the choice without the rows that are kept because somebody marked them."""
        if self.marked is None:
            return self
        return Choice(self.reason, self.chosen_in_order).without(self.marked, MARKED_KEEP)

    def counts(self) -> dict[str, int]:
        """Return how many rows each reason left out, the most frequent first."""
        counts = Counter(self.reason[~self.kept].tolist())
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


@dataclass(frozen=True)
class Candidates:
    """What a selector chooses from; what it does not name in its NEEDS may be empty."""

    choice: Choice  # what is left to choose from
    # (n,) of the rows, texts or bytes, so that a choice does not depend on their order.
    ids: NDArray[Any]
    # (n,) scores, the higher the better; NaN for a row that has none.
    values: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    # (n, d) embeddings; NaN for a row that has none.
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    # (n,) number of each row's cluster; -1 for none.
    clusters: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    # (n,) of the responses.
    tokens: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    # (m, d) embeddings of each set of questions; NaN for a question that has none.
    questions: tuple[NDArray[np.float32], ...] = ()

    def ranked(self) -> NDArray[np.int64]:
        """Return the positions of rows with a score, the best first, equal ones by their ids."""
        places = np.flatnonzero(self.choice.kept & ~np.isnan(self.values))
        return places[np.lexsort((self.ids[places].astype(np.bytes_), -self.values[places]))]


@dataclass(frozen=True)
class Wanted:
    """How much is to be kept."""

    rows: int  # at most so many
    tokens: int | None  # of their responses at most so many; None where rows alone are counted
    row_tokens: NDArray[np.int64]  # (n,) of all rows

    def less(self, rows: NDArray[np.bool_]) -> Wanted:
        """Return what is left when rows (n,) that somebody marked are kept."""
        number, tokens = int(rows.sum()), int(self.row_tokens[rows].sum())
        if number > self.rows or (self.tokens is not None and tokens > self.tokens):
            room = f"{self.rows:,} rows" if self.tokens is None else f"{self.tokens:,} tokens"
            raise UsageError(
                f"--keep is {room}, and the rows that are marked keep are {number:,} with "
                f"{tokens:,} tokens of responses; give a larger --keep, or mark fewer"
            )
        left = None if self.tokens is None else self.tokens - tokens
        return Wanted(self.rows - number, left, self.row_tokens)


@dataclass(frozen=True)
class Ranking:
    """A selector with a parameter `k` and what it chooses from, so that any budget can be cut."""

    selector: Any  # its module. Its choice of k rows is the beginning of its choice of more
    candidates: Candidates  # what it chooses from
    settings: Mapping[str, Any] = field(default_factory=dict)  # its parameters besides `k`
    # From a choice to the columns and the details that hang on it, where there are such.
    told: Callable[[Choice], tuple[dict[str, Any], dict[str, Any]]] | None = None
    # (n,) rows that somebody wants kept, none of them a candidate: the budget pays for them first.
    # None where nobody does.
    marked: NDArray[np.bool_] | None = None

    def choice(self, wanted: Wanted) -> Choice:
        """Return what is chosen within a budget."""

        def chosen(k: int) -> Choice:
            params = self.selector.PARAMS(k=k, **self.settings)
            choice: Choice = self.selector.select(self.candidates, params)
            return choice

        if self.marked is None:
            return chosen(fitting(lambda k: chosen(k).order, wanted))
        left = wanted.less(self.marked)
        return chosen(fitting(lambda k: chosen(k).order, left)).with_marked(self.marked)


def fitting(order_of: Callable[[int], NDArray[np.int64]], wanted: Wanted) -> int:
    """Return how many rows of an order fit: those before the first that does not."""
    if wanted.tokens is None:
        return wanted.rows
    counts = wanted.row_tokens
    # What rows of mean length would need, and twice as much again until it is too much.
    k = 1 + int(
        1.25 * wanted.tokens / max(1.0, float(counts[counts > 0].mean() if counts.any() else 1))
    )
    while True:
        k = min(k, wanted.rows)
        order = order_of(k)
        fit = int(np.searchsorted(np.cumsum(counts[order]), wanted.tokens, side="right"))
        if fit < len(order) or len(order) < k or k == wanted.rows:
            return fit
        k *= 2


def scored(status: NDArray[np.object_]) -> Choice:
    """Return the choice of all rows that have a score; the others' status is their reason."""
    return Choice(labelled(status, status == "ok", ""))


def finite(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which rows of (n, d) have a vector without NaN and infinity, shape (n,)."""
    # The sum of a row is finite only if every number is; huge numbers are no embedding.
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float32, casting="same_kind")
        sums: NDArray[np.bool_] = np.isfinite(squares)
    return sums


def by_id(ids: NDArray[Any]) -> NDArray[np.int64]:
    """Return the positions in the order of the ids."""
    return np.argsort(ids.astype(np.bytes_), kind="stable")


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors (n, d) of length 1; a vector of length 0 stays as it is."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    lengths[lengths == 0] = 1
    scaled: NDArray[np.float32] = (vectors / lengths[:, None]).astype(np.float32)
    return scaled
