"""What a scorer is handed and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

OK = "ok"
# What a scorer's score() is handed after rows and parameters: `NEEDS` of its module.
NOTHING = "nothing"  # ()
REWARD = "reward"  # (RewardModel, Engine)
LANGUAGE_MODEL = "language model"  # (LikelihoodModel, Engine, scratch folder)
# One list of numbers an item, or of texts; or, where every item has as many numbers, (items,
# width) in 32 bits.
Numbers = list[list[float]] | list[list[str]] | NDArray[np.float32]


@dataclass(frozen=True)
class Work:
    """Numbers to be computed, as an engine needs to know them.

    Attributes:
        lengths: (items,) tokens of each item.
        widths: (items,) numbers that each item yields.
        compute: From the positions of some items to their numbers, one list an item; an array
            of float32 is journalled as such, which vectors need: as text they are five times
            as large.
        fingerprint: sha256 of all that decides the numbers.
        budget: Padded tokens that one batch may hold.
        workers: Batches computed side by side.
        prepare: Called once before anything is computed.
        worker: Context of one thread that computes.
        kinds: (items,) items of unlike kinds never share a batch; None if all are of one kind.
        dtype: What the numbers are kept in: `float64`, `float32` for vectors, or `object` for
            texts, which are journalled like numbers.
    """

    lengths: NDArray[np.int64]
    widths: NDArray[np.int64]
    compute: Callable[[NDArray[np.int64]], Numbers]
    fingerprint: str
    budget: int
    workers: int
    prepare: Callable[[], None]
    worker: Callable[[], AbstractContextManager[Any]]
    kinds: NDArray[np.int64] | None = None
    dtype: str = "float64"


class Engine(Protocol):
    """Runs a scorer's work: here or on many machines, resumable, the same bytes either way."""

    def run(self, work: Work, rows: int) -> NDArray[Any]:
        """Return the numbers of all items, one after the other, in the items' order.

        Args:
            work: What to compute.
            rows: How many rows the work is for, for the progress bar.
        """

    def forget(self, work: Work) -> None:
        """Delete the journal of a work whose numbers are kept elsewhere by now.

        Args:
            work: As it was run.
        """


@dataclass(frozen=True)
class Scores:
    """One line for each row, in input order.

    Attributes:
        status: (n,) `ok`, or why the row has no numbers.
        columns: Name to an Arrow array of n values; NaN where the status is not ok.
        notes: What a user should be told of this scoring, a sentence each.
    """

    status: NDArray[np.object_]
    columns: dict[str, pa.Array]
    notes: tuple[str, ...] = field(default=())

    def values(self, name: str) -> NDArray[np.float64]:
        """Return a numeric column, shape (n,).

        Args:
            name: Of the column.
        """
        column: NDArray[np.float64] = self.columns[name].to_numpy(zero_copy_only=False)
        return column.astype(np.float64)
