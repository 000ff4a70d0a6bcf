"""K-means against scikit-learn's: time and inertia, on the same points in one run.

python -m tests.benchmarks.kmeans [--rows 52002] [--wide 328] [--clusters 161] [--seeds 3]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

from sklearn.cluster import KMeans

from curate.selectors.clusters import inertia, kmeans, pca
from tests.benchmarks.clouds import points_of


def main() -> None:
    args = arguments()
    points = points_of(args.vectors, args.rows, args.wide, unit=False)
    if args.vectors:
        points = pca(points, 0.95)
    print(f"{len(points):,} x {points.shape[1]}, {args.clusters} clusters")
    ratios, speeds = [], []
    for seed in range(args.seeds):
        began = time.perf_counter()
        theirs = KMeans(args.clusters, random_state=seed).fit(points).inertia_
        middle = time.perf_counter()
        labels = kmeans(points, args.clusters, seed)
        ended = time.perf_counter()
        ratios.append(inertia(points, labels) / theirs)
        speeds.append((middle - began) / (ended - middle))
        print(
            f"seed {seed}: scikit-learn {middle - began:6.2f} s, ours {ended - middle:6.2f} s, "
            f"{speeds[-1]:5.1f} x; inertia {100 * (ratios[-1] - 1):+.2f} %"
        )
        assert (labels == kmeans(points, args.clusters, seed)).all(), "not the same twice"
    print(f"median: {median(speeds):.1f} x, inertia {100 * (median(ratios) - 1):+.2f} %")


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
