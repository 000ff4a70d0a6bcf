"""What scores files of earlier runs say about rows, for those who choose by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.expression import SHORT, Expression
from curate.data.rows import Rows
from curate.emission.score_files import Joined, column_values, table_columns
from curate.errors import UsageError
from curate.scorers.contract import OK, Scores
from curate.scorers.pairs import FINDINGS
from curate.selectors.kept_and_dropped import Choice, labelled, scored
from curate.selectors.middle_band import OUTSIDE, within

SCORE = "score"
WHERE = "where"
# Every scores file has these of its own run.
OWN = ("source", "status", "kept", "reason")


@dataclass(frozen=True)
class EarlierScores:
    """What the scores files say about the rows."""

    status: NDArray[np.object_]  # (n,) `ok`, or why a row cannot be chosen
    values: NDArray[np.float64] | None  # (n,) of `by`; None without
    allowed: NDArray[np.bool_]  # (n,) of `where`
    inside: NDArray[np.bool_]  # (n,) of `between`, among the rows that have a score and are allowed
    # What the expressions name, (n,) each, for the new scores file.
    columns: dict[str, NDArray[Any]]
    # The score's column: the one that `by` names, or `score` where it is worked out.
    name: str = SCORE

    def scores(self, **more: NDArray[Any]) -> Scores:
        """Return status and columns for the new scores file."""
        own = {} if self.values is None else {self.name: self.values}
        columns = {**self.columns, **own, **more}
        arrays = {name: pa.array(values) for name, values in columns.items()}
        return Scores(self.status, arrays)

    def choice(self) -> Choice:
        """Return the choice of all rows with a score that `where` and `between` let through."""
        return scored(self.status).without(~self.allowed, WHERE).without(~self.inside, OUTSIDE)

    def beside(self, own: Scores) -> tuple[Scores, Choice]:
        """Return scores that were computed now beside the files', and the choice of allowed."""
        scores = replace(own, columns={**self.scores().columns, **own.columns})
        return scores, scored(own.status).without(~self.allowed, WHERE)


def read_scores(
    rows: Rows,
    paths: Sequence[Path],
    by: Expression | None,
    where: Expression | None,
    between: tuple[float, float] | None = None,
    computed: Scores | None = None,
) -> EarlierScores:
    """Return what the scores files say of the rows, or scores that were computed for this choice.

    `between` are percentiles of `by`. Of pairs what was found wrong with them is read, too, named
    or not; all that was computed is.
    """
    flaws = rows.table.column("flaw").to_numpy()
    flawed = labelled(flaws, flaws == "", OK)
    expressions = [each for each in (by, where) if each is not None]
    if expressions and not paths and not computed:
        first = expressions[0]
        raise UsageError(
            f"{first.option} {first.text}: give --scores FILE too, the NAME.scores.parquet of one "
            "or more earlier runs over these rows"
        )
    everything = np.ones(len(rows), dtype=bool)
    if not expressions:
        return EarlierScores(flawed, None, everything, everything, {})
    if computed:
        table = pa.table({"status": pa.array(computed.status, pa.string()), **computed.columns})
        read = {each.option: table_columns(table, each) for each in expressions}
        beside = {name: column_values(table.column(name)) for name in computed.columns}
        own_status = computed.status
    else:
        joined = Joined(paths, rows.ids)
        read = {each.option: joined.columns(each) for each in expressions}
        beside = joined.first(FINDINGS) if rows.shape.ranking else {}
        own_status = joined.status()
    allowed = where.truths(read[where.option], len(rows)) if where else everything
    columns = beside | {
        SHORT.get(name, name): values
        for named in read.values()
        for name, values in named.items()
        if name not in OWN
    }
    if by is None:
        return EarlierScores(flawed, None, allowed, everything, columns)
    values = by.numbers(read[by.option], len(rows))
    # A status says why there is no score; where there is one, another file's status is --where's.
    why_not = np.where(own_status == OK, "non_finite", own_status)
    status = np.where(np.isfinite(values), OK, why_not).astype(object)
    values = np.where(status == OK, values, np.nan)
    name = SHORT.get(by.text, by.text)
    inside = within(values, allowed & (status == OK), *between) if between else everything
    name = name if name in columns else SCORE
    return EarlierScores(status, values, allowed, inside, columns, name)
