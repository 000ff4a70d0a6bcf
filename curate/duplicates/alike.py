"""All pairs of texts that are alike: who has a twin on the other side, and who belongs together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from curate.duplicates.first_kept import Numbers, Similar

_BLOCK = 200
_PAIRS = 1_000_000  # that are compared at a time, or they fill memory
Pairs = tuple[Numbers, Numbers, NDArray[np.float64]]


def pairs_between(
    buckets: NDArray[np.int32], start: int, similar: Similar, near: float
) -> Iterator[Pairs]:
    """Yield all pairs of a text from `start` on and one before it, whose similarity is enough.

    `buckets` (n, bands) are those of `curate.duplicates.ngrams`; texts in no common one are not
    compared.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for place in range(start):
        for bucket in _buckets(buckets, place):
            members[bucket].append(place)
    left: list[int] = []
    right: list[int] = []
    for place in range(start, len(buckets)):
        others = {o for bucket in _buckets(buckets, place) for o in members.get(bucket, ())}
        left += [place] * len(others)
        right += sorted(others)
        if len(left) >= _PAIRS:
            yield _alike(left, right, similar, near)
            left, right = [], []
    yield _alike(left, right, similar, near)


def together(buckets: NDArray[np.int32], similar: Similar, near: float) -> Numbers:
    """Return (n,) the first text of those that each belongs with, by chains of texts alike."""
    first = np.arange(len(buckets))

    def root(place: int) -> int:
        while first[place] != place:
            first[place] = first[first[place]]
            place = int(first[place])
        return place

    members: dict[int, list[int]] = defaultdict(list)
    for start in range(0, len(buckets), _BLOCK):
        left: list[int] = []
        right: list[int] = []
        for place in range(start, min(start + _BLOCK, len(buckets))):
            met = _buckets(buckets, place)
            others = {other for bucket in met for other in members.get(bucket, ())}
            others = {other for other in others if root(other) != root(place)}
            left += [place] * len(others)
            right += sorted(others)
            for bucket in met:
                members[bucket].append(place)
        for one, other in zip(*_alike(left, right, similar, near)[:2], strict=True):
            low, high = sorted((root(int(one)), root(int(other))))
            first[high] = low
    return np.array([root(place) for place in range(len(buckets))], dtype=np.int64)


def _buckets(buckets: NDArray[np.int32], place: int) -> list[int]:
    return [bucket for bucket in buckets[place].tolist() if bucket >= 0]


def _alike(left: list[int], right: list[int], similar: Similar, near: float) -> Pairs:
    one, other = np.array(left, np.int64), np.array(right, np.int64)
    values = similar(one, other)
    enough = values >= near
    return one[enough], other[enough], values[enough]
