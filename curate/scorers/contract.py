"""What a scorer is handed and what it gives back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.models.protocols import Model

if TYPE_CHECKING:
    from curate.models.recipe import ModelRecipe

OK = "ok"
# What a scorer's score() is handed after rows and parameters: `NEEDS` of its module.
NOTHING = "nothing"  # ()
REWARD = "reward"  # (RewardModel, Engine)
LANGUAGE_MODEL = "language model"  # (LikelihoodModel, Engine, scratch folder)
# (RewardModel, Engine, LikelihoodModel or None, scratch folder); rows are preference pairs.
PAIRS = "pairs"
# One list of numbers an item, or of texts; or, where every item has as many numbers, (items,
# width) in 32 bits.
Numbers = list[list[float]] | list[list[str]] | NDArray[np.float32]
T = TypeVar("T")
_AT_A_TIME = 256


@dataclass(frozen=True)
class Work:
    """Numbers to be computed, as an engine needs to know them.

    What hangs on the rows stays where the rows are: take() is called there. What take() gives,
    the model's recipe and answer() are all that a worker in another process or on another machine
    is sent, and they pickle.

    Attributes:
        model: Computes; a worker elsewhere loads its own by the model's recipe.
        lengths: (items,) tokens of each item.
        widths: (items,) numbers that each item yields; one number if it is the same for all.
        take: From the positions of some items to what the model is asked.
        answer: From a model and what take() gives to the items' numbers, one list an item, or an
            array of float32; a function of a module, or a functools.partial of one.
        digest: Of all that decides the numbers besides the model.
        kinds: (items,) items of unlike kinds never share a batch; None if all are of one kind.
        dtype: What the numbers are kept in: `float64`, `float32` for vectors, or `object` for
            texts.
    """

    model: Model
    lengths: NDArray[np.int64]
    widths: NDArray[np.int64] | int
    take: Callable[[NDArray[np.int64]], Any]
    answer: Callable[[Any, Any], Numbers]
    digest: str
    kinds: NDArray[np.int64] | None = None
    dtype: str = "float64"


class Engine(Protocol):
    """Runs a scorer's work: here or on many machines, resumable, the same bytes either way."""

    def load(self, recipe: ModelRecipe) -> Any:
        """Return the model with the device, dtype and batch size of this engine's workers."""

    def run(self, work: Work, rows: int) -> NDArray[Any]:
        """Return the numbers of all items, in their order; progress is told in rows."""

    def forget(self, work: Work) -> None:
        """Delete the journal of a work whose numbers are kept elsewhere by now."""


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
    offsets = pa.array(np.concatenate(([0], np.cumsum(sizes))).astype(np.int32))
    return pa.ListArray.from_arrays(offsets, values, mask=pa.array(sizes == 0))
