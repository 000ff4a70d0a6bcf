"""Small clouds of points with repeats and ties, and what the slow ways make of them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from curate.selectors.kept_and_dropped import Choice


def all_of(size):
    return Choice(np.full(size, "", dtype=object))


def ids_of(size, seed=0):
    order = np.random.default_rng(seed).permutation(size)
    return np.array([f"{each:016x}" for each in order], dtype=object)


def clouds(most=24, dimensions=4):
    """Whole numbers, so that repeats and equal distances are frequent; thirds, for rounding."""
    shapes = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=most).filter(
        lambda shape: shape[1] <= dimensions
    )
    whole = arrays(np.int8, shapes, elements=st.integers(-2, 2))
    scales = st.sampled_from([1.0, 1 / 3, 1e-3, 1e4])
    shifts = st.sampled_from([0.0, 0.0, 7.0])
    return st.builds(
        lambda points, scale, shift: (points * scale + shift * scale).astype(np.float32),
        whole,
        scales,
        shifts,
    )


def naive_k_center(points, ids, k, seed=0, start=None):
    """Every distance again for every centre, in 64 bits; no bounds, no blocks."""
    wide = points.astype(np.float64)
    order = sorted(range(len(points)), key=lambda at: ids[at])
    if start is None:
        centres = [order[int(np.random.default_rng(seed).integers(len(points)))]]
        known = [wide[centres[0]]]
    else:
        centres, known = [], list(start.astype(np.float64))
    while len(centres) < min(k, len(points)):
        nearest = {at: min(float(((wide[at] - each) ** 2).sum()) for each in known) for at in order}
        best = max(order, key=lambda at: nearest[at])  # the first of equals
        if nearest[best] == 0:
            break
        centres.append(best)
        known.append(wide[best])
    return centres


def cosine(one, other):
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    return float(one @ other / lengths) if lengths else 0.0
