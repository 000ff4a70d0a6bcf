"""K-centre greedy against the published loop, on the same points in one run.

python -m tests.benchmarks.k_center [--rows 52000] [--wide 768] [--centres 1000] [--steps 1000]

The published loop computes with scikit-learn the distance of every row to every new centre. Each
of its steps costs the same: of --steps it runs as many, and the time for all centres is scaled.
Besides, the plain incremental loop in NumPy (`squares - 2 X @ c`). The sets are compared over the
steps that were run. A million rows: --rows 1000000 --wide 384 --steps 10.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances

from curate.selectors.k_center import k_center
from tests.benchmarks.clouds import ids_of, points_of


def published(points: NDArray[np.float32], first: int, steps: int) -> tuple[list[int], float]:
    began = time.perf_counter()
    chosen, nearest = [first], None
    while len(chosen) < steps:
        distances = pairwise_distances(points, points[chosen[-1]].reshape(1, -1))
        nearest = distances if nearest is None else np.minimum(nearest, distances)
        chosen.append(int(nearest.argmax()))
    return chosen, (time.perf_counter() - began) / max(1, steps - 1)


def incremental(points: NDArray[np.float32], first: int, steps: int) -> tuple[list[int], float]:
    began = time.perf_counter()
    squares = np.einsum("ij,ij->i", points, points)
    chosen, nearest = [first], np.full(len(points), np.inf, dtype=np.float32)
    while len(chosen) < steps:
        last = chosen[-1]
        np.minimum(nearest, squares - 2 * (points @ points[last]) + squares[last], out=nearest)
        chosen.append(int(nearest.argmax()))
    return chosen, (time.perf_counter() - began) / max(1, steps - 1)


def main() -> None:
    args = arguments()
    points = points_of(args.vectors, args.rows, args.wide)
    ids = ids_of(len(points))
    held = points.nbytes / 1e9
    print(f"{len(points):,} x {points.shape[1]}, {args.centres:,} centres; {held:.2f} GB of points")
    times = []
    for _ in range(args.repeats):
        began = time.perf_counter()
        found = k_center(points, ids, args.centres, args.seed)
        times.append(time.perf_counter() - began)
    tracemalloc.start()
    k_center(points, ids, args.centres, args.seed)
    peak = tracemalloc.get_traced_memory()[1] / 1e9
    tracemalloc.stop()
    ours = float(np.median(times))
    print(f"ours         {ours:8.2f} s   (needs {peak:.2f} GB besides the points)")
    steps = min(args.steps, args.centres)
    for name, loop in (("published", published), ("incremental", incremental)):
        chosen, each = loop(points, int(found.order[0]), steps)
        same = len(set(chosen) & set(found.order[:steps].tolist()))
        whole = each * (args.centres - 1)
        print(f"{name:12} {whole:8.2f} s   {whole / ours:6.1f} x ours; {same} of {steps} the same")


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=52_000)
    parser.add_argument("--wide", type=int, default=768)
    parser.add_argument("--centres", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vectors", type=Path, help="embeddings in a .npy file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
