"""The scores files of earlier runs, joined to rows by id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.errors import DataError, UsageError, did_you_mean

_FORM = "give a NAME.scores.parquet that curate has written"


def column_of(path: Path, column: str, ids: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return a score for every row, (n,); NaN for a row that has none.

    Args:
        path: A NAME.scores.parquet.
        column: Of numbers, in that file.
        ids: (n,) of the rows.

    Raises:
        DataError: The file is no scores file, or of other rows.
        UsageError: It has no such column.
    """
    try:
        schema = pq.read_schema(path)
    except FileNotFoundError as error:
        raise DataError(f"no scores file '{path}'; {_FORM}") from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"'{path}' is no parquet file that can be read; {_FORM}") from error
    numbers = [each.name for each in schema if _is_number(each.type) and each.name != "row"]
    if "id" not in schema.names:
        raise DataError(f"'{path}' has no column id; {_FORM}")
    if column not in numbers:
        raise UsageError(
            f"no column of numbers '{column}' in {path.name}.{did_you_mean(column, numbers)} "
            f"It has {', '.join(numbers) or 'none'}"
        )
    table = pq.read_table(path, columns=["id", column])
    places = pc.index_in(pa.array(ids, pa.string()), table.column("id").combine_chunks())
    if places.null_count == len(ids):
        raise DataError(
            f"none of the rows has a score in {path.name}: it is of other rows. Give the scores "
            "file of a run over these rows"
        )
    found = pc.take(table.column(column).cast(pa.float64()), places)
    values: NDArray[np.float64] = (
        found.to_numpy(zero_copy_only=False) if isinstance(found, pa.Array) else found.to_numpy()
    )
    return values.astype(np.float64)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
