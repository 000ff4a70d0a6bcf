"""Budgets: a selector's first k rows, where k is given, or is as many as so many tokens pay for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.selectors.kept_and_dropped import Candidates, Choice


@dataclass(frozen=True)
class Wanted:
    """How much is to be kept.

    Attributes:
        rows: At most so many.
        tokens: Of their responses at most so many; None where rows alone are counted.
        row_tokens: (n,) of all rows.
    """

    rows: int
    tokens: int | None
    row_tokens: NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """A selector with a parameter `k` and what it chooses from, so that any budget can be cut.

    Attributes:
        selector: Its module. Its choice of k rows is the beginning of its choice of more.
        candidates: What it chooses from.
        settings: Its parameters besides `k`.
        told: From a choice to the columns and the details that hang on it, where there are such.
    """

    selector: Any
    candidates: Candidates
    settings: Mapping[str, Any] = field(default_factory=dict)
    told: Callable[[Choice], tuple[dict[str, Any], dict[str, Any]]] | None = None

    def choice(self, wanted: Wanted) -> Choice:
        """Return what is chosen within a budget."""

        def chosen(k: int) -> Choice:
            params = self.selector.PARAMS(k=k, **self.settings)
            choice: Choice = self.selector.select(self.candidates, params)
            return choice

        return chosen(fitting(lambda k: chosen(k).order, wanted))


def fitting(order_of: Callable[[int], NDArray[np.int64]], wanted: Wanted) -> int:
    """Return how many rows of an order fit: those before the first that does not.

    Args:
        order_of: From k to the positions of the first k rows, in the order in which they are
            chosen; fewer where there are no more.
        wanted: The budget.

    Example:
        >>> order, tokens = np.array([2, 0, 1]), np.array([5, 1, 3])
        >>> fitting(lambda k: order[:k], Wanted(rows=3, tokens=8, row_tokens=tokens))
        2
    """
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
