"""K-centre greedy: rows that leave no other row far from a chosen one.

Sener and Savarese (arXiv 1708.00489), MoDS (arXiv 2311.15653): take, again and again, the row
that is furthest from all rows taken so far. What differs from the published programs, on purpose:
the first row is drawn with a seed, and rows at equal distance are taken by id; it ends when every
row left lies on a chosen one, instead of choosing a row twice; and the choice is the exact one, by
64-bit sums of squared differences, though nearly all distances are only bounded, in 32 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.selectors import at_least
from curate.selectors.kept_and_dropped import NO_VECTOR, Candidates, Choice, by_id, finite

NAME = "k_center"
NEEDS = ("vectors",)
COVERED = "covered"
# Rows that are compared with every new centre: the furthest. All others wait until they are.
_FRONT = 1024
_CHUNK = 256


@dataclass(frozen=True)
class KCenterParams:
    """How many centres, and where to begin."""

    k: int  # rows to keep; fewer where there are not as many different vectors
    seed: int = 0  # draws the first centre where none is given

    def __post_init__(self) -> None:
        at_least(0, NAME, k=self.k)


PARAMS = KCenterParams


@dataclass(frozen=True)
class Centres:
    """What was chosen, in order."""

    order: NDArray[np.int64]  # (m,) positions of the centres, the first chosen first; m <= k
    # (m,) Euclidean distance of each to the nearest centre before it; infinite for the first one
    # where nothing was given to start from.
    distances: NDArray[np.float64]
    radius: float  # largest distance of any row to its nearest centre, before the next one


def select(candidates: Candidates, params: KCenterParams) -> Choice:
    """Return the choice of the centres; `covered` are the others.

    Of rows with the same vector the one with the highest value stands for all, where there are
    values.
    """
    choice = candidates.choice.without(~finite(candidates.vectors), NO_VECTOR)
    places = np.flatnonzero(choice.kept)
    values = candidates.values[places] if len(candidates.values) else None
    centres = k_center(
        candidates.vectors[places], candidates.ids[places], params.k, params.seed, values=values
    )
    return choice.only(places[centres.order], COVERED)


def k_center(
    points: NDArray[np.float32],
    ids: NDArray[np.object_],
    k: int,
    seed: int = 0,
    start: NDArray[np.float32] | None = None,
    values: NDArray[np.float64] | None = None,
) -> Centres:
    """Return the k-centre greedy sequence (arXiv 1708.00489, algorithm 1).

    A row's distance to the nearest centre only falls, so what it was earlier is a bound: a row is
    compared with the centres that it has missed only when its bound is the largest.

    Args:
        points: (n, d) finite vectors.
        ids: (n,) decide between rows at equal distance, the smaller first.
        k: Centres; the answer has fewer where there are fewer different points.
        seed: Draws the first centre if there is no start.
        start: (s, d) centres there are already.
        values: (n,) of rows with the same vector the one with the highest value stands for all,
            the smallest id among equals; without them the smallest id, but for the first centre,
            which is the one that was drawn.

    Example:
        >>> points = np.array([[0.0], [1.0], [5.0]], dtype=np.float32)
        >>> k_center(points, np.array(["a", "b", "c"]), 2, start=points[:1]).order
        array([2, 1])
    """
    order, wanted, chosen = by_id(ids), min(k, len(points)), list[int]()
    known = np.zeros((0, points.shape[1]), np.float32) if start is None else start
    if not wanted:
        return Centres(order=np.zeros(0, dtype=np.int64), distances=np.zeros(0), radius=np.inf)
    centres = np.concatenate([known, np.empty((wanted, points.shape[1]), np.float32)])
    squares = np.einsum("ij,ij->i", points, points)[order]
    largest = np.einsum("ij,ij->i", known, known).max(initial=float(squares.max()))
    # Of a sum of d products, each rounded to 24 bits (Higham, 2002, eq. 3.5), thrice over.
    slack = (points.shape[1] + 8) * 2.0**-24 * 4 * float(largest)
    # Rows are places in the order of the ids: argmax() takes the smallest of equals.
    nearest = np.full(len(points), np.inf)
    seen = np.zeros(len(points), np.int64)

    def compare(places: NDArray[np.int64], count: int) -> None:
        """Lower the squared distances of some rows to those from centres that they have missed."""
        places = places[np.argsort(seen[places], kind="stable")]
        for part in (places[at : at + _CHUNK] for at in range(0, len(places), _CHUNK)):
            rows, missed = points[order[part]], centres[seen[part[0]] : count]
            bounds = rows @ missed.T
            bounds *= -2
            bounds += np.einsum("ij,ij->i", missed, missed)
            bounds += squares[part, None]
            least = np.minimum(bounds.min(axis=1) + slack, nearest[part])
            lines, columns = np.nonzero(bounds <= least[:, None] + slack)
            for at in range(0, len(lines), _CHUNK):
                line, column = lines[at : at + _CHUNK], columns[at : at + _CHUNK]
                difference = rows[line].astype(np.float64) - missed[column]
                difference *= difference
                np.minimum.at(nearest, part[line], difference.sum(axis=1))
        seen[places] = count

    front = np.arange(0)

    def furthest(count: int) -> int:
        """Return the first of the rows that are furthest from so many centres."""
        nonlocal front
        size, late = min(_FRONT, len(nearest)), order
        compare(front, count)
        if seen[nearest.argmax()] < count:  # it was not in front: renew that
            while len(late):
                front = np.flatnonzero(nearest >= np.partition(nearest, -size)[-size])
                late = front[seen[front] < count]
                compare(late, count)
        return int(nearest.argmax())

    first = int(np.random.default_rng(seed).integers(len(points)))
    place = furthest(len(known)) if len(known) else first
    distances: list[float] = []
    while len(chosen) < wanted and nearest[place] > 0:
        chosen.append(place)
        distances.append(float(nearest[place] ** 0.5))
        count = len(known) + len(chosen)
        centres[count - 1] = points[order[place]]
        place = furthest(count)
    places = order[chosen]
    if values is not None:
        points = points + np.float32(0)  # -0 lies on 0
        best = {points[centre].tobytes(): centre for centre in places.tolist()}
        for row, point in enumerate(points):
            other = best.get(point.tobytes())
            if other is not None and (-values[row], ids[row]) < (-values[other], ids[other]):
                best[point.tobytes()] = row
        places = np.array(list(best.values()), dtype=np.int64)
    return Centres(places, np.array(distances), radius=float(nearest[place] ** 0.5))
