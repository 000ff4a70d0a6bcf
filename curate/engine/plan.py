"""What is to be computed, cut into batches once, from all lengths.

The plan depends on the lengths and the budget alone. A run that is killed and started again
makes the same plan, so every batch is computed the same way and gives the same bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Plan:
    """Positions of the items in the order in which they are computed, and where each batch ends."""

    order: NDArray[np.int64]
    ends: NDArray[np.int64]
    lengths: NDArray[np.int64]  # tokens of each item, in the items' own order

    def __len__(self) -> int:
        return len(self.ends)

    def batch(self, number: int) -> NDArray[np.int64]:
        return self.order[self.ends[number - 1] if number else 0 : self.ends[number]]

    def tokens(self, number: int) -> int:
        return int(self.lengths[self.batch(number)].sum())

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for array in (self.order, self.ends, self.lengths):
            digest.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
        return digest.hexdigest()


def plan_batches(
    lengths: NDArray[np.int64], budget: int, kinds: NDArray[np.int64] | None = None
) -> Plan:
    """Return batches of items of like length, none larger than the budget when padded.

    Longest first: what does not fit into memory fails at once and not after hours.

    Example:
        >>> [list(plan_batches(np.array([3, 9, 2]), 6).batch(n)) for n in range(2)]
        [[1], [0, 2]]
    """
    kinds = np.zeros(len(lengths), dtype=np.int64) if kinds is None else kinds
    order = np.lexsort((-lengths, kinds)).astype(np.int64)
    batches: list[NDArray[np.int64]] = []
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        end = min(start + max(1, budget // longest), len(order))
        end = start + int((kinds[order[start:end]] == kinds[order[start]]).sum())
        batches.append(order[start:end])
        start = end
    batches.sort(key=lambda batch: -int(lengths[batch[0]]))
    ends = np.cumsum([len(batch) for batch in batches], dtype=np.int64)
    whole = np.concatenate(batches) if batches else order
    return Plan(order=whole, ends=ends, lengths=lengths.astype(np.int64))
