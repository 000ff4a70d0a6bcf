"""A number of 64 bits for a row that looks drawn, and is the same wherever the row stands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def keys(seed: int, count: int) -> list[np.uint64]:
    """Return numbers that stand for a seed.

    Args:
        seed: 0 or more.
        count: How many.
    """
    drawn = np.random.default_rng(seed).integers(0, 2**64 - 1, count, np.uint64, endpoint=True)
    return list(drawn)


def drawn(
    hashes: NDArray[np.uint64], key: np.uint64, copies: NDArray[np.int64] | int = 0
) -> NDArray[np.uint64]:
    """Return a number for each row that depends on its content and the key alone.

    The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): one to one, so that
    different rows never get the same number, and equal rows always do.

    Args:
        hashes: (n,) content hashes.
        key: From keys().
        copies: (n,) which copy of the row is meant, from 0.
    """
    with np.errstate(over="ignore"):
        number: NDArray[np.uint64] = (hashes ^ key) + np.asarray(copies).astype(np.uint64) * _STEP
        number = (number ^ (number >> np.uint64(30))) * _FIRST
        number = (number ^ (number >> np.uint64(27))) * _SECOND
        return number ^ (number >> np.uint64(31))
