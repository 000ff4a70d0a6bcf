"""Of rows that are alike, keep the first; every other names the kept row that it is like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
# From two lines of row numbers to the similarities of the pairs, (pairs,).
Similar = Callable[[Numbers, Numbers], NDArray[np.float64]]
BLOCK = 1000
_PAIRS = 1_000_000


@dataclass(frozen=True)
class Twins:
    """One line for each row.

    Attributes:
        twin: (n,) the first kept row that it is like, -1 for a row that is like none.
        similarity: (n,) to that row; without one, the highest that was found to a kept row
            before it, 0 where none came near.
    """

    twin: NDArray[np.int64]
    similarity: NDArray[np.float64]


def first_kept(
    buckets: NDArray[np.int32],
    order: NDArray[np.int64],
    similar: Similar,
    near: float,
    fixed: int = 0,
    barred: NDArray[np.bool_] | None = None,
) -> Twins:
    """Go through the rows in order; keep a row unless it is like one that was kept before.

    There are no chains: A like B and B like C leave C in, where A and C are not alike, since
    B is not kept. What is left out is always like its twin, and its twin is always kept.

    Args:
        buckets: (n, bands) rows that may be alike share one; -1 is no bucket.
        order: (n,) the rows, the one to be preferred first.
        similar: Gives the true similarity of pairs.
        near: Rows are alike from this similarity on.
        fixed: So many rows at the head of the order are kept without being looked at.
        barred: (n,) rows that are never kept, so that nobody's twin is one of them; their own
            can only be one of the fixed rows.
    """
    size = len(order)
    rank = np.empty(size, np.int64)
    rank[order] = np.arange(size)
    found = Twins(np.full(size, -1), np.zeros(size))
    never = np.zeros(size, bool) if barred is None else barred
    meeting = order[(buckets[order] >= 0).any(axis=1)]
    members: dict[int, list[int]] = defaultdict(list)
    ahead = rank[meeting] < fixed
    _enter(meeting[ahead].tolist(), buckets, members)
    rest = meeting[~ahead]
    for start in range(0, len(rest), BLOCK):
        block = rest[start : start + BLOCK]
        for left, right in _pairs(block, buckets, members):
            _compare(left, right, similar, near, rank, found)
        # What is like nothing kept before can only be like others of its own block.
        open_ = block[(found.twin[block] < 0) & ~never[block]]
        _settle(open_, buckets, similar, near, found)
        _enter(open_[found.twin[open_] < 0].tolist(), buckets, members)
    elsewhere = never & (rank[found.twin] >= fixed)
    found.twin[elsewhere], found.similarity[elsewhere] = -1, 0
    return found


def _enter(rows: Iterable[int], buckets: NDArray[np.int32], members: dict[int, list[int]]) -> None:
    for row in rows:
        for bucket in _of(buckets, row):
            members[bucket].append(row)


def _of(buckets: NDArray[np.int32], row: int) -> list[int]:
    return [each for each in buckets[row].tolist() if each >= 0]


def _pairs(
    rows: NDArray[np.int64], buckets: NDArray[np.int32], members: dict[int, list[int]]
) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield every row with every member that shares a bucket with it, each pair once.

    All pairs of a row come together, and never so many that they fill memory.
    """
    left: list[int] = []
    right: list[int] = []
    for row in rows.tolist():
        met = {other for bucket in _of(buckets, row) for other in members.get(bucket, ())}
        left += [row] * len(met)
        right += met
        if len(left) >= _PAIRS:
            yield np.array(left, np.int64), np.array(right, np.int64)
            left, right = [], []
    yield np.array(left, np.int64), np.array(right, np.int64)


def _compare(
    left: Numbers, right: Numbers, similar: Similar, near: float, rank: Numbers, found: Twins
) -> None:
    """Give every left row that is like a right one the first of these as its twin."""
    values = similar(left, right)
    np.maximum.at(found.similarity, left, values)
    alike = np.flatnonzero(values >= near)
    alike = alike[np.lexsort((rank[right[alike]], left[alike]))]
    rows, first = np.unique(left[alike], return_index=True)
    found.twin[rows] = right[alike[first]]
    found.similarity[rows] = values[alike[first]]


def _settle(
    rows: NDArray[np.int64],
    buckets: NDArray[np.int32],
    similar: Similar,
    near: float,
    found: Twins,
) -> None:
    """Decide rows of one block among each other, in their order."""
    met: dict[int, list[int]] = defaultdict(list)
    left: list[int] = []
    right: list[int] = []
    for row in rows.tolist():
        before = {other for bucket in _of(buckets, row) for other in met[bucket]}
        left += [row] * len(before)
        right += before
        _enter([row], buckets, met)
    values = similar(np.array(left, np.int64), np.array(right, np.int64))
    likes: dict[int, dict[int, float]] = defaultdict(dict)
    for row, other, value in zip(left, right, values.tolist(), strict=True):
        likes[row][other] = value
    place = {row: at for at, row in enumerate(rows.tolist())}
    for row in rows.tolist():
        kept = {other: each for other, each in likes[row].items() if found.twin[other] < 0}
        alike = [other for other, value in kept.items() if value >= near]
        if alike:
            found.twin[row] = min(alike, key=lambda other: place[other])
            found.similarity[row] = kept[int(found.twin[row])]
        elif kept:
            found.similarity[row] = max(found.similarity[row], *kept.values())
