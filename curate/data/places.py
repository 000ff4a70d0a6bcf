"""What stands in the brackets of `rows[…]`: a place or an id, or several of them, as places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.data.describe import counted
from curate.errors import NoSuchRow, UsageError

_TRUTHS = (bool, np.bool_)
_ALLOWED = (
    "give a place, a slice, an id, a list of places or of ids, or a mask with a truth for each row"
)


def places_of(key: Any, size: int, ids: Callable[[], Mapping[str, int]]) -> int | NDArray[np.int64]:
    """Return the place of one row, or the places (m,) of several, in the order of the key.

    `ids` gives the place of every id. What is not there is a NoSuchRow; something else, a mask of
    another length, or a row that is named twice, a UsageError.
    """
    if isinstance(key, str) or _is_number(key):
        return _place(key, size, ids)
    try:
        if isinstance(key, slice):
            return np.arange(size)[key]
        if isinstance(key, Mapping | tuple | bytes):
            raise TypeError
        items = key.to_pylist() if hasattr(key, "to_pylist") else list(key)
    except (TypeError, ValueError):
        raise UsageError(f"rows[{type(key).__name__}]: {_ALLOWED}") from None
    if items and all(isinstance(item, _TRUTHS) for item in items):
        if len(items) != size:
            raise UsageError(f"a mask of {len(items):,} truths for {counted(size)}: {_ALLOWED}")
        return np.flatnonzero(items)
    if not (all(isinstance(item, str) for item in items) or all(map(_is_number, items))):
        kinds = sorted({type(item).__name__ for item in items})
        raise UsageError(f"a list of {' and '.join(kinds)}: {_ALLOWED}")
    places = [_place(item, size, ids) for item in items]
    if len(set(places)) < len(places):
        ((twice, _),) = Counter(places).most_common(1)
        raise UsageError(f"row {twice} is given twice; name each row once")
    return np.array(places, dtype=np.int64)


def _is_number(item: object) -> bool:
    return hasattr(item, "__index__") and not isinstance(item, (*_TRUTHS, np.ndarray))


def _place(item: Any, size: int, ids: Callable[[], Mapping[str, int]]) -> int:
    if not isinstance(item, str):
        place = index(item)
        if not -size <= place < size:
            raise NoSuchRow(f"row {place} of {size}: places go from 0 to {size - 1}")
        return place % size
    if item not in ids():
        raise NoSuchRow(
            f"none of {counted(size)} here has the id {item[:40]!r}; ids stand in .ids, in the "
            "column `id` of scores and on cards"
        )
    return ids()[item]
