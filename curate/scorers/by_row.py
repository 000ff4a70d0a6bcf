"""Numbers that each row has by itself: of many rows they are worked out in several processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.canonical import parse
from curate.data.rows import Row, Rows
from curate.data.schema import Shape
from curate.system.processes import Pool, cores

# From rows that say what the rows say, and nothing of where they stand, to (rows, ...) numbers.
Measure: TypeAlias = Callable[[list[Row]], NDArray[Any]]
_AT_A_TIME = 1000  # rows
_MANY = 20_000  # rows, which take longer than processes take to start


def by_row(rows: Rows, wanted: NDArray[np.bool_], measure: Measure) -> NDArray[Any]:
    """Return the numbers of the rows that are `wanted` (n,), none of which has a flaw.

    `measure` pickles.

    Example:
        >>> by_row(rows, wanted, lambda some: np.array([len(row.turns) for row in some]))
        array([2, 4])
    """
    raw = rows.table.column("raw")
    jobs = (  # by slices: Arrow takes rows by their places out of a copy of the whole
        raw.slice(at, _AT_A_TIME).filter(pa.array(wanted[at : at + _AT_A_TIME])).to_pylist()
        for at in range(0, len(wanted), _AT_A_TIME)
    )
    start = partial(_measuring, measure, rows.shape)
    size, done, numbers = int(np.count_nonzero(wanted)), 0, measure([])
    with Pool(start, cores() if size >= _MANY else 1) as pool:
        for part in pool.map(jobs):
            if not done:
                numbers = np.empty((size, *part.shape[1:]), part.dtype)
            numbers[done : done + len(part)] = part
            done += len(part)
    return numbers


def _measuring(measure: Measure, shape: Shape) -> Callable[[list[str]], NDArray[Any]]:
    def measured(raws: list[str]) -> NDArray[Any]:
        values = map(json.loads, raws)
        return measure([Row("", 0, "", "", value, parse(value, shape)) for value in values])

    return measured
