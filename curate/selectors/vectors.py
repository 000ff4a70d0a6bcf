"""What selectors over embeddings share: which rows have a vector, exact distances, order by id."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NO_VECTOR = "no_vector"


def finite(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which rows of (n, d) have a vector without NaN and infinity, shape (n,)."""
    # The sum of a row is finite only if every number is; huge numbers are no embedding.
    with np.errstate(over="ignore", invalid="ignore"):
        sums: NDArray[np.bool_] = np.isfinite(np.einsum("ij,ij->i", vectors, vectors))
    return sums


def by_id(ids: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return the positions in the order of the ids."""
    return np.argsort(ids.astype(str), kind="stable")


def squared_distances(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the squared Euclidean distance of pairs of (n, d), the same whatever else is asked.

    Example:
        >>> squared_distances(np.array([[0.0, 3.0]]), np.array([4.0, 0.0]))
        array([25.])
    """
    difference = one.astype(np.float64) - other
    difference *= difference
    total: NDArray[np.float64] = difference.sum(axis=1)
    return total


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors (n, d) of length 1; a vector of length 0 stays as it is."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    lengths[lengths == 0] = 1
    scaled: NDArray[np.float32] = (vectors / lengths[:, None]).astype(np.float32)
    return scaled
