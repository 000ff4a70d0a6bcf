"""What this machine can multiply at most, measured in the same run as what is compared with it."""

from __future__ import annotations

import threading
import time
from statistics import median

import torch

# (rows, in, out): the shapes of a small model's layers, and a large square.
SHAPES = ((1024, 576, 1536), (1024, 1536, 576), (256, 576, 4096), (2048, 2048, 2048))
SECONDS = 1.0
REPEATS = 5


def gemm_peak(dtype: torch.dtype, workers: int, threads: int) -> float:
    """Return the best GFLOPS over shapes, with so many workers of so many threads each."""
    return max(_shape(dtype, shape, workers, threads) for shape in SHAPES)


def _shape(dtype: torch.dtype, shape: tuple[int, int, int], workers: int, threads: int) -> float:
    rows, wide, out = shape
    weight = torch.randn(out, wide, dtype=dtype)
    rates = []
    for _ in range(REPEATS):
        done = [0] * workers
        stop = time.perf_counter() + SECONDS / REPEATS

        def work(number: int, done: list[int] = done, stop: float = stop) -> None:
            torch.set_num_threads(threads)
            x = torch.randn(rows, wide, dtype=dtype)
            with torch.inference_mode():
                while time.perf_counter() < stop:
                    torch.nn.functional.linear(x, weight)
                    done[number] += 1

        began = time.perf_counter()
        crew = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
        for each in crew:
            each.start()
        for each in crew:
            each.join()
        rates.append(2 * rows * wide * out * sum(done) / (time.perf_counter() - began) / 1e9)
    return median(rates)
