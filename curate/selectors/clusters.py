"""Clusters of embeddings: PCA to a share of the variance, then k-means.

CaR (arXiv 2402.18191): 95 % of the variance, k = floor(sqrt(n / 2)). What differs from the
published program: centres are first sought on a sample (see kmeans.py), points are put in the
order of their ids and not of the file, and clusters are numbered by size, so that a number says
something and is the same in every run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import UsageError
from curate.selectors.kmeans import kmeans
from curate.selectors.vectors import by_id, finite

NONE = -1


@dataclass(frozen=True)
class Params:
    """How rows are clustered.

    Attributes:
        k: Clusters; None for floor(sqrt(n / 2)), at least 1.
        variance: Share of the variance that PCA keeps; 1 for no PCA.
        iterations: Of k-means over all rows, at most.
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
    from threadpoolctl import threadpool_limits

    centred: NDArray[np.float32] = points - points.mean(axis=0, dtype=np.float64).astype(np.float32)
    if variance == 1:
        return centred
    # Several threads add up in another order, and the numbers would be those of one machine.
    with threadpool_limits(1, "blas"):
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
    with threadpool_limits(1, "blas"):
        reduced: NDArray[np.float32] = centred @ chosen.astype(np.float32)
    return reduced


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
