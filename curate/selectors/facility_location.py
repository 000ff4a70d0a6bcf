"""Facility location: rows that stand for all others as well as that many rows can.

Superfiltering.D (arXiv 2402.00530) takes it to thin out the rows with the highest IFD. Chosen is,
again and again, the row that most raises the sum over all rows of the similarity to the most
similar chosen row. Deviations from the published program: similarity is the cosine, at least 0,
instead of one of Euclidean distance; and with more rows than `neighbours`, only the most similar
pairs are kept, since all pairs of 100,000 rows are 40 GB.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.selectors import at_least
from curate.selectors.kept_and_dropped import NO_VECTOR, Candidates, Choice, by_id, finite, unit

NAME = "facility_location"
NEEDS = ("vectors",)
COVERED = "covered"
_BLOCK = 1024


@dataclass(frozen=True)
class FacilityLocationParams:
    """How many, and how much of the similarities is looked at."""

    k: int  # rows to keep; all that are left if there are fewer
    # Most similar rows of each row that count; others count as not similar at all. From the number
    # of rows on, nothing is left out and the greedy choice is exact.
    neighbours: int = 256

    def __post_init__(self) -> None:
        at_least(0, NAME, k=self.k)
        at_least(1, NAME, neighbours=self.neighbours)


PARAMS = FacilityLocationParams


class Graph(NamedTuple):
    """Which rows each row could stand for, column by column."""

    starts: NDArray[np.int64]  # (n + 1,) where each column begins
    # (entries,) the rows that a column's row is similar to, ascending in a column.
    rows: NDArray[np.int64]
    similarities: NDArray[np.float32]  # (entries,) float32, above 0


def select(candidates: Candidates, params: FacilityLocationParams) -> Choice:
    """Return the choice of k rows that represent the others."""
    vectors = candidates.vectors
    choice = candidates.choice.without(~finite(vectors), NO_VECTOR)
    places = np.flatnonzero(choice.kept)
    ordered = places[by_id(candidates.ids[places])]
    if not len(ordered):
        return choice
    graph = neighbour_graph(vectors[ordered], params.neighbours)
    return choice.only(ordered[lazy_greedy(graph, params.k)], COVERED)


def neighbour_graph(vectors: NDArray[np.float32], neighbours: int) -> Graph:
    """Return the most similar rows of every row, itself among them.

    Similarities are rounded to five digits: those that are equal are so in every shape of product.
    """
    import faiss

    points = unit(vectors)
    size = len(points)
    index: Any = faiss.IndexFlatIP(points.shape[1])
    index.add(points)
    own = np.arange(size)
    parts = [(own, own, np.ones(size, dtype=np.float32))]
    for at in range(0, size, _BLOCK):
        cosines, nearest = index.search(points[at : at + _BLOCK], min(neighbours, size))
        rows = np.repeat(own[at : at + _BLOCK], nearest.shape[1])
        columns, near = nearest.ravel(), np.round(cosines.ravel(), 5)
        # Each row is entered already: its cosine to itself is 1, also of a vector of length 0.
        entered = (near > 0) & (rows != columns)
        parts.append((rows[entered], columns[entered], near[entered]))
    rows, columns, similarities = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((rows, columns))
    starts = np.concatenate(([0], np.cumsum(np.bincount(columns, minlength=size))))
    return Graph(starts=starts, rows=rows[order], similarities=similarities[order])


def lazy_greedy(graph: Graph, k: int) -> NDArray[np.int64]:
    """Return the greedy choice of k rows, in order; of equal gains the smaller position.

    A gain only falls as rows are chosen, so one that was computed earlier is a bound: a row is
    looked at again only when its bound is the highest (Minoux, 1978).
    """
    size = len(graph.starts) - 1
    reached = np.zeros(size, dtype=np.float32)  # each row's similarity to its nearest chosen one
    columns = [slice(*ends) for ends in itertools.pairwise(graph.starts.tolist())]

    def bound(column: int) -> tuple[float, int]:
        part = columns[column]
        more = graph.similarities[part] - reached[graph.rows[part]]
        return -float(np.maximum(more, 0).sum(dtype=np.float64)), column

    heap = [bound(column) for column in range(size)]
    heapq.heapify(heap)
    chosen: list[int] = []
    while heap and len(chosen) < k:
        column = heap[0][1]
        now = bound(column)
        if len(heap) > 1 and now > min(heap[1:3]):
            heapq.heapreplace(heap, now)
            continue
        heapq.heappop(heap)
        chosen.append(column)
        rows = graph.rows[columns[column]]
        reached[rows] = np.maximum(reached[rows], graph.similarities[columns[column]])
    return np.array(chosen, dtype=np.int64)
