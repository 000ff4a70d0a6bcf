"""Of rows that are alike, keep the first; every other names the kept row that it is like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
# From two lines of row numbers to the similarities of the pairs, (pairs,).
Similar = Callable[[Numbers, Numbers], NDArray[np.float64]]
BLOCK = 1000
_PAIRS = 1_000_000  # that are compared at a time, or they fill memory


class Twins(NamedTuple):
    """One line for each row."""

    twin: Numbers  # (n,) the first kept row that it is like, -1 for a row that is like none
    # (n,) to that row; without one, the highest that was found to a kept row before it, or 0.
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
    B is not kept. What is left out is always like its twin, and its twin is always kept. The first
    `fixed` rows are kept, whatever they are like; rows that are `barred` are nobody's twin.
    """
    twin, similarity = np.full(len(order), -1), np.zeros(len(order))
    never = np.zeros(len(order), bool) if barred is None else barred

    def buckets_of(rank: int) -> list[int]:
        return [bucket for bucket in buckets[order[rank]].tolist() if bucket >= 0]

    def enter(ranks: Numbers) -> None:
        for rank in ranks.tolist():
            for bucket in buckets_of(rank):
                kept[bucket].append(rank)

    def decide(left: list[int], right: list[int]) -> None:
        """Give every row its first twin among the others, each of which is decided before it."""
        rows, others = order[left], order[right]
        values = similar(rows, others).tolist()
        for row, other, value in zip(rows.tolist(), others.tolist(), values, strict=True):
            if twin[row] < 0 and twin[other] < 0:
                if value >= near:
                    twin[row], similarity[row] = other, value
                else:
                    similarity[row] = max(similarity[row], value)

    # From here on a row is its rank, so that of several rows the smallest number comes first.
    meeting = np.flatnonzero(np.asarray((buckets >= 0).any(axis=1))[order])
    kept: dict[int, list[int]] = defaultdict(list)
    enter(meeting[meeting < fixed])
    rest = meeting[meeting >= fixed]
    for start in range(0, len(rest), BLOCK):
        block = rest[start : start + BLOCK]
        # What is like nothing kept before can only be like others of its own block.
        own: dict[int, list[int]] = defaultdict(list)
        for members in (kept, own):
            left: list[int] = []
            right: list[int] = []
            for rank in block.tolist():
                met = buckets_of(rank)
                others = sorted({other for bucket in met for other in members.get(bucket, ())})
                left += [rank] * len(others)
                right += others
                for bucket in met if members is own else ():
                    own[bucket].append(rank)
                if len(left) >= _PAIRS:
                    decide(left, right)
                    left, right = [], []
            decide(left, right)
            block = block[(twin[order[block]] < 0) & ~never[order[block]]]
        enter(block)
    unfixed = np.ones(len(order), bool)
    unfixed[order[:fixed]] = False
    twin[never & (twin >= 0) & unfixed[twin]] = -1
    return Twins(twin=twin, similarity=similarity)
