"""K-centre greedy: rows that leave no other row far from a chosen one.

Sener and Savarese (arXiv 1708.00489), MoDS (arXiv 2311.15653): take, again and again, the row
that is furthest from all rows taken so far. What differs from the published programs, on purpose:

- the first row is drawn with a seed, and rows at equal distance are taken by id;
- it ends when every row left lies on a chosen one, instead of choosing a row twice;
- the choice is the exact one: distances are compared as 64-bit sums of squared differences,
  though nearly all of them are only bounded, in 32 bits (see Bounds).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.selectors.choice import Choice
from curate.selectors.vectors import NO_VECTOR, by_id, finite, squared_distances, usable

NAME = "k_center"
COVERED = "covered"
# Rows whose distances are kept up to date after every centre; all others wait until they are
# among the furthest. More of them make a step slower and rounds fewer.
_FRONT = 2048
_CHUNK = 2048


@dataclass(frozen=True)
class Params:
    """How many centres, and where to begin.

    Attributes:
        k: Rows to keep; fewer where there are not as many different vectors.
        seed: Draws the first centre where none is given.
        reason: Of the rows that are left out.
    """

    k: int
    seed: int = 0
    reason: str = COVERED


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


def select(
    choice: Choice,
    vectors: NDArray[np.float32],
    ids: NDArray[np.object_],
    params: Params,
    start: NDArray[np.float32] | None = None,
) -> Choice:
    """Return the choice of the centres; `covered` are the others.

    Args:
        choice: What is left to choose from.
        vectors: (n, d) embeddings; a row with NaN is never kept.
        ids: (n,) of the rows, so that the choice does not depend on their order.
        params: How many, and the seed.
        start: (s, d) vectors that count as chosen before, for MoDS's second pass.

    Raises:
        UsageError: Fewer than none.
    """
    if params.k < 0:
        raise UsageError(f"k_center k={params.k}: allowed are 0 and more")
    places = usable(choice, vectors)
    narrowed = choice.without(~finite(vectors), NO_VECTOR)
    found = k_center(vectors[places], ids[places], params.k, params.seed, start)
    left_out = np.ones(len(vectors), dtype=bool)
    left_out[places[found.order]] = False
    return narrowed.without(left_out, params.reason)


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
    points = np.ascontiguousarray(points, dtype=np.float32)
    order = by_id(ids)
    wanted = min(k, len(points))
    if not wanted:
        return Centres(np.zeros(0, dtype=np.int64), np.zeros(0), float("inf"))
    bounds = _Bounds(points, order, start, wanted)
    distances: list[float] = []
    if start is None or not len(start):
        first = int(np.random.default_rng(seed).integers(len(points)))
        bounds.add(first)
        distances.append(float("inf"))
    radius = bounds.run(distances)
    chosen = order[bounds.chosen]
    if values is not None:
        chosen = _best_of_equal(points, chosen, values, ids)
    return Centres(chosen, np.array(distances), radius)


def _best_of_equal(
    points: NDArray[np.float32],
    chosen: NDArray[np.int64],
    values: NDArray[np.float64],
    ids: NDArray[np.object_],
) -> NDArray[np.int64]:
    """Return for each centre the best of the rows that have its vector."""
    points = points + np.float32(0)  # -0 lies on 0
    best = {points[place].tobytes(): int(place) for place in chosen}
    for place in range(len(points)):
        other = best.get(points[place].tobytes())
        if other is not None and (-values[place], ids[place]) < (-values[other], ids[other]):
            best[points[place].tobytes()] = place
    return np.array(list(best.values()), dtype=np.int64)


class _Bounds:
    """Upper bounds of every row's squared distance to its nearest centre.

    A bound only falls when centres are added, so a row whose bound is below the furthest row's
    distance need not be looked at. A front of the furthest rows is kept up to date; once its
    furthest is no further than the bound of a row outside, the rows with the highest bounds
    catch up with the centres that they have missed, many at a time as one matrix product.

    A product in 32 bits is off by no more than `slack`; rows that it cannot tell apart are
    compared exactly. All positions here are places in the order of the ids.
    """

    def __init__(
        self,
        points: NDArray[np.float32],
        order: NDArray[np.int64],
        start: NDArray[np.float32] | None,
        wanted: int,
    ) -> None:
        self.points, self.order = points, order
        given = np.zeros((0, points.shape[1])) if start is None else start
        self.centres = np.empty((len(given) + wanted, points.shape[1]), dtype=np.float32)
        self.centres[: len(given)] = given
        self.count = len(given)
        self.last = len(self.centres)
        self.chosen: list[int] = []
        self.squares = np.einsum("ij,ij->i", points, points)[order]
        self.centre_squares = np.zeros(len(self.centres), dtype=np.float32)
        self.centre_squares[: self.count] = np.einsum("ij,ij->i", *2 * [self.centres[: self.count]])
        most = float(max(self.squares.max(), self.centre_squares.max()))
        # Of a sum of d products, each rounded to 24 bits (Higham, 2002, eq. 3.5), thrice over.
        self.slack = (points.shape[1] + 8) * 2.0**-24 * 4 * most
        self.upper = np.full(len(points), np.inf)
        self.seen = np.zeros(len(points), dtype=np.int64)

    def add(self, place: int) -> None:
        """Make a row a centre."""
        self.centres[self.count] = self.points[self.order[place]]
        self.centre_squares[self.count] = self.squares[place]
        self.count += 1
        self.chosen.append(place)
        self.upper[place] = -np.inf

    def run(self, distances: list[float]) -> float:
        """Choose until all centres are there or nothing is left; return the radius then."""
        while True:
            front, outside = self._front()
            radius = self._choose(front, outside, distances)
            if radius is not None:
                return radius

    def _front(self) -> tuple[NDArray[np.int64], float]:
        """Return the rows with the highest bounds, up to date, and the highest bound outside.

        Rows with equal bounds are all inside or all outside: what is outside is lower.
        """
        size = reach = min(_FRONT, len(self.upper))
        while True:
            inside = self.upper >= np.partition(self.upper, -size)[-size]
            if not self._stale(inside).any():
                outside = self.upper[~inside]
                return np.flatnonzero(inside), float(outside.max()) if len(outside) else -np.inf
            # Those that catch up fall, and others take their places: twice as many each time.
            near = (
                inside if reach == size else self.upper >= np.partition(self.upper, -reach)[-reach]
            )
            self._catch_up(np.flatnonzero(self._stale(near)))
            reach = min(2 * reach, len(self.upper))

    def _stale(self, which: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return which & (self.seen < self.count) & (self.upper > -np.inf)

    def _catch_up(self, places: NDArray[np.int64]) -> None:
        """Lower the bounds of these rows by the centres that they have missed."""
        places = places[np.argsort(self.seen[places], kind="stable")]
        for at in range(0, len(places), _CHUNK):
            part = places[at : at + _CHUNK]
            missed = slice(int(self.seen[part[0]]), self.count)
            near = self._near(self.points[self.order[part]], missed).min(axis=1)
            bound = near.astype(np.float64) + self.squares[part] + self.slack
            self.upper[part] = np.minimum(self.upper[part], bound)
            self.seen[part] = self.count

    def _near(self, rows: NDArray[np.float32], which: slice) -> NDArray[np.float32]:
        """Return squared distances less the rows' own squares, (rows, centres)."""
        near = rows @ self.centres[which].T
        near *= -2
        near += self.centre_squares[which]
        return near

    def _choose(
        self, front: NDArray[np.int64], outside: float, distances: list[float]
    ) -> float | None:
        """Choose from the front for as long as no row outside can be further."""
        rows = self.points[self.order[front]]
        squares = self.squares[front]
        upper = self.upper[front]
        exact = np.zeros(len(front), dtype=bool)
        radius = None
        while True:
            best = int(upper.argmax())
            highest = float(upper[best])
            if highest == outside == -np.inf:  # every row is a centre
                radius = 0.0
                break
            if highest <= outside:
                break
            if not exact[best]:
                unsure = np.flatnonzero(~exact & (upper >= highest - 2 * self.slack))[:_CHUNK]
                upper[unsure] = self._exactly(rows[unsure])
                exact[unsure] = True
                continue
            if highest == 0.0 or self.count == self.last:
                radius = highest**0.5
                break
            distances.append(highest**0.5)
            self.add(int(front[best]))
            upper[best] = -np.inf
            near = self._near(rows, slice(self.count - 1, self.count))[:, 0] + squares
            exact &= near - self.slack > upper
            np.minimum(upper, near + self.slack, out=upper)
        self.upper[front] = upper
        self.seen[front] = self.count
        return radius

    def _exactly(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the exact squared distance of each row to its nearest centre."""
        near = self._near(rows, slice(0, self.count))
        close = near <= near.min(axis=1, keepdims=True) + 2 * self.slack
        lines, centres = np.nonzero(close)
        least = np.full(len(rows), np.inf)
        for at in range(0, len(lines), _CHUNK):
            part = slice(at, at + _CHUNK)
            found = squared_distances(rows[lines[part]], self.centres[centres[part]])
            np.minimum.at(least, lines[part], found)
        return least
