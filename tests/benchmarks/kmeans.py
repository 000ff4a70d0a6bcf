"""K-means against scikit-learn's: time and inertia, on the same points, in turns.

Seconds are those of all cores together (CPU time), which other programs on the machine hardly
change; the time on the wall stands beside them.

python -m tests.benchmarks.kmeans [--rows 52002] [--wide 328] [--clusters 161] [--seeds 3]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from curate.selectors.kmeans import kmeans, pca
from tests.benchmarks.clouds import points_of


def main() -> None:
    args = arguments()
    points = points_of(args.vectors, args.rows, args.wide, unit=False)
    if args.vectors:
        points = pca(points, 0.95)
    print(f"{len(points):,} x {points.shape[1]}, {args.clusters} clusters")
    ratios, speeds, waits = [], [], []
    for seed in range(args.seeds):
        theirs, their = timed(KMeans(args.clusters, random_state=seed).fit, points)
        labels, own = timed(kmeans, points, args.clusters, seed=seed)
        ratios.append(inertia(points, labels) / theirs.inertia_)
        speeds.append(their.cpu / own.cpu)
        waits.append(their.wall / own.wall)
        print(
            f"seed {seed}: scikit-learn {their.cpu:6.2f} s CPU, {their.wall:6.2f} s; ours "
            f"{own.cpu:6.2f} s CPU, {own.wall:6.2f} s; {speeds[-1]:5.1f} x, on the wall "
            f"{waits[-1]:5.1f} x; inertia {100 * (ratios[-1] - 1):+.2f} %",
            flush=True,
        )
        assert (labels == kmeans(points, args.clusters, seed=seed)).all(), "not the same twice"
    print(
        f"median: {median(speeds):.1f} x, on the wall {median(waits):.1f} x, inertia "
        f"{100 * (median(ratios) - 1):+.2f} %"
    )


@dataclass(frozen=True)
class Seconds:
    cpu: float
    wall: float


def inertia(points: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the sum of squared distances of points to the mean of their cluster."""
    order = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    sums = np.add.reduceat(points[order], starts, axis=0, dtype=np.float64)
    squares = np.einsum("ij,ij->", points, points, dtype=np.float64)
    return float(squares - (np.einsum("ij,ij->i", sums, sums) / counts).sum())


def timed(run: Callable[..., Any], *given: Any, **more: Any) -> tuple[Any, Seconds]:
    cpu, wall = time.process_time(), time.perf_counter()
    found = run(*given, **more)
    return found, Seconds(time.process_time() - cpu, time.perf_counter() - wall)


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=52_002)
    parser.add_argument("--wide", type=int, default=328)
    parser.add_argument("--clusters", type=int, default=161)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--vectors", type=Path, help="embeddings in a .npy file; PCA comes first")
    return parser.parse_args()


if __name__ == "__main__":
    main()
