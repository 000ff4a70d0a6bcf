"""Points that are spread as sentence embeddings are, or real ones from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_BLOCK = 65_536


def cloud(rows: int, wide: int, seed: int = 0, unit: bool = True) -> NDArray[np.float32]:
    """Return a mixture: 300 topics of unlike size, a spectrum that decays, rows of unlike noise."""
    generator = np.random.default_rng(seed)
    decay = np.arange(1, wide + 1, dtype=np.float32) ** -0.4
    topics = generator.standard_normal((300, wide), dtype=np.float32) * decay
    topic = generator.choice(300, rows, p=generator.dirichlet(np.full(300, 0.5)))
    points = np.empty((rows, wide), dtype=np.float32)
    for at in range(0, rows, _BLOCK):
        part = slice(at, at + _BLOCK)
        noise = generator.standard_normal((len(topic[part]), wide), dtype=np.float32) * decay
        noise *= generator.gamma(4, 0.25, (len(noise), 1)).astype(np.float32)
        points[part] = topics[topic[part]] + noise
        if unit:
            points[part] /= np.linalg.norm(points[part], axis=1, keepdims=True)
    return points


def points_of(path: Path | None, rows: int, wide: int, unit: bool = True) -> NDArray[np.float32]:
    """Return the rows of a .npy file without NaN, or a cloud where no file is given."""
    if path is None:
        return cloud(rows, wide, unit=unit)
    found = np.load(path, allow_pickle=False)
    found = found[np.isfinite(found).all(axis=1)][:rows]
    return np.ascontiguousarray(found, dtype=np.float32)


def ids_of(rows: int) -> NDArray[np.object_]:
    """Return ids in the order of the rows."""
    return np.array([f"{each:016x}" for each in range(rows)], dtype=object)
