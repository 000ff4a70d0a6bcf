"""Clusters of embeddings: PCA to a share of the variance, then k-means.

CaR (arXiv 2402.18191): 95 % of the variance, k = floor(sqrt(n / 2)). PCA is scikit-learn's and
k-means faiss's. What differs from the published program: first centres are k-means++ on a sample
of 64 rows a cluster, and centres move on a sample of 256 a cluster, as faiss does by default;
points are put in the order of their ids and not of the file; clusters are numbered by size, so
that a number says something and is the same in every run. Of more than `WHOLE` numbers no copy is
made: what PCA needs is summed up block by block, centres move on a sample of as many rows, and
each block goes to the nearest centres.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.selectors.kept_and_dropped import by_id, finite

NONE = -1
WHOLE = 1 << 26  # numbers; 256 MB
_BLOCK = 1 << 14  # rows
_STEPS = 25  # of k-means
_FIRST_PER_CLUSTER, _PER_CLUSTER = 64, 256  # rows of the samples; faiss's own is the second


@dataclass(frozen=True)
class KMeansParams:
    """How rows are clustered."""

    k: int | None = None  # clusters; None for floor(sqrt(n / 2)), at least 1
    variance: float = 0.95  # share of the variance that PCA keeps; 1 for no PCA
    seed: int = 0  # draws the samples and the first centres


@dataclass(frozen=True)
class Clusters:
    """Which cluster each row is in."""

    # (n,) cluster of each row, 0 the largest; -1 for a row without vector.
    labels: NDArray[np.int64]
    # (m,) rows of each cluster; m < k where there are fewer different rows.
    sizes: NDArray[np.int64]
    dimensions: int  # what PCA kept
    note: str = ""  # what a user should be told, '' for nothing


def clusters(
    vectors: NDArray[np.float32], ids: NDArray[np.object_], params: KMeansParams = KMeansParams()
) -> Clusters:
    """Return the clusters of all rows that have a vector."""
    labels = np.full(len(vectors), NONE, dtype=np.int64)
    places = np.flatnonzero(finite(vectors))
    if not len(places):
        return Clusters(labels, np.zeros(0, dtype=np.int64), 0, "no row has a vector")
    places = places[by_id(ids[places])]
    wanted = default_k(len(places)) if params.k is None else params.k
    if len(places) * vectors.shape[1] > WHOLE:
        assigned, dimensions = _by_blocks(vectors, places, wanted, params)
    else:
        points = pca(np.ascontiguousarray(vectors[places], dtype=np.float32), params.variance)
        dimensions = points.shape[1]
        assigned = kmeans(points, wanted, params.seed)
    _, first, inverse, sizes = np.unique(
        assigned, return_index=True, return_inverse=True, return_counts=True
    )
    order = np.lexsort((first, -sizes))
    labels[places] = np.argsort(order)[inverse]
    note, made, moved = "", len(order), _PER_CLUSTER * min(wanted, len(places))
    if moved < len(places):
        note = f"centres of clusters were moved on {moved:,} of {len(places):,} rows, drawn"
    if made < wanted:
        why = "; many embeddings are equal, and"
        if len(places) < wanted:
            why = f" and there are {len(places):,} rows;"
        asked = "sought" if params.k is None else "asked for"
        note += "; " * bool(note)
        note += f"{wanted:,} clusters were {asked}{why} the number of clusters made is {made:,}"
    return Clusters(labels=labels, sizes=sizes[order], dimensions=dimensions, note=note)


def default_k(rows: int) -> int:
    """Return CaR's number of clusters for n rows, floor(sqrt(n / 2)), at least 1."""
    return max(1, math.isqrt(rows // 2))


def pca(points: NDArray[np.float32], variance: float) -> NDArray[np.float32]:
    """Return the points (n, d) along the fewest directions that hold that share of the variance."""
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    if (points.min(axis=0) == points.max(axis=0)).all():  # no variance to have a share of
        return np.zeros((len(points), 1), dtype=np.float32)
    if variance == 1:
        mean: NDArray[np.float32] = points.mean(axis=0, dtype=np.float64).astype(np.float32)
        return points - mean
    # Several threads add up in another order, and the numbers would be those of one machine.
    with threadpool_limits(1):
        model = PCA(variance, svd_solver="covariance_eigh")
        reduced: NDArray[np.float32] = model.fit_transform(points)
    return reduced


def kmeans(points: NDArray[np.float32], k: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the cluster of each point, the same on any number of cores."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return _trained(points, min(k, len(points)), np.random.default_rng(seed))(points)


def _trained(
    points: NDArray[np.float32], k: int, generator: np.random.Generator
) -> Callable[[NDArray[np.float32]], NDArray[np.int64]]:
    """Move centres among the points; return what tells the nearest one of any points."""
    import faiss
    from sklearn.cluster import kmeans_plusplus

    first, later = generator.integers(2**31, size=2).tolist()  # neither library takes more
    sample = points
    if len(points) > _FIRST_PER_CLUSTER * k:
        drawn = generator.choice(len(points), _FIRST_PER_CLUSTER * k, replace=False)
        sample = points[np.sort(drawn)]
    centres, _ = kmeans_plusplus(sample, k, random_state=first)
    model = faiss.Kmeans(points.shape[1], k, niter=_STEPS, seed=later, min_points_per_centroid=1)
    model.train(points, init_centroids=centres)
    return lambda some: np.asarray(model.assign(some)[1], dtype=np.int64)


def _by_blocks(
    vectors: NDArray[Any], places: NDArray[np.int64], k: int, params: KMeansParams
) -> tuple[NDArray[np.int64], int]:
    """Return the cluster of each of the rows at some places, and the dimensions that PCA kept."""
    from threadpoolctl import threadpool_limits

    generator, k = np.random.default_rng(params.seed), min(k, len(places))
    with threadpool_limits(1):
        mean, directions = _directions(vectors, places, params.variance)

        def blocks(at: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
            for block in _blocks(vectors, at):
                block -= mean
                yield block if directions is None else block @ directions

        drawn = generator.choice(len(places), min(_PER_CLUSTER * k, len(places)), replace=False)
        sample = np.concatenate([*blocks(places[np.sort(drawn)])])
        nearest = _trained(sample, k, generator)
        return np.concatenate([nearest(block) for block in blocks(places)]), sample.shape[1]


def _blocks(vectors: NDArray[Any], places: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    for at in range(0, len(places), _BLOCK):
        yield np.ascontiguousarray(vectors[places[at : at + _BLOCK]], dtype=np.float32)


def _directions(
    vectors: NDArray[Any], places: NDArray[np.int64], variance: float
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return the mean (d,), and the fewest directions (d, m) that hold that share of variance."""
    total = sum(block.sum(axis=0, dtype=np.float64) for block in _blocks(vectors, places))
    mean = np.asarray(total / len(places), dtype=np.float32)
    if variance == 1:
        return mean, None
    covariance = np.zeros(2 * mean.shape)
    for block in _blocks(vectors, places):
        covariance += (block - mean).T @ (block - mean)
    lengths, directions = (each[..., ::-1] for each in np.linalg.eigh(covariance))
    shares = np.cumsum(lengths.clip(0))
    kept = int(np.searchsorted(shares, variance * shares[-1], side="right")) + 1
    return mean, np.ascontiguousarray(directions[:, :kept], dtype=np.float32)
