"""Of rows that are alike, keep the first; every other names the kept row that it is like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
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

    Args:
        buckets: (n, bands) rows that may be alike share one; -1 is no bucket.
        order: (n,) the rows, the one to be preferred first.
        similar: Gives the true similarity of pairs.
        near: Rows are alike from this similarity on.
        fixed: So many rows at the head of the order are kept without being looked at.
        barred: (n,) rows that are never kept, so that nobody's twin is one of them; their own
            can only be one of the fixed rows.
    """
    twins = Twins(np.full(len(order), -1), np.zeros(len(order)))
    twin = twins.twin
    never = np.zeros(len(order), bool) if barred is None else barred
    # From here on a row is its rank, so that of several rows the smallest number comes first.
    meeting = np.flatnonzero((buckets[order] >= 0).any(axis=1))

    def buckets_of(ranks: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
        for rank in ranks:
            yield rank, [bucket for bucket in buckets[order[rank]].tolist() if bucket >= 0]

    def compare(ranks: Sequence[int], members: dict[int, list[int]], enter: bool) -> None:
        """Compare rows with the members of their buckets; with `enter` they become members."""
        for left, right in _pairs(buckets_of(ranks), members, enter):
            _decide(order[left], order[right], similar, near, twins)

    kept: dict[int, list[int]] = defaultdict(list)
    _enter(buckets_of(meeting[meeting < fixed].tolist()), kept)
    rest = meeting[meeting >= fixed]
    for start in range(0, len(rest), BLOCK):
        block = rest[start : start + BLOCK]
        compare(block.tolist(), kept, enter=False)
        # What is like nothing kept before can only be like others of its own block.
        block = block[(twin[order[block]] < 0) & ~never[order[block]]]
        compare(block.tolist(), defaultdict(list), enter=True)
        _enter(buckets_of(block[twin[order[block]] < 0].tolist()), kept)
    unfixed = np.ones(len(order), bool)
    unfixed[order[:fixed]] = False
    twin[never & (twin >= 0) & unfixed[twin]] = -1
    return twins


def _enter(rows: Iterable[tuple[int, list[int]]], members: dict[int, list[int]]) -> None:
    for rank, buckets in rows:
        for bucket in buckets:
            members[bucket].append(rank)


def _pairs(
    rows: Iterable[tuple[int, list[int]]], members: dict[int, list[int]], enter: bool
) -> Iterator[tuple[list[int], list[int]]]:
    """Yield every row with every member of its buckets, each pair once, members in their order.

    All pairs of a row come together, and never so many that they fill memory.
    """
    left: list[int] = []
    right: list[int] = []
    for rank, buckets in rows:
        met = {other for bucket in buckets for other in members.get(bucket, ())}
        left += [rank] * len(met)
        right += sorted(met)
        if enter:
            _enter([(rank, buckets)], members)
        if len(left) >= _PAIRS:
            yield left, right
            left, right = [], []
    yield left, right


def _decide(rows: Numbers, others: Numbers, similar: Similar, near: float, twins: Twins) -> None:
    """Give every row its first twin among the others, each of which is decided before it."""
    twin, similarity = twins.twin, twins.similarity
    values = similar(rows, others)
    for row, other, value in zip(rows.tolist(), others.tolist(), values.tolist(), strict=True):
        if twin[row] < 0 and twin[other] < 0:
            if value >= near:
                twin[row], similarity[row] = other, value
            else:
                similarity[row] = max(similarity[row], value)
