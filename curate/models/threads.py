"""How many cores each of several worker threads takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_MOST_WORKERS = 8  # Python threads share one interpreter lock


def workers(device: str) -> int:
    """Return how many batches are computed side by side."""
    import torch

    return min(torch.get_num_threads(), _MOST_WORKERS) if device == "cpu" else 1


@contextmanager
def share(device: str, threads: int, among: int) -> Iterator[None]:
    """Give the calling thread its share of the cores, and leave the setting as it was."""
    import torch

    if device == "cpu":
        torch.get_num_threads()  # a thread's first call takes over whatever was set last
        torch.set_num_threads(max(1, threads // among))
    try:
        yield
    finally:
        if device == "cpu":
            torch.set_num_threads(threads)
