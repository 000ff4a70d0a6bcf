"""Facility location: lazy greedy on a sparse graph against the dense greedy loop.

python -m tests.benchmarks.facility_location [--rows 4000] [--wide 384] [--keep 200]

Both choose from the same points; what a choice is worth is counted on all similarities. With
--no-dense only ours runs: --rows 100000 --keep 2000 --no-dense.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.selectors.facility_location import lazy_greedy, neighbour_graph
from curate.selectors.kept_and_dropped import unit
from tests.benchmarks.clouds import points_of


def dense(points: NDArray[np.float32], keep: int) -> list[int]:
    """Choose with every gain of every step computed over all pairs."""
    directions = unit(points)
    similar = (directions @ directions.T).clip(0)
    best = np.zeros(len(points), dtype=np.float32)
    chosen: list[int] = []
    for _ in range(keep):
        gains = np.maximum(similar - best[:, None], 0).sum(axis=0)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        np.maximum(best, similar[:, chosen[-1]], out=best)
    return chosen


def worth(points: NDArray[np.float32], chosen: Any) -> float:
    directions = unit(points)
    return float((directions @ directions[chosen].T).clip(0).max(axis=1).sum(dtype=np.float64))


def main() -> None:
    args = arguments()
    points = points_of(args.vectors, args.rows, args.wide)
    print(f"{len(points):,} x {points.shape[1]}, {args.keep:,} to keep")
    began = time.perf_counter()
    graph = neighbour_graph(points, args.neighbours)
    middle = time.perf_counter()
    chosen = lazy_greedy(graph, args.keep)
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    ours = ended - began
    value = worth(points, chosen)
    print(
        f"ours   {ours:8.2f} s   (graph {middle - began:.2f} s, choice "
        f"{ended - middle:.2f} s), worth {value:,.1f}, peak {peak:.2f} GB"
    )
    if args.dense:
        began = time.perf_counter()
        other = worth(points, dense(points, args.keep))
        spent = time.perf_counter() - began
        print(f"dense  {spent:8.2f} s   {spent / ours:6.1f} x ours, ", end="")
        print(f"worth {other:,.1f}: ours has {100 * value / other:.2f} % of it")


def arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--wide", type=int, default=384)
    parser.add_argument("--keep", type=int, default=200)
    parser.add_argument("--neighbours", type=int, default=256)
    parser.add_argument("--dense", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--vectors", type=Path, help="embeddings in a .npy file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
