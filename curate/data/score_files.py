"""The scores files of several runs as one: columns joined to rows by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.data.expression import SHORT, Expression, unknown_column
from curate.errors import DataError, UsageError, did_you_mean

OK = "ok"
NO_SCORE = "no_score"
ENDING = ".scores.parquet"
_FORM = f"give a NAME{ENDING} that curate has written"


@dataclass(frozen=True)
class ScoreFile:
    """One file, a place in it for every row.

    Attributes:
        path: Of the file.
        name: Without its ending; before a column's name, it says which file's is meant.
        columns: Those that hold a number, a text or a truth.
        places: (n,) line of each row; -1 for a row that is not in it.
    """

    path: Path
    name: str
    columns: tuple[str, ...]
    places: NDArray[np.int64]

    def values(self, column: str) -> NDArray[Any]:
        """Return a column, (n,); NaN, '' or False for rows that have nothing there.

        Args:
            column: One of columns.
        """
        found = pq.read_table(self.path, columns=[column]).column(0).combine_chunks()
        taken = pc.take(found, pa.array(self.places, mask=self.places < 0))
        if pa.types.is_boolean(taken.type):
            truth: NDArray[Any] = pc.fill_null(taken, False).to_numpy(zero_copy_only=False)
            return truth.astype(bool)
        if _is_text(taken.type):
            return np.array([each or "" for each in taken.to_pylist()], dtype=object)
        number: NDArray[Any] = taken.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return number.astype(np.float64)


class Joined:
    """Columns of several scores files, for the rows of one input."""

    def __init__(self, paths: Sequence[Path], ids: NDArray[np.object_]) -> None:
        """Read which columns there are; the columns themselves are read when they are named.

        Args:
            paths: Of the scores files.
            ids: (n,) of the rows.

        Raises:
            DataError: A file is no scores file, or of other rows.
        """
        self.files = [_opened(path, ids) for path in paths]
        self.rows = len(ids)

    def columns(self, expression: Expression) -> dict[str, NDArray[Any]]:
        """Return what an expression names, by the name that it uses.

        Args:
            expression: Of --by or --where.

        Raises:
            UsageError: A column is in no file, or differs between two.
        """
        return {name: self._column(name, expression) for name in expression.columns()}

    def status(self) -> NDArray[np.object_]:
        """Return `ok` for a row that all files call so, else what the first other one says."""
        status = np.full(self.rows, OK, dtype=object)
        for file in self.files:
            said = file.values("status") if "status" in file.columns else None
            own = np.where(file.places < 0, NO_SCORE, OK if said is None else said)
            status = np.where(status == OK, own, status)
        return status.astype(object)

    def _column(self, name: str, expression: Expression) -> NDArray[Any]:
        owner, dot, column = name.rpartition(".")
        files = [each for each in self.files if not dot or each.name == owner]
        if not files:
            names = [file.name for file in self.files]
            raise UsageError(
                f"{expression.option} {name}: no scores file is called '{owner}'."
                f"{did_you_mean(owner, names)} Given are {', '.join(names)}"
            )
        known = list(dict.fromkeys(each for file in files for each in file.columns))
        if column not in known and SHORT.get(column) in known:
            column = SHORT[column]
        if column not in known:
            where = ", ".join(file.path.name for file in files)
            raise unknown_column(column, known, expression.option, where)
        if column == "status" and not dot:
            return self.status()
        held = [file for file in files if column in file.columns]
        first = held[0].values(column)
        for other in held[1:]:
            if not _equal(first, other.values(column)):
                raise UsageError(
                    f"{expression.option}: {held[0].path.name} and {other.path.name} say different "
                    f"things in '{column}'; write {held[0].name}.{column} or {other.name}.{column}"
                )
        return first


def _opened(path: Path, ids: NDArray[np.object_]) -> ScoreFile:
    try:
        schema = pq.read_schema(path)
        if "id" not in schema.names:
            raise DataError(f"'{path.name}' has no column id; {_FORM}")
        known = pq.read_table(path, columns=["id"]).column("id").combine_chunks()
    except FileNotFoundError as error:
        raise DataError(f"no scores file '{path}'; {_FORM}") from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"'{path}' is no parquet file that can be read; {_FORM}") from error
    found = pc.index_in(pa.array(ids, pa.string()), known.cast(pa.string()))
    if found.null_count == len(ids):
        raise DataError(
            f"none of the rows has a line in {path.name}: it is of other rows. Give the scores "
            "file of a run over these rows"
        )
    places = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    columns = tuple(e.name for e in schema if e.name not in ("id", "row") and _is_plain(e.type))
    return ScoreFile(path, path.name.removesuffix(ENDING), columns, places)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_plain(kind: pa.DataType) -> bool:
    number = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    return bool(number) or _is_text(kind)


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    if one.dtype != other.dtype:
        return False
    return bool(np.array_equal(one, other, equal_nan=one.dtype == np.float64))
