"""Of rows that are alike, keep the first; every other names the kept row that it is like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
# From two lines of row numbers to the similarities of the pairs, (pairs,).
Similar = Callable[[Numbers, Numbers], NDArray[np.float64]]
BLOCK = 1000
_PAIRS = 1_000_000


class Twins(NamedTuple):
    """One line for each row.

    Attributes:
        twin: (n,) the first kept row that it is like, -1 for a row that is like none.
        similarity: (n,) to that row; without one, the highest that was found to a kept row
            before it, 0 where none came near.
    """

    twin: Numbers
    similarity: NDArray[np.float64]


def first_kept(
    buckets: NDArray[np.int32],
    order: Numbers,
    similar: Similar,
    near: float,
    fixed: int = 0,
    barred: NDArray[np.bool_] | None = None,
) -> Twins:
    """Go through the rows in order; keep a row unless it is like one that was kept before.

    There are no chains: A like B and B like C leave C in, where A and C are not alike, since
    B is not kept. What is left out is always like its twin, and its twin is always kept.
    """
    twin, similarity = np.full(len(order), -1), np.zeros(len(order))
    never = np.zeros(len(order), bool) if barred is None else barred
    # From here on a row is its rank, so that of several rows the smallest number comes first.
    meeting = np.flatnonzero((buckets[order] >= 0).any(axis=1))
    kept: dict[int, list[int]] = defaultdict(list)
    for rank in meeting[meeting < fixed].tolist():
        _enter(rank, _buckets_of(buckets[order[rank]]), kept)
    rest = meeting[meeting >= fixed]
    for start in range(0, len(rest), BLOCK):
        block = rest[start : start + BLOCK]
        # What is like nothing kept before can only be like others of its own block.
        own: dict[int, list[int]] = defaultdict(list)
        for among in (kept, own):
            for left, right in _pairs(block, buckets[order[block]], among, among is own):
                rows, others = order[left], order[right]
                _decide(rows, others, similar(rows, others), near, twin, similarity)
            block = block[(twin[order[block]] < 0) & ~never[order[block]]]
        for rank in block.tolist():
            _enter(rank, _buckets_of(buckets[order[rank]]), kept)
    unfixed = np.ones(len(order), bool)
    unfixed[order[:fixed]] = False
    twin[never & (twin >= 0) & unfixed[twin]] = -1
    return Twins(twin=twin, similarity=similarity)


def _buckets_of(line: NDArray[np.int32]) -> list[int]:
    return [bucket for bucket in line.tolist() if bucket >= 0]


def _enter(rank: int, buckets: list[int], members: dict[int, list[int]]) -> None:
    for bucket in buckets:
        members[bucket].append(rank)


def _pairs(
    ranks: Numbers, lines: NDArray[np.int32], members: dict[int, list[int]], enter: bool
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield every row with every member of its buckets, each pair once, members in their order.

    All pairs of a row come together, and never so many that they fill memory. With `enter`, rows
    become members once they have met those before them.
    """
    left: list[int] = []
    right: list[int] = []
    for rank, line in zip(ranks.tolist(), lines, strict=True):
        buckets = _buckets_of(line)
        met = {other for bucket in buckets for other in members.get(bucket, ())}
        left += [rank] * len(met)
        right += sorted(met)
        if enter:
            _enter(rank, buckets, members)
        if len(left) >= _PAIRS:
            yield left, right
            left, right = [], []
    yield left, right


def _decide(
    rows: Numbers,
    others: Numbers,
    values: NDArray[np.float64],
    near: float,
    twin: Numbers,
    similarity: NDArray[np.float64],
) -> None:
    """Give every row its first twin among the others, each of which is decided before it."""
    for row, other, value in zip(rows.tolist(), others.tolist(), values.tolist(), strict=True):
        if twin[row] < 0 and twin[other] < 0:
            if value >= near:
                twin[row], similarity[row] = other, value
            else:
                similarity[row] = max(similarity[row], value)
