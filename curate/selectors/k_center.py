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
from curate.selectors.choice import Candidates, Choice
from curate.selectors.vectors import NO_VECTOR, by_id, finite, squared_distances

NAME = "k_center"
NEEDS = ("vectors",)
COVERED = "covered"
# Rows whose distances are kept up to date after every centre; all others wait until they are
# among the furthest. More of them make a step slower and rounds fewer.
_FRONT = 2048
_CHUNK = 256


@dataclass(frozen=True)
class KCenterParams:
    """How many centres, and where to begin.

    Attributes:
        k: Rows to keep; fewer where there are not as many different vectors.
        seed: Draws the first centre where none is given.
        reason: Of the rows that are left out.
    """

    k: int
    seed: int = 0
    reason: str = COVERED

    def __post_init__(self) -> None:
        """Refuse fewer than none."""
        at_least(0, NAME, k=self.k)


PARAMS = KCenterParams


@dataclass(frozen=True)
class Centres:
    """What was chosen, in order.

    Attributes:
        order: (m,) positions of the centres, the first chosen first; m <= k.
        distances: (m,) Euclidean distance of each to the nearest centre before it; infinite for
            the first one where nothing was given to start from.
        radius: Largest distance of any row to its nearest centre, before the next one.
    """

    order: NDArray[np.int64]
    distances: NDArray[np.float64]
    radius: float


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
    return choice.only(places[centres.order], params.reason)


def k_center(
    points: NDArray[np.float32],
    ids: NDArray[np.object_],
    k: int,
    seed: int = 0,
    start: NDArray[np.float32] | None = None,
    values: NDArray[np.float64] | None = None,
) -> Centres:
    """Return the k-centre greedy sequence (arXiv 1708.00489, algorithm 1).

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
    order, wanted = by_id(ids), min(k, len(points))
    if not wanted:
        return Centres(order=np.zeros(0, dtype=np.int64), distances=np.zeros(0), radius=np.inf)
    known = np.zeros((0, points.shape[1]), np.float32) if start is None else start
    reach = _Reach(points, order, known, wanted)
    chosen: list[int] = []
    distances: list[float] = []
    place, distance = int(np.random.default_rng(seed).integers(len(points))), np.inf
    if len(known):
        place, distance = reach.furthest()
    while len(chosen) < wanted and distance > 0:
        chosen.append(place)
        distances.append(distance)
        reach.add(place)
        place, distance = reach.furthest()
    centres = order[chosen]
    if values is not None:
        points = points + np.float32(0)  # -0 lies on 0
        best = {points[centre].tobytes(): centre for centre in centres.tolist()}
        for row, point in enumerate(points):
            other = best.get(point.tobytes())
            if other is not None and (-values[row], ids[row]) < (-values[other], ids[other]):
                best[point.tobytes()] = row
        centres = np.array(list(best.values()), dtype=np.int64)
    return Centres(order=centres, distances=np.array(distances), radius=distance)


class _Reach:
    """Squared distance of every row to the nearest of the centres that it was compared with.

    It only falls when centres are added, so what a row had earlier is a bound: only a front of
    the furthest rows is compared with every new centre, and others catch up with what they have
    missed once no row of the front is further than they were. Rows and centres meet in products
    of 32 bits, off by no more than `slack`; where that could matter the sum of squared
    differences in 64 bits decides. Rows are places in the order of the ids.
    """

    def __init__(
        self,
        points: NDArray[np.float32],
        order: NDArray[np.int64],
        start: NDArray[np.float32],
        most: int,
    ) -> None:
        self.points, self.order, self.count = points, order, len(start)
        self.centres = np.concatenate([start, np.empty((most, points.shape[1]), np.float32)])
        self.squares = np.einsum("ij,ij->i", points, points)[order]
        largest = np.einsum("ij,ij->i", start, start).max(initial=float(self.squares.max()))
        # Of a sum of d products, each rounded to 24 bits (Higham, 2002, eq. 3.5), thrice over.
        self.slack = (points.shape[1] + 8) * 2.0**-24 * 4 * float(largest)
        self.nearest = np.full(len(points), np.inf)
        self.seen = np.zeros(len(points), np.int64)
        self.front, self.rows, self.outside = np.arange(0), points[:0], np.inf

    def add(self, place: int) -> None:
        """Make a row a centre."""
        self.centres[self.count] = self.points[self.order[place]]
        self.count += 1

    def furthest(self) -> tuple[int, float]:
        """Return the first of the rows furthest from all centres, and its distance."""
        while True:
            self._compare(self.front, self.rows)
            if len(self.front):
                best = int(self.front[self.nearest[self.front].argmax()])
                if self.nearest[best] > self.outside:
                    return best, float(self.nearest[best] ** 0.5)
            self._renew()

    def _renew(self) -> None:
        """Take the furthest rows for the front, all of those that are equally far."""
        size = min(_FRONT, len(self.nearest))
        while True:
            far = self.nearest >= np.partition(self.nearest, -size)[-size]
            late = np.flatnonzero(far & (self.seen < self.count))
            if not len(late):
                break
            late = late[np.argsort(self.seen[late], kind="stable")]
            for at in range(0, len(late), _CHUNK):
                part = late[at : at + _CHUNK]
                self._compare(part, self.points[self.order[part]])
        self.front = np.flatnonzero(far)
        self.rows = self.points[self.order[self.front]]
        self.outside = float(self.nearest[~far].max(initial=-np.inf))

    def _compare(self, places: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        """Compare rows with the centres that they have missed; the first has missed the most."""
        if not len(places) or self.seen[places[0]] == self.count:
            return
        centres = self.centres[self.seen[places[0]] : self.count]
        near = rows @ centres.T
        near *= -2
        near += np.einsum("ij,ij->i", centres, centres)
        near += self.squares[places, None]
        least = np.minimum(near.min(axis=1) + self.slack, self.nearest[places])
        lines, columns = np.nonzero(near <= least[:, None] + self.slack)
        for at in range(0, len(lines), _CHUNK):
            part = slice(at, at + _CHUNK)
            exact = squared_distances(rows[lines[part]], centres[columns[part]])
            np.minimum.at(self.nearest, places[lines[part]], exact)
        self.seen[places] = self.count
