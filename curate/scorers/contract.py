"""What a scorer is handed and what it gives back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from curate.models.protocols import Model

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.engine.local import LocalEngine

OK = "ok"
# What a scorer's score() is handed after rows and parameters: `NEEDS` of its module.
NOTHING = "nothing"  # ()
REWARD = "reward"  # (RewardModel, Engine)
LANGUAGE_MODEL = "language model"  # (LikelihoodModel, Engine)
PAIRS = "pairs"  # (RewardModel, Engine, LikelihoodModel or None); rows are preference pairs
# One list of numbers an item, or of texts; or, where every item has as many numbers, (items,
# width) in 32 bits.
Numbers = list[list[float]] | list[list[str]] | NDArray[np.float32]
T = TypeVar("T")
_AT_A_TIME = 256


@dataclass(frozen=True)
class Work:
    """Numbers to be computed, as an engine needs to know them.

    What hangs on the rows stays where the rows are: take() is called there. What take() gives,
    the model's recipe and answer() are all that a worker elsewhere is sent, and they pickle.
    """

    model: Model
    lengths: NDArray[np.int64]  # (items,) tokens
    widths: NDArray[np.int64] | int  # (items,) numbers that each yields, or one for all
    take: Callable[[NDArray[np.int64]], Any]  # from positions of items to what the model is asked
    # From a model and what take() gives to the items' numbers; of a module, or a partial.
    answer: Callable[[Any, Any], Numbers | bytes]
    digest: str  # of all that decides the numbers besides the model
    kinds: NDArray[np.int64] | None = None  # (items,) those of unlike kinds never share a batch
    # `float64`, `float32` for vectors, or `object` for texts; `bytes` are made without the model's
    # weights, and are not kept.
    dtype: str = "float64"
    names: Callable[[NDArray[np.int64]], list[str]] | None = None  # to the ids of the items' rows


# Runs a scorer's work: here or on many machines, resumable, the same bytes either way.
Engine: TypeAlias = "LocalEngine"


@dataclass(frozen=True)
class Scores:
    """One line for each row, in input order."""

    status: NDArray[np.object_]  # (n,) `ok`, or why the row has no numbers
    columns: dict[str, pa.Array]  # of n values; NaN where the status is not ok
    notes: tuple[str, ...] = ()  # what a user should be told, a sentence each

    def values(self, name: str) -> NDArray[np.float64]:
        """Return a numeric column, shape (n,)."""
        column: NDArray[np.float64] = self.columns[name].to_numpy(zero_copy_only=False)
        return column.astype(np.float64)


def in_batches(items: Iterable[T], size: int = _AT_A_TIME) -> Iterator[list[T]]:
    """Yield lists of so many items."""
    coming = iter(items)
    while batch := list(islice(coming, size)):
        yield batch


def digest_of(*parts: object) -> str:
    """Return a sha256 over texts, numbers and arrays, none of which runs into the next."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.tobytes() if isinstance(part, np.ndarray) else str(part).encode()
        digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()


def lists_of(sizes: NDArray[np.int64], values: pa.Array) -> pa.Array:
    """Return one list a row; a row of size 0 has none."""
    import pyarrow as pa

    offsets = pa.array(np.concatenate(([0], np.cumsum(sizes))).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, values, mask=pa.array(sizes == 0))
