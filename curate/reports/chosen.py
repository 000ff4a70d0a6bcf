"""What a report is of: a line for each row, what made it, and the rows as far as they are here."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.choices.emitting import nothing_chosen
from curate.choices.selection import Selection
from curate.data.rows import Row, Rows
from curate.data.schema import Shape
from curate.emission.emit import default_name
from curate.emission.score_files import column_values
from curate.mixture.mixed import Mixed
from curate.parameters.option import ending_of
from curate.recipes import score
from curate.scorers.contract import OK
from curate.selectors.kept_and_dropped import MARKED_KEEP
from curate.selectors.random import draws

# Recipes that choose by nothing a random choice could be compared in, and columns of theirs.
_NO_CONTROL = ("random", "mix", "split", "score")
SCORED = "scored"  # the reason of a row with a score where nothing is chosen
NO_SCORES = ("draw", "chosen", "twins", "novelty")
OF_TWINS = ("dedup", "decontaminate")
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Words = NDArray[np.object_]
# Lists of rows by key: what the button says, and the rows in the order to read them.
Views = dict[str, tuple[str, Places]]


@dataclass(frozen=True)
class Chosen:
    """A choice, in memory or on disk: a line for each row that could be chosen."""

    name: str  # of the data set
    table: pa.Table  # as NAME.scores.parquet has it
    manifest: dict[str, Any]
    parts: tuple[Rows, ...]  # the rows that are here
    place: Places  # (n,) of each line among the rows of all parts; -1: its row is not here
    beside: dict[str, Mask] = field(default_factory=dict)  # (n,): rows of a registered control
    folder: Path | None = None  # where it is registered; None for what is in memory
    not_here: tuple[str, ...] = ()  # names of the sources whose rows are not here
    changed: bool = False  # the data file is no more what curate wrote

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def recipe(self) -> str:
        return str(self.manifest.get("recipe", ""))

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.manifest.get("params") or {})

    @cached_property
    def all_here(self) -> bool:
        return bool((self.place >= 0).all())

    @cached_property
    def ids(self) -> Words:
        return np.array(self.table.column("id").to_pylist(), dtype=object)

    @cached_property
    def status(self) -> Words:
        return self.words("status")

    @cached_property
    def written_reason(self) -> Words:
        """The reasons of the scores file; of scores alone what a row has instead."""
        if self.has("reason"):
            return self.words("reason")
        return np.where(self.status == OK, SCORED, self.status).astype(object)

    @cached_property
    def reason(self) -> Words:
        """Why each row is left out; where nothing is chosen, no row is kept."""
        written = self.written_reason
        return np.where(written == MARKED_KEEP, "", written).astype(object)

    @cached_property
    def kept(self) -> Mask:
        kept: Mask = self.reason == ""
        return kept

    @cached_property
    def score(self) -> str:
        """The column that says how good a row is, '' for none."""
        if self.recipe in OF_TWINS:
            return "similarity"
        columns = [self.manifest.get("ranked_by"), *self.manifest.get("columns", ())]
        name = next((name for name in columns if name in self.float_columns), "")
        return "" if name in NO_SCORES else str(name)

    @cached_property
    def float_columns(self) -> list[str]:
        return [each.name for each in self.table.schema if pa.types.is_floating(each.type)]

    @cached_property
    def values(self) -> Floats:
        """The score of every row, NaN without."""
        return self.numbers(self.score) if self.score else np.full(len(self), np.nan)

    @cached_property
    def lengths(self) -> tuple[str, Floats | None]:
        """What the length of a response is counted in, and how much each has."""
        if self.has("tokens"):
            return "tokens", self.numbers("tokens")
        return "characters", self.described("response_characters")

    @cached_property
    def ranked(self) -> Places:
        """All rows, the highest score first, equal ones by their ids, those without one last."""
        order = np.empty(len(self), dtype=np.int64)
        order[np.argsort(self.ids.astype(str), kind="stable")] = np.arange(len(self))
        return np.lexsort((order, -np.where(np.isfinite(self.values), self.values, -np.inf)))

    @cached_property
    def control(self) -> Mask | None:
        """As many random rows, as `curate.control` draws them; None where they tell nothing."""
        by = str(self.manifest.get("ranked_by"))
        values = self.numbers(by) if by in self.float_columns else np.zeros(len(self))
        possible, kept = (self.status == OK) & ~np.isnan(values), int(self.kept.sum())
        if self.recipe in _NO_CONTROL or kept in (0, int(possible.sum())):
            return None
        mask = np.zeros(len(self), dtype=bool)
        mask[draws(possible, self.ids, int(self.params.get("seed", 0)))[:kept]] = True
        return mask

    def has(self, column: str) -> bool:
        return column in self.table.column_names

    def words(self, column: str) -> Words:
        """Return a column of words, '' where there is none."""
        return decoded(self.table.column(column))

    def numbers(self, column: str) -> Floats:
        """Return a column of numbers, NaN where there is none."""
        return column_values(self.table.column(column))

    def scores(self, column: str) -> Floats:
        """Return a column of numbers, NaN for a row without a score."""
        values = np.where(self.status == OK, self.numbers(column), np.nan)
        if column == "similarity":  # 0: no row was near enough to be compared with
            values[values == 0] = np.nan
        return values

    def described(self, column: str) -> Any:
        """Return what was counted of each row when it was read; None unless all are here.

        Where kept rows alone are here, no number of theirs may stand for all rows or a control.
        """
        if not self.all_here:
            return None
        every = pa.chunked_array(
            [c for part in self.parts for c in part.table.column(column).chunks]
        )
        is_text = pa.types.is_string(every.type)
        values = decoded(every) if is_text else every.to_numpy().astype(np.float64)
        return values[self.place]

    def row(self, line: int) -> tuple[Row, Shape]:
        """Return the row of a line, which has to be here, and its shape."""
        at = int(self.place[line])
        for part in self.parts:
            if at < len(part):
                return part[at], part.shape
            at -= len(part)
        raise IndexError(line)


def decoded(column: pa.ChunkedArray) -> Words:
    """Return words as an array in which equal ones are one object, '' for none."""
    coded = pc.dictionary_encode(column.combine_chunks())
    words = np.array([*coded.dictionary.to_pylist(), ""], dtype=object)
    codes = pc.fill_null(coded.indices, len(words) - 1).to_numpy(zero_copy_only=False)
    column_of: Words = words[codes]
    return column_of


def choice_of(given: Selection | Mixed, name: str = "") -> Chosen:
    if not isinstance(given, Selection | Mixed):
        raise nothing_chosen(given)
    manifest = given.manifest()
    if isinstance(given, Mixed):
        table, parts = given.score_lines().read_all(), tuple(part.rows for part in given.pool.parts)
        return Chosen(name or given.name, table, manifest, parts, np.arange(len(table)))
    table, rows = given.table(), given.rows
    if given.recipe == score.NAME:
        table = score.lines(given).read_all()
        manifest |= {"columns": list(given.scored.columns), "ranked_by": given.ranked_by}
    ending = ending_of(given.recipe, given.params)
    name = name or default_name(Path(rows.sources[0].name), ending)
    return Chosen(name, table, manifest, (rows,), np.arange(len(table)))
