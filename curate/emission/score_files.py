"""The scores files of earlier runs, joined to rows by id."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curate.data.expression import SHORT, Expression, file_named, in_expressions, unknown_column
from curate.errors import DataError, UsageError, did_you_mean

OK = "ok"
NO_SCORE = "no_score"
ENDING = ".scores.parquet"
_GIVE = f"give a NAME{ENDING} that curate has written"


@dataclass(frozen=True)
class ScoreFile:
    """One file, a place in it for every row."""

    path: Path
    name: str  # without its ending; before a column's name, it says which file's is meant
    columns: dict[str, pa.DataType]  # those that hold a number, a text or a truth
    places: NDArray[np.int64]  # (n,) line of each row; -1 for a row that is not in it

    def values(self, column: str) -> NDArray[Any]:
        """Return one of the columns, (n,); NaN, '' or False for rows that have nothing there."""
        lines = pa.array(self.places, mask=self.places < 0)
        return column_values(pq.read_table(self.path, columns=[column]).column(0).take(lines))


class Joined:
    """Columns of several scores files, for the rows of one input."""

    def __init__(self, paths: Sequence[Path], ids: NDArray[np.object_]) -> None:
        """Read which columns there are; the columns themselves are read when they are named."""
        self.files = [_opened(path, ids) for path in paths]
        self.rows = len(ids)

    def columns(self, expression: Expression) -> dict[str, NDArray[Any]]:
        """Return what an expression names, by the name that it uses."""
        return {name: self.column(name, expression.option) for name in expression.columns()}

    def first(self, names: Iterable[str]) -> dict[str, NDArray[Any]]:
        """Return those of some columns that there are, each of the first file that has it."""
        owners = {name: [file for file in self.files if name in file.columns] for name in names}
        return {name: files[0].values(name) for name, files in owners.items() if files}

    def status(self) -> NDArray[np.object_]:
        """Return `ok` for a row that all files call so, else what the first other one says."""
        status = np.full(self.rows, OK, dtype=object)
        for file in self.files:
            in_file = file.values("status") if "status" in file.columns else OK
            status = np.where(status == OK, np.where(file.places < 0, NO_SCORE, in_file), status)
        return status.astype(object)

    def names(self) -> list[str]:
        return list(dict.fromkeys(column for file in self.files for column in file.columns))

    def lines(self, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
        """Return what the files say of some rows, a dictionary each."""
        lines: list[dict[str, Any]] = [{} for _ in rows]
        for file in self.files:
            table = pq.read_table(file.path, columns=list(file.columns))
            for line, place in zip(lines, file.places[rows].tolist(), strict=True):
                if place >= 0:
                    line.update(table.slice(place, 1).to_pylist()[0])
        return lines

    def column(self, name: str, option: str) -> NDArray[Any]:
        """Return a column, named `column` or `FILE.column`, for every row, (n,)."""
        owner, dot, column = name.rpartition(".")
        owner = file_named(owner)
        files = [file for file in self.files if not dot or file.name == owner]
        if not files:
            names = [in_expressions(file.name) for file in self.files]
            raise UsageError(
                f"{option} {name}: no scores file is called '{owner}'."
                f"{did_you_mean(owner, names)} Given are {', '.join(names)}"
            )
        known = list(dict.fromkeys(column for file in files for column in file.columns))
        column = _whole(column, known)
        if column not in known:
            raise unknown_column(column, known, option, ", ".join(file.path.name for file in files))
        if column == "status" and not dot:
            return self.status()
        first, *others = (file for file in files if column in file.columns)
        values = first.values(column)
        for other in others:
            again = other.values(column)
            numbers = values.dtype == again.dtype == np.float64
            if values.dtype != again.dtype or not np.array_equal(values, again, equal_nan=numbers):
                one, two = (f"{in_expressions(file.name)}.{column}" for file in (first, other))
                way_out = f"write {one} or {two}" if one != two else "give one, or rename one"
                raise UsageError(
                    f"{option}: {first.path.name} and {other.path.name} say different things "
                    f"in '{column}'; {way_out}"
                )
        return values


def _opened(path: Path, ids: NDArray[np.object_]) -> ScoreFile:
    try:
        schema = pq.read_schema(path)
        if "id" not in schema.names or pa.types.is_nested(schema.field("id").type):
            raise DataError(f"'{path.name}' has no column id of texts; {_GIVE}")
        known = pq.read_table(path, columns=["id"]).column("id").cast(pa.string())
    except FileNotFoundError as error:
        raise DataError(f"no scores file '{path}'; {_GIVE}") from error
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"'{path}' is no parquet file that can be read; {_GIVE}") from error
    lines = pc.index_in(pa.array(ids, pa.string()), known.combine_chunks())
    places = pc.fill_null(lines, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    if not (places >= 0).any():
        raise DataError(
            f"none of the rows has a score in {path.name}: it is of other rows. Give the scores "
            "file of a run over these rows"
        )
    columns = {
        column.name: column.type
        for column in schema
        if column.name not in ("id", "row") and (_is_number(column.type) or _is_plain(column.type))
    }
    return ScoreFile(path, path.name.removesuffix(ENDING), columns, places)


def table_columns(table: pa.Table, expression: Expression) -> dict[str, NDArray[Any]]:
    """Return what an expression names, by the name that it uses, from scores at hand."""
    known = [
        column.name for column in table.schema if _is_number(column.type) or _is_plain(column.type)
    ]
    columns = {}
    for name in expression.columns():
        column = _whole(name, known)
        if column not in known:
            raise unknown_column(name, known, expression.option, "the scores")
        columns[name] = column_values(table.column(column))
    return columns


def column_values(column: pa.ChunkedArray) -> NDArray[Any]:
    """Return a column of numbers, truths or texts; NaN, False or '' where it has nothing."""
    if _is_number(column.type):
        numbers: NDArray[Any] = column.cast(pa.float64(), safe=False).to_numpy()
        return numbers
    nothing = False if pa.types.is_boolean(column.type) else ""
    kind = bool if nothing is False else object
    return np.array([nothing if value is None else value for value in column.to_pylist()], kind)


def _whole(column: str, known: Collection[str]) -> str:
    """Return the column that a short word stands for, where there is one."""
    return SHORT[column] if column not in known and SHORT.get(column) in known else column


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _is_plain(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.bool_())
