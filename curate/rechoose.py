"""Another budget, condition or score for a choice that is there: nothing is computed anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from curate.data.expression import SHORT, parse_expression
from curate.emission.score_files import table_columns
from curate.errors import UsageError
from curate.recipes.budgets import wanted_of
from curate.selectors import top_k
from curate.selectors.filled import Ranking, Wanted

if TYPE_CHECKING:
    from curate.selection import Selection


def within(selection: Selection, keep: str | int) -> Selection:
    """Return the choice within another budget."""
    ranking = _ranking(selection)
    assert selection.tokens is not None  # they are counted wherever there is a budget
    wanted = wanted_of(keep, selection.tokens.counts, "keep")
    return _chosen(selection, ranking, params=replace(selection.params, keep=keep), wanted=wanted)


def among(selection: Selection, condition: str) -> Selection:
    """Return the choice among rows for which a condition on their scores holds."""
    ranking = _ranking(selection)
    expression = parse_expression(condition, "where")
    allowed = expression.truths(table_columns(selection.table(), expression), len(selection.rows))
    choice = ranking.candidates.choice.without(~allowed, "where")
    ranking = replace(ranking, candidates=replace(ranking.candidates, choice=choice))
    return _chosen(selection, ranking)


def ranked_by(selection: Selection, score: str) -> Selection:
    """Return the choice of the highest by another score."""
    ranking = _ranking(selection)
    expression = parse_expression(score, "by")
    values = expression.numbers(table_columns(selection.table(), expression), len(selection.rows))
    values = np.where(np.isfinite(values), values, np.nan)
    name, scored = SHORT.get(score, score), selection.scored
    if name not in scored.columns:
        name = "score"
        scored = replace(scored, columns={**scored.columns, name: pa.array(values)})
    ranking = replace(ranking, candidates=replace(ranking.candidates, values=values))
    if not {"values", "vectors"} <= set(ranking.selector.NEEDS):
        ranking = Ranking(top_k, ranking.candidates)
    return _chosen(selection, ranking, scored=scored, ranked_by=name)


def _ranking(selection: Selection) -> Ranking:
    if selection.ranking is None:
        raise UsageError(
            f"{selection.recipe} keeps what its own parameters say; call "
            f"curate.{selection.recipe}() with others: its scores are in the cache"
        )
    return selection.ranking


def _chosen(selection: Selection, ranking: Ranking, **changes: Any) -> Selection:
    wanted: Wanted | None = changes.get("wanted", selection.wanted)
    assert wanted is not None  # a ranking is cut by a budget
    choice = ranking.choice(wanted)
    if ranking.told:
        columns, details = ranking.told(choice)
        scored = replace(selection.scored, columns={**selection.scored.columns, **columns})
        changes |= {"scored": scored, "details": {**selection.details, **details}}
    return replace(selection, ranking=ranking, choice=choice, **changes)
