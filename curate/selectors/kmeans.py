"""K-means: which cluster each point is in, the same for one seed on any number of cores.

First centres come from k-means++ on a sample; there, too, centres that matter least are moved to
where the error is largest. A few of Lloyd's steps over all points follow. Products run in blocks
that stay in cache, each on one core, so that neither their number nor the time of a core changes
a number; sums of clusters are kept up to date by the points that change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Points = NDArray[np.float32]
Labels = NDArray[np.int64]

_SAMPLE_PER_CLUSTER = 64
_FIRST_PER_CLUSTER = 32
_SAMPLE_ITERATIONS = 8
_SWAPS = 8
_SWAP_ITERATIONS = 4
_BLOCK = 2048
# Where a step makes the error smaller by less than this share, the next ones are not worth it.
_SETTLED = 2e-4
# Where a larger share of the points changes its cluster, sums are made anew.
_FEW = 1 / 8


def kmeans(points: Points, k: int, seed: int = 0, iterations: int = 12) -> Labels:
    """Return the cluster of each point, 0 to k - 1; some are empty where few points differ.

    Args:
        points: (n, d) finite.
        k: Clusters; n or fewer are made.
        seed: Draws the sample and the first centres.
        iterations: Lloyd's steps over all points, at most.
    """
    generator = np.random.default_rng(seed)
    size = len(points)
    k = min(k, size)
    sample = points
    if size > 2 * _SAMPLE_PER_CLUSTER * k:
        drawn = generator.choice(size, _SAMPLE_PER_CLUSTER * k, replace=False)
        sample = np.ascontiguousarray(points[np.sort(drawn)])
    with own_cores() as cores:
        # Half of the sample is enough to find first centres, which are moved about anyway.
        first = sample if len(sample) < 2 * _FIRST_PER_CLUSTER * k else sample[::2].copy()
        centres = plus_plus(first, k, generator)
        centres = _swapped(sample, centres, generator, cores)
        centres = lloyd(points, centres, iterations, cores)
        return _Nearest(points, centres, cores).labels


@dataclass(frozen=True)
class Cores:
    """Threads that run blocks side by side; None where there is but one core."""

    pool: ThreadPoolExecutor | None

    def run(self, do: Callable[[slice], T], size: int) -> Iterator[T]:
        """Yield what do gives for each block of so many points, in their order."""
        blocks = [slice(start, start + _BLOCK) for start in range(0, size, _BLOCK)]
        if self.pool is None or len(blocks) < 2:
            return map(do, blocks)
        return self.pool.map(do, blocks)


@contextmanager
def own_cores() -> Iterator[Cores]:
    """Give a thread for each core that NumPy's products may use, and each product one core."""
    from threadpoolctl import ThreadpoolController

    controller = ThreadpoolController()
    threads = max(
        [each["num_threads"] for each in controller.select(user_api="blas").info()] or [1]
    )
    with controller.limit(limits=1, user_api="blas"):
        if threads == 1:
            yield Cores(None)
            return
        with ThreadPoolExecutor(threads) as pool:
            yield Cores(pool)


class _Nearest:
    """The nearest centre of each point, and on demand how near the nearest two are.

    Attributes:
        labels: (n,) the nearest centre.
        nearest: (n,) squared distance to it, less the point's own square.
        second: (n,) of the one after it; of no use unless asked for.
    """

    def __init__(self, points: Points, centres: Points, cores: Cores, second: bool = False) -> None:
        size = len(points)
        self.labels = np.empty(size, dtype=np.int64)
        self.nearest = np.empty(size, dtype=np.float32)
        self.second = np.empty(size if second else 0, dtype=np.float32)
        turned = np.ascontiguousarray((-2 * centres).T)
        squares = np.einsum("ij,ij->i", centres, centres)

        def run(part: slice) -> None:
            found = points[part] @ turned
            found += squares
            lines = np.arange(len(found))
            labels = found.argmin(axis=1)
            self.labels[part] = labels
            self.nearest[part] = found[lines, labels]
            if second:
                found[lines, labels] = np.inf
                self.second[part] = found.min(axis=1)

        for _ in cores.run(run, size):
            pass


def lloyd(points: Points, centres: Points, iterations: int, cores: Cores) -> Points:
    """Return the centres after so many of Lloyd's steps, or fewer where hardly a point changes.

    Args:
        points: (n, d).
        centres: (k, d); one that has no point stays where it is.
        iterations: Steps, at most.
        cores: Compute.
    """
    total = float(np.einsum("ij,ij->", points, points, dtype=np.float64))
    labels = np.full(len(points), -1, dtype=np.int64)
    sums, error = np.zeros(centres.shape), np.inf
    for _ in range(iterations):
        found = _Nearest(points, centres, cores)
        changed = np.flatnonzero(found.labels != labels)
        if len(changed) > _FEW * len(points):
            sums = _sums(points, found.labels, len(centres), cores)
        else:
            _add(sums, points, changed, found.labels[changed], 1)
            _add(sums, points, changed, labels[changed], -1)
        labels = found.labels
        counts = np.bincount(labels, minlength=len(centres))
        having = counts > 0
        centres = centres.copy()
        centres[having] = sums[having] / counts[having, None]
        before, error = error, total + float(found.nearest.sum(dtype=np.float64))
        if before - error < _SETTLED * error:
            break
    return centres


def _sums(points: Points, labels: Labels, k: int, cores: Cores) -> NDArray[np.float64]:
    """Return the sum of the points of each cluster, (k, d)."""

    def run(part: slice) -> Points:
        own = labels[part]
        belongs = np.zeros((k, len(own)), dtype=np.float32)
        belongs[own, np.arange(len(own))] = 1
        found: Points = belongs @ points[part]
        return found

    sums = np.zeros((k, points.shape[1]))
    for each in cores.run(run, len(points)):
        sums += each
    return sums


def _add(
    sums: NDArray[np.float64], points: Points, places: Labels, labels: Labels, sign: int
) -> None:
    """Add the points at some places to the sums of their clusters, in place."""
    if not len(places):
        return
    order = np.argsort(labels, kind="stable")
    clusters, starts = np.unique(labels[order], return_index=True)
    added = np.add.reduceat(points[places[order]], starts, axis=0, dtype=np.float64)
    sums[clusters] += sign * added


def _swapped(
    sample: Points, centres: Points, generator: np.random.Generator, cores: Cores
) -> Points:
    """Return better centres: those that matter least are moved to where the error is largest.

    Lloyd's steps never move a centre from one dense region into another (Fritzke, 2020,
    arXiv 2006.15666, has the idea of adding and removing several at a time).
    """
    squares = np.einsum("ij,ij->i", sample, sample)
    centres = lloyd(sample, centres, _SAMPLE_ITERATIONS, cores)
    found = _Nearest(sample, centres, cores, second=True)
    moving = len(centres) // 4
    for _ in range(_SWAPS):
        if not moving:
            break
        use = np.bincount(found.labels, found.second - found.nearest, len(centres))
        error = np.bincount(found.labels, found.nearest + squares, len(centres))
        worst = np.argsort(-error, kind="stable")[:moving]
        idle = np.argsort(use, kind="stable")
        idle = idle[~np.isin(idle, worst)][:moving]
        drawn = [generator.choice(np.flatnonzero(found.labels == each)) for each in worst]
        tried = centres.copy()
        tried[idle] = sample[drawn[: len(idle)]]
        tried = lloyd(sample, tried, _SWAP_ITERATIONS, cores)
        other = _Nearest(sample, tried, cores, second=True)
        if other.nearest.sum(dtype=np.float64) < found.nearest.sum(dtype=np.float64):
            centres, found = tried, other
        else:
            moving //= 2
    return centres


def plus_plus(points: Points, k: int, generator: np.random.Generator) -> Points:
    """Return k first centres, or as many as there are different points.

    Each is the best of a few points drawn with a chance proportional to their squared distance
    to the nearest centre so far (Arthur and Vassilvitskii, 2007, the greedy variant).

    Args:
        points: (n, d).
        k: Centres.
        generator: Draws.
    """
    tries = 2 + int(math.log(k))
    squares = np.einsum("ij,ij->i", points, points)
    chosen = [int(generator.integers(len(points)))]
    nearest: Points = _distances(points, squares, chosen)[0]
    while len(chosen) < k:
        cumulated = np.cumsum(nearest, dtype=np.float64)
        if cumulated[-1] <= 0:
            break
        draws = generator.random(tries) * cumulated[-1]
        tried = np.searchsorted(cumulated, draws, side="right").clip(0, len(points) - 1)
        reached = _distances(points, squares, tried.tolist())
        np.minimum(reached, nearest, out=reached)
        best = int(reached.sum(axis=1, dtype=np.float64).argmin())
        chosen.append(int(tried[best]))
        nearest = reached[best]
    return np.ascontiguousarray(points[chosen])


def _distances(points: Points, squares: NDArray[np.float32], chosen: list[int]) -> Points:
    """Return squared distances, (chosen, n); what rounding cannot tell from 0 is 0."""
    both = squares + squares[chosen][:, None]
    found: Points = np.matmul(points[chosen] * np.float32(-2), points.T)
    found += both
    both *= np.float32(1e-6)
    found[found <= both] = 0.0
    return found
