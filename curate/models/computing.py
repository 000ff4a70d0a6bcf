"""Where models compute, how many batches side by side, and weights that are loaded once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

# Python threads share one interpreter lock.
_MOST_WORKERS = 32
T = TypeVar("T")


def choose_device(device: str = "auto") -> str:
    """Return `cpu` or `cuda`, of this machine where nobody has chosen."""
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def workers(device: str) -> int:
    """Return how many batches are computed side by side."""
    import torch

    return min(torch.get_num_threads(), _MOST_WORKERS) if device == "cpu" else 1


@contextmanager
def one_core(device: str, threads: int) -> Iterator[None]:
    """Let the calling thread compute on one core, and leave the setting as it was.

    Never on more: sums of bfloat16 are others on two cores than on one, by up to 0.5 nats of a
    sentence's likelihood.
    """
    import torch

    if device == "cpu":
        torch.get_num_threads()  # a thread's first call takes over whatever was set last
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if device == "cpu":
            torch.set_num_threads(threads)


class LoadedOnce(Generic[T]):
    """What load() gives, made by whoever asks first; a pickled copy loads its own.

    Args:
        load: A function of a module, or a functools.partial of one, if it is to be pickled.
    """

    def __init__(self, load: Callable[[], T]) -> None:
        self._load, self._lock = load, threading.Lock()
        self._loaded: T | None = None

    def get(self) -> T:
        """Return it, loading it now if nobody has."""
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
        return self._loaded

    @property
    def ready(self) -> T:
        """It, after somebody has called get()."""
        if self._loaded is None:
            raise RuntimeError("prepare() comes before anything is computed")
        return self._loaded

    def __bool__(self) -> bool:
        """Return whether it is loaded."""
        return self._loaded is not None

    def __reduce__(self) -> tuple[type[LoadedOnce[T]], tuple[Callable[[], T]]]:
        """Pickle what loads it, not what was loaded, nor the lock."""
        return type(self), (self._load,)
