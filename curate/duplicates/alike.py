"""Texts that are alike: the first is kept of rows, twins on another side, who belongs together.

`buckets` (n, bands) are those of `curate.duplicates.ngrams`; texts in no common one are not
compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
# From two lines of row numbers to the similarities of the pairs, (pairs,).
Similar = Callable[[Numbers, Numbers], NDArray[np.float64]]
BLOCK = 1000
_PAIRS = 1_000_000  # that are compared at a time, or they fill memory
_CHAINED = 200  # texts that are compared before it is looked again who belongs together
Pairs = tuple[Numbers, Numbers, NDArray[np.float64]]


class Twins(NamedTuple):
    twin: Numbers  # (n,) the first kept row that it is like, -1 for a row that is like none
    # (n,) to that row; without one, the highest that was found to a kept row before it, or 0.
    similarity: NDArray[np.float64]


class _Seen:
    def __init__(self, buckets: NDArray[np.int32], seen: Iterable[int] = ()) -> None:
        self._buckets, self._members = buckets, defaultdict[int, list[int]](list)
        for place in seen:
            self.add(place)

    def add(self, place: int) -> None:
        for bucket in self._buckets[place].tolist():
            if bucket >= 0:
                self._members[bucket].append(place)

    def met(self, place: int) -> set[int]:
        met = (self._members.get(bucket, ()) for bucket in self._buckets[place].tolist())
        return {other for members in met for other in members}

    def pairs(self, places: Iterable[int], note: bool = False) -> Iterator[tuple[Numbers, Numbers]]:
        """Yield the places of texts, each with that of one it meets; `note` it then, too."""
        left: list[int] = []
        right: list[int] = []
        for place in places:
            others = sorted(self.met(place))
            left += [place] * len(others)
            right += others
            if note:
                self.add(place)
            if len(left) >= _PAIRS:
                yield np.array(left), np.array(right)
                left, right = [], []
        yield np.array(left, np.int64), np.array(right, np.int64)


def first_kept(
    buckets: NDArray[np.int32],
    similar: Similar,
    near: float,
    fixed: int = 0,
    barred: NDArray[np.bool_] | None = None,
    advance: Callable[[int], object] = int,
) -> Twins:
    """Go through the rows in order; keep a row unless it is like one that was kept before.

    There are no chains: A like B and B like C leave C in, where A and C are not alike, since
    B is not kept. What is left out is always like its twin, and its twin is always kept. The first
    `fixed` rows are kept, whatever they are like; rows that are `barred` are nobody's twin.
    `advance` is called with the number of rows that were decided since it was called last.
    """
    size = len(buckets)
    twin, similarity = np.full(size, -1), np.zeros(size)
    never = np.zeros(size, bool) if barred is None else barred

    def decide(left: Numbers, right: Numbers) -> None:
        """Give every row its first twin among the others, each of which is decided before it."""
        values = similar(left, right).tolist()
        for row, other, value in zip(left.tolist(), right.tolist(), values, strict=True):
            if twin[row] < 0 and twin[other] < 0:
                if value >= near:
                    twin[row], similarity[row] = other, value
                else:
                    similarity[row] = max(similarity[row], value)

    meeting = np.flatnonzero((buckets >= 0).any(axis=1))
    kept = _Seen(buckets, meeting[meeting < fixed].tolist())
    rest = meeting[meeting >= fixed]
    advance(size - fixed - len(rest))  # those that meet no other
    for start in range(0, len(rest), BLOCK):
        block = rest[start : start + BLOCK]
        # What is like nothing kept before can only be like others of its own block.
        own = _Seen(buckets)
        for seen in (kept, own):
            for left, right in seen.pairs(block.tolist(), note=seen is own):
                decide(left, right)
            block = block[(twin[block] < 0) & ~never[block]]
        for row in block.tolist():
            kept.add(row)
        advance(len(rest[start : start + BLOCK]))
    twin[never & (twin >= fixed)] = -1
    return Twins(twin=twin, similarity=similarity)


def pairs_between(
    buckets: NDArray[np.int32], start: int, similar: Similar, near: float
) -> Iterator[Pairs]:
    """Yield all pairs of a text from `start` on and one before it, whose similarity is enough."""
    for left, right in _Seen(buckets, range(start)).pairs(range(start, len(buckets))):
        yield _alike(left, right, similar, near)


def together(buckets: NDArray[np.int32], similar: Similar, near: float) -> Numbers:
    """Return (n,) the first text of those that each belongs with, by chains of texts alike."""
    first, seen = np.arange(len(buckets)), _Seen(buckets)

    def root(place: int) -> int:
        while first[place] != place:
            first[place] = first[first[place]]
            place = int(first[place])
        return place

    for start in range(0, len(buckets), _CHAINED):
        left: list[int] = []
        right: list[int] = []
        for place in range(start, min(start + _CHAINED, len(buckets))):
            others = sorted(other for other in seen.met(place) if root(other) != root(place))
            left += [place] * len(others)
            right += others
            seen.add(place)
        pairs = np.array(left, np.int64), np.array(right, np.int64)
        for one, other in zip(*_alike(*pairs, similar, near)[:2], strict=True):
            low, high = sorted((root(int(one)), root(int(other))))
            first[high] = low
    return np.array([root(place) for place in range(len(buckets))], dtype=np.int64)


def _alike(left: Numbers, right: Numbers, similar: Similar, near: float) -> Pairs:
    values = similar(left, right)
    enough = values >= near
    return left[enough], right[enough], values[enough]
