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

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.selectors.choice import Choice
from curate.selectors.vectors import NO_VECTOR, by_id, finite, unit, usable

NAME = "facility_location"
_BLOCK = 1024


@dataclass(frozen=True)
class Params:
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


def select(
    choice: Choice, vectors: NDArray[np.float32], ids: NDArray[np.object_], params: Params
) -> Choice:
    """Return the choice of k rows that represent the others.

    Args:
        choice: What is left to choose from.
        vectors: (n, d) embeddings; a row with NaN is never kept.
        ids: (n,) of the rows, so that the choice does not depend on their order.
        params: Budget and neighbours.

    Raises:
        UsageError: Fewer than none, or no neighbours.
    """
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

    Args:
        vectors: (n, d) finite.
        neighbours: Of each row; n or more for all.
    """
    points = unit(vectors)
    size = len(points)
    found = [_similar(points, at, min(neighbours, size)) for at in range(0, size, _BLOCK)]
    rows, columns, similarities = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.lexsort((rows, columns))
    starts = np.concatenate(([0], np.cumsum(np.bincount(columns, minlength=size))))
    return Graph(starts, rows[order], similarities[order])


def _similar(
    points: NDArray[np.float32], at: int, neighbours: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return (rows, columns, similarities) of a block of rows."""
    block = points[at : at + _BLOCK]
    cosines = block @ points.T
    lines = np.arange(len(block))
    cosines[lines, at + lines] = 1.0  # to itself, whatever the rounding; 1 also for no direction
    # Steps far coarser than a product's rounding error: what is equal is equal in every shape.
    np.round(cosines, 5, out=cosines)
    if neighbours < len(points):
        high = np.argpartition(cosines, -neighbours, axis=1)[:, -neighbours:]
        least = np.take_along_axis(cosines, high, axis=1).min(axis=1, keepdims=True)
        rows, columns = np.nonzero((cosines >= least) & (cosines > 0))
        keep = _first(rows, -cosines[rows, columns], neighbours)
        rows, columns = rows[keep], columns[keep]
    else:
        rows, columns = np.nonzero(cosines > 0)
    return rows + at, columns, cosines[rows, columns]


def _first(lines: NDArray[np.int64], keys: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the entries with the `count` smallest keys of each line, earlier ones first."""
    order = np.lexsort((np.arange(len(lines)), keys, lines))
    ordered = lines[order]
    places = np.arange(len(lines))
    begins = np.ones(len(lines), dtype=bool)
    begins[1:] = ordered[1:] != ordered[:-1]
    rank = places - np.maximum.accumulate(np.where(begins, places, 0))
    return np.sort(order[rank < count])


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
