"""Clusters of embeddings: PCA to a share of the variance, then k-means.

CaR (arXiv 2402.18191): 95 % of the variance, k = floor(sqrt(n / 2)). K-means runs in faiss. What
differs from the published program: centres are first sought by k-means++ on a sample, rows of a
cluster that came out empty are found by id order and not by file order, and clusters are
numbered by size, so that a number says something and is the same in every run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.selectors.vectors import by_id, finite

NONE = -1
_SAMPLE_PER_CLUSTER = 64
_SAMPLE_ITERATIONS = 8
_SWAPS = 8
_SWAP_ITERATIONS = 4


@dataclass(frozen=True)
class Params:
    """How rows are clustered.

    Attributes:
        k: Clusters; None for floor(sqrt(n / 2)), at least 1.
        variance: Share of the variance that PCA keeps; 1 for no PCA.
        iterations: Of k-means over all rows.
        seed: Draws the sample and the first centres.
    """

    k: int | None = None
    variance: float = 0.95
    iterations: int = 12
    seed: int = 0


@dataclass(frozen=True)
class Clusters:
    """Which cluster each row is in.

    Attributes:
        labels: (n,) cluster of each row, 0 the largest; -1 for a row without vector.
        sizes: (m,) rows of each cluster; m < k where there are fewer different rows.
        dimensions: What PCA kept.
        inertia: Sum of squared distances to the centres, in the space of PCA.
        note: What a user should be told, '' for nothing.
    """

    labels: NDArray[np.int64]
    sizes: NDArray[np.int64]
    dimensions: int
    inertia: float
    note: str = ""


def clusters(
    vectors: NDArray[np.float32], ids: NDArray[np.object_], params: Params = Params()
) -> Clusters:
    """Return the clusters of all rows that have a vector.

    Args:
        vectors: (n, d) embeddings; rows with NaN are in no cluster.
        ids: (n,) of the rows, so that the clusters do not depend on their order.
        params: Number of clusters, PCA, seed.

    Raises:
        UsageError: No clusters, or a share of the variance that is none.
    """
    if params.k is not None and params.k < 1:
        raise UsageError(f"--clusters {params.k}: allowed are auto, and whole numbers from 1")
    if not 0 < params.variance <= 1:
        raise UsageError(f"PCA variance {params.variance}: allowed is a share above 0 and up to 1")
    labels = np.full(len(vectors), NONE, dtype=np.int64)
    places = np.flatnonzero(finite(vectors))
    if not len(places):
        return Clusters(labels, np.zeros(0, dtype=np.int64), 0, 0.0, "no row has a vector")
    places = places[by_id(ids[places])]
    reduced = pca(np.ascontiguousarray(vectors[places], dtype=np.float32), params.variance)
    wanted = default_k(len(places)) if params.k is None else params.k
    found = kmeans(reduced, wanted, params.seed, params.iterations)
    sizes = np.bincount(found, minlength=1)
    order = np.lexsort((_first_places(found, len(sizes)), -sizes))[: int((sizes > 0).sum())]
    number = np.full(len(sizes), NONE, dtype=np.int64)
    number[order] = np.arange(len(order))
    labels[places] = number[found]
    note = _note(wanted, len(order), len(places), params.k is None)
    spread = inertia(reduced, found)
    return Clusters(labels, sizes[order].astype(np.int64), reduced.shape[1], spread, note)


def default_k(rows: int) -> int:
    """Return CaR's number of clusters, floor(sqrt(n / 2)), at least 1.

    Args:
        rows: n.

    Example:
        >>> default_k(52002), default_k(1)
        (161, 1)
    """
    return max(1, math.isqrt(rows // 2))


def _note(wanted: int, made: int, rows: int, automatic: bool) -> str:
    if made == wanted:
        return ""
    asked = f"{wanted:,} clusters were {'sought' if automatic else 'asked for'}"
    if rows < wanted:
        return f"{asked} and there are {rows:,} rows; the number of clusters made is {made:,}"
    return f"{asked}; many embeddings are equal, and the number of clusters made is {made:,}"


def _first_places(labels: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    first = np.full(size, len(labels), dtype=np.int64)
    np.minimum.at(first, labels, np.arange(len(labels)))
    return first


def pca(points: NDArray[np.float32], variance: float) -> NDArray[np.float32]:
    """Return the points along the fewest directions that hold that share of the variance.

    Args:
        points: (n, d) finite.
        variance: Above 0 and up to 1.

    Example:
        >>> pca(np.array([[0, 0], [2, 0], [4, 0.1]], dtype=np.float32), 0.95).shape
        (3, 1)
    """
    centred: NDArray[np.float32] = points - points.mean(axis=0, dtype=np.float64).astype(np.float32)
    if variance == 1:
        return centred
    covariance = (centred.T @ centred).astype(np.float64)
    values, directions = np.linalg.eigh(covariance)
    values, directions = values[::-1].clip(0), directions[:, ::-1]
    total = float(values.sum())
    kept = 1
    if total > 0:
        kept = min(len(values), int(np.searchsorted(np.cumsum(values) / total, variance)) + 1)
    chosen = directions[:, :kept]
    # A direction and its opposite are as good: fix the sign by the largest part.
    largest = chosen[np.abs(chosen).argmax(axis=0), np.arange(kept)]
    chosen = chosen * np.where(largest < 0, -1.0, 1.0)
    reduced: NDArray[np.float32] = centred @ chosen.astype(np.float32)
    return reduced


def kmeans(
    points: NDArray[np.float32], k: int, seed: int = 0, iterations: int = 12
) -> NDArray[np.int64]:
    """Return the cluster of each point, 0 to k - 1; some are empty where few points differ.

    Args:
        points: (n, d) finite.
        k: Clusters; n or fewer are made.
        seed: Draws the sample and the first centres.
        iterations: Lloyd's steps over all points.
    """
    generator = np.random.default_rng(seed)
    size = len(points)
    k = min(k, size)
    sample = points
    if size > 2 * _SAMPLE_PER_CLUSTER * k:
        drawn = generator.choice(size, _SAMPLE_PER_CLUSTER * k, replace=False)
        sample = np.ascontiguousarray(points[np.sort(drawn)])
    centres = _plus_plus(sample, k, generator)
    centres = _swapped(sample, centres, seed, generator)
    centres = _lloyd(points, centres, seed, iterations)
    return _nearest(points, centres, 1)[1][:, 0]


def _swapped(
    sample: NDArray[np.float32],
    centres: NDArray[np.float32],
    seed: int,
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Return better centres: those that matter least are moved to where the error is largest.

    Lloyd's steps never move a centre from one dense region into another (Fritzke, 2020,
    arXiv 2006.15666, has the idea of adding and removing several at a time).
    """
    centres = _lloyd(sample, centres, seed, _SAMPLE_ITERATIONS)
    distances, labels = _nearest(sample, centres, 2)
    moving = len(centres) // 4
    for _ in range(_SWAPS):
        if not moving:
            break
        use = np.bincount(labels[:, 0], distances[:, 1] - distances[:, 0], len(centres))
        error = np.bincount(labels[:, 0], distances[:, 0], len(centres))
        worst = np.argsort(-error, kind="stable")[:moving]
        idle = np.argsort(use, kind="stable")
        idle = idle[~np.isin(idle, worst)][:moving]
        drawn = [generator.choice(np.flatnonzero(labels[:, 0] == each)) for each in worst]
        tried = centres.copy()
        tried[idle] = sample[drawn[: len(idle)]]
        tried = _lloyd(sample, tried, seed, _SWAP_ITERATIONS)
        found = _nearest(sample, tried, 2)
        if found[0][:, 0].sum(dtype=np.float64) < distances[:, 0].sum(dtype=np.float64):
            centres, (distances, labels) = tried, found
        else:
            moving //= 2
    return centres


def _lloyd(
    points: NDArray[np.float32], centres: NDArray[np.float32], seed: int, iterations: int
) -> NDArray[np.float32]:
    """Return the centres after so many of Lloyd's steps in faiss."""
    import faiss

    runner: Any = faiss.Kmeans(
        points.shape[1],
        len(centres),
        niter=iterations,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=len(points),  # its default looks at a sample
    )
    runner.train(points, init_centroids=centres)
    made: NDArray[np.float32] = runner.centroids
    return made


def _nearest(
    points: NDArray[np.float32], centres: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return (squared distances, centres), each (n, count), the nearest first."""
    import faiss

    index: Any = faiss.IndexFlatL2(points.shape[1])
    index.add(centres)
    distances, labels = index.search(points, count)
    return distances, labels.astype(np.int64)


def _plus_plus(
    points: NDArray[np.float32], k: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return k first centres, or as many as there are different points.

    Each is the best of a few points drawn with a chance proportional to their squared distance
    to the nearest centre so far (Arthur and Vassilvitskii, 2007, the greedy variant).
    """
    tries = 2 + int(math.log(k))
    squares = np.einsum("ij,ij->i", points, points, dtype=np.float64)
    chosen = [int(generator.integers(len(points)))]
    nearest = _distances(points, squares, chosen)[:, 0]
    while len(chosen) < k:
        cumulated = np.cumsum(nearest)
        if cumulated[-1] <= 0:
            break
        draws = generator.random(tries) * cumulated[-1]
        tried = np.searchsorted(cumulated, draws, side="right").clip(0, len(points) - 1)
        reached = np.minimum(nearest[:, None], _distances(points, squares, tried.tolist()))
        best = int(reached.sum(axis=0).argmin())
        chosen.append(int(tried[best]))
        nearest = reached[:, best]
    return np.ascontiguousarray(points[chosen])


def _distances(
    points: NDArray[np.float32], squares: NDArray[np.float64], chosen: list[int]
) -> NDArray[np.float64]:
    """Return squared distances, (n, chosen); what rounding cannot tell from 0 is 0."""
    product = points @ points[chosen].T
    found = squares[:, None] - 2.0 * product + squares[chosen]
    found[found <= 1e-6 * (squares[:, None] + squares[chosen])] = 0.0
    return found


def inertia(points: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the sum of squared distances of points to the mean of their cluster.

    Args:
        points: (n, d).
        labels: (n,) cluster of each.
    """
    order = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    sums = np.add.reduceat(points[order], starts, axis=0, dtype=np.float64)
    within = np.einsum("ij,ij->", points, points, dtype=np.float64)
    return float(within - (np.einsum("ij,ij->i", sums, sums) / counts).sum())
