"""Another budget, condition or score for a choice that is there: nothing is computed anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.data.expression import SHORT, parse_expression
from curate.emission.marks import DROP, KEEP, Marks, read_marks
from curate.emission.score_files import table_columns
from curate.errors import UsageError
from curate.recipes.budgets import wanted_of
from curate.selectors import top_k
from curate.selectors.kept_and_dropped import MARKED_DROP, MARKED_KEEP, Choice, Ranking, Wanted

if TYPE_CHECKING:
    from curate.choices.selection import Selection


def keep(selection: Selection, keep: str | int) -> Selection:
    """Return the choice within another budget; nothing is computed anew.

    Args:
        selection: The choice.
        keep: Such as 5%, 500, 2M-tokens.

    Raises:
        UsageError: No budget, or a recipe that has none of its own.

    Example:
        >>> cherry.keep("5%").where("ifd_loss > 0.5").summary().kept
    """
    ranking = _ranking(selection)
    assert selection.tokens is not None  # they are counted wherever there is a budget
    wanted = wanted_of(keep, selection.tokens.counts, "keep")
    return cut(selection, ranking, params=replace(selection.params, keep=keep), wanted=wanted)


def where(selection: Selection, condition: str) -> Selection:
    """Return the choice among rows for which a condition, as behind `--where`, holds."""
    ranking = _ranking(selection)
    expression = parse_expression(condition, "where")
    allowed = expression.truths(table_columns(selection.table(), expression), len(selection.rows))
    choice = ranking.candidates.choice.without(~allowed, "where")
    ranking = replace(ranking, candidates=replace(ranking.candidates, choice=choice))
    return cut(selection, ranking, details=_again(selection.details, where=condition))


def by(selection: Selection, score: str) -> Selection:
    """Return the choice of the highest by another score, as behind `--by`, among the same rows."""
    ranking = _ranking(selection)
    expression = parse_expression(score, "by")
    values = expression.numbers(table_columns(selection.table(), expression), len(selection.rows))
    values = np.where(np.isfinite(values), values, np.nan)
    name, columns, details = SHORT.get(score, score), selection.scored.columns, selection.details
    candidates = replace(ranking.candidates, values=values)
    if {"values", "vectors"} <= set(ranking.selector.NEEDS):
        ranking = replace(ranking, candidates=candidates)
    else:
        if ranking.told:  # what hangs on the choice before is true of no other; its score is
            told = ranking.told(selection.choice.by_rule())
            gone = [each.keys() - {selection.ranked_by} for each in told]
            columns, details = (
                {key: value for key, value in each.items() if key not in names}
                for each, names in zip((columns, details), gone, strict=True)
            )
        ranking = Ranking(top_k, candidates, marked=ranking.marked)
    if name not in columns:
        name, columns = "score", {**columns, "score": pa.array(values)}
    scored, details = replace(selection.scored, columns=columns), _again(details, by=score)
    return cut(selection, ranking, scored=scored, details=details, ranked_by=name)


def marked(
    selection: Selection,
    marks: str | Path | Mapping[str, str] | Marks,
    dataset_dir: str | Path = "data",
) -> Selection:
    """Return the choice with the rows that somebody wants kept, without those to drop.

    Rows marked keep stay beyond the rule and are paid from the budget first; the ranking
    fills the rest. Their reasons are `marked_keep` and `marked_drop`.

    Args:
        selection: The choice.
        marks: NAME.marks.json of a report's page, or a dict of ids to `keep` and `drop`.
        dataset_dir: Folder of dataset_info.json, where the data set of the page stands.

    Raises:
        DataError: No file of marks, marks of another data set, or of rows that are not here.
        UsageError: The rows marked keep are more than the budget.

    Example:
        >>> cherry.marked({"35bb6cdee57bdaf5": "drop"}).summary().dropped
    """
    if isinstance(marks, str | Path):
        marks = read_marks(Path(marks), Path(dataset_dir))
    marks = marks if isinstance(marks, Marks) else Marks(dict(marks))
    keep, drop = marks.of_rows(selection.rows)
    counts = {KEEP: int(keep.sum()), DROP: int(drop.sum())}
    columns = dict(selection.scored.columns)
    if marks.note:
        columns["mark_note"] = pa.array(map(marks.note.get, selection.rows.ids), pa.string())
    told = f"{marks.file}: marked {KEEP}: {counts[KEEP]:,}; {DROP}: {counts[DROP]:,}"
    selection = replace(
        selection,
        scored=replace(selection.scored, columns=columns),
        details={**selection.details, "marks": {"file": marks.signed, "of": marks.of, **counts}},
        notes=(*selection.notes, told),
    )

    def without(choice: Choice, reason: str) -> Choice:
        reasons = np.where(drop, MARKED_DROP, np.where(keep, reason, choice.reason))
        return replace(choice, reason=reasons.astype(object))

    ranking = selection.ranking
    before = ranking.marked if ranking else selection.choice.marked
    keep = keep if before is None else keep | (before & ~drop)
    if ranking is None:
        choice = without(selection.choice, "").with_marked(keep)
        return replace(selection, choice=choice)
    choice = without(ranking.candidates.choice, MARKED_KEEP)
    candidates = replace(ranking.candidates, choice=choice)
    return cut(selection, replace(ranking, candidates=candidates, marked=keep))


def _again(details: dict[str, Any], **asked: str) -> dict[str, Any]:
    """Return details with what was asked of the choice, which its parameters do not say."""
    return {**details, "chosen_again": [*details.get("chosen_again", ()), asked]}


def _ranking(selection: Selection) -> Ranking:
    if selection.ranking is None:
        raise UsageError(
            f"{selection.recipe} keeps what its own parameters say; call "
            f"curate.{selection.recipe}() with others: its scores are in the cache"
        )
    return selection.ranking


def cut(selection: Selection, ranking: Ranking, **changes: Any) -> Selection:
    """Return the choice that a ranking makes within the budget, and what hangs on that choice."""
    wanted: Wanted | None = changes.get("wanted", selection.wanted)
    assert wanted is not None  # a ranking is cut by a budget
    choice = ranking.choice(wanted)
    if ranking.told:
        columns, details = ranking.told(choice.by_rule())
        scored = replace(selection.scored, columns={**selection.scored.columns, **columns})
        before = changes.get("details", selection.details)
        changes |= {"scored": scored, "details": {**before, **details}}
    return replace(selection, ranking=ranking, choice=choice, **changes)
