"""Facility location: rows that stand for all others as well as that many rows can.

Superfiltering.D (arXiv 2402.00530) takes it to thin out the rows with the highest IFD. Chosen is,
again and again, the row that most raises the sum over all rows of the similarity to the most
similar chosen row. Deviations from the published program: similarity is the cosine, at least 0,
instead of one of Euclidean distance; and with more rows than `neighbours`, only the most similar
pairs are kept, since all pairs of 100,000 rows are 40 GB.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.selectors.choice import Candidates, Choice
from curate.selectors.vectors import NO_VECTOR, by_id, finite, unit, usable

NAME = "facility_location"
NEEDS = ("vectors",)
_BLOCK = 1024


@dataclass(frozen=True)
class FacilityLocationParams:
    """How many, and how much of the similarities is looked at.

    Attributes:
        k: Rows to keep; all that are left if there are fewer.
        neighbours: Most similar rows of each row that count; others count as not similar at
            all. From the number of rows on, nothing is left out and the greedy choice is exact.
        reason: Of the rows that are left out.
    """

    k: int
    neighbours: int = 256
    reason: str = "covered"


@dataclass(frozen=True)
class Graph:
    """Which rows each row could stand for, column by column.

    Attributes:
        starts: (n + 1,) where each column begins.
        rows: (entries,) the rows that a column's row is similar to, ascending in a column.
        similarities: (entries,) float32, above 0.
    """

    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    similarities: NDArray[np.float32]


PARAMS = FacilityLocationParams


def select(candidates: Candidates, params: FacilityLocationParams) -> Choice:
    """Return the choice of k rows that represent the others.

    Args:
        candidates: What is left to choose from, with vectors.
        params: Budget and neighbours.

    Raises:
        UsageError: Fewer than none, or no neighbours.
    """
    choice, ids = candidates.choice, candidates.ids
    vectors = candidates.vectors
    if params.k < 0:
        raise UsageError(f"facility_location k={params.k}: allowed are 0 and more")
    if params.neighbours < 1:
        raise UsageError(
            f"facility_location neighbours={params.neighbours}: allowed are 1 and more"
        )
    places = usable(choice, vectors)
    ordered = places[by_id(ids[places])]
    left_out = np.ones(len(vectors), dtype=bool)
    if len(ordered):
        graph = neighbour_graph(vectors[ordered], params.neighbours)
        left_out[ordered[lazy_greedy(graph, params.k)]] = False
    return choice.without(~finite(vectors), NO_VECTOR).without(left_out, params.reason)


def neighbour_graph(vectors: NDArray[np.float32], neighbours: int) -> Graph:
    """Return the most similar rows of every row, itself among them.

    Similarities are rounded to five digits: those that are equal are so in every shape of product.

    Args:
        vectors: (n, d) finite.
        neighbours: Of each row; n or more for all.
    """
    points = unit(vectors)
    size = len(points)
    pairs = _all_pairs(points) if neighbours >= size else _nearest_pairs(points, neighbours)
    rows, columns, similarities = pairs
    similarities = np.round(similarities, 5)
    similarities[rows == columns] = 1.0  # also of a vector of length 0
    near = similarities > 0
    rows, columns, similarities = rows[near], columns[near], similarities[near]
    order = np.lexsort((rows, columns))
    starts = np.concatenate(([0], np.cumsum(np.bincount(columns, minlength=size))))
    return Graph(starts, rows[order], similarities[order])


Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


def _all_pairs(points: NDArray[np.float32]) -> Pairs:
    rows, columns = np.divmod(np.arange(len(points) ** 2), len(points))
    return rows, columns, (points @ points.T).ravel()


def _nearest_pairs(points: NDArray[np.float32], neighbours: int) -> Pairs:
    """Return (rows, columns, cosines) of each row's nearest and of each row with itself."""
    import faiss

    index: Any = faiss.IndexFlatIP(points.shape[1])
    index.add(points)
    own = np.arange(len(points))
    found = [(own, own, np.ones(len(points), dtype=np.float32))]
    for at in range(0, len(points), _BLOCK):
        cosines, columns = index.search(points[at : at + _BLOCK], neighbours)
        rows = np.repeat(own[at : at + _BLOCK], neighbours)
        columns = columns.ravel().astype(np.int64)
        other = rows != columns
        found.append((rows[other], columns[other], cosines.ravel()[other]))
    rows, columns, cosines = (np.concatenate(each) for each in zip(*found, strict=True))
    return rows, columns, cosines


def lazy_greedy(graph: Graph, k: int) -> NDArray[np.int64]:
    """Return the greedy choice, in order; of equal gains the smaller position.

    A gain only falls as rows are chosen, so one that was computed earlier is a bound: a row is
    looked at again only when its bound is the highest (Minoux, 1978).

    Args:
        graph: Similarities.
        k: Rows to choose; all if there are fewer.
    """
    size = len(graph.starts) - 1
    best = np.zeros(size, dtype=np.float32)

    def gain(column: int) -> float:
        part = slice(graph.starts[column], graph.starts[column + 1])
        more = graph.similarities[part] - best[graph.rows[part]]
        return float(np.maximum(more, 0).sum(dtype=np.float64))

    heap = [(-gain(column), column) for column in range(size)]
    heapq.heapify(heap)
    chosen: list[int] = []
    while heap and len(chosen) < k:
        _, column = heap[0]
        now = (-gain(column), column)
        if len(heap) > 1 and now > min(heap[1:3]):
            heapq.heapreplace(heap, now)
            continue
        heapq.heappop(heap)
        chosen.append(column)
        part = slice(graph.starts[column], graph.starts[column + 1])
        reached = graph.rows[part]
        best[reached] = np.maximum(best[reached], graph.similarities[part])
    return np.array(chosen, dtype=np.int64)
