"""Controls: what a choice has to beat, as large as it in rows, in tokens, or with answers as long.

Whether a selection is worth its trouble only shows beside one: arXiv 2410.09335 finds random rows
nearly as good at scale, and scores of selected rows say nothing without those of others. As many
rows are often fewer tokens: what IFD keeps has answers up to twice as long as those of all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.choices.emitting import nothing_chosen
from curate.choices.selection import Selection
from curate.errors import check_one_of
from curate.models.packaged_models import DEFAULT_ENCODER
from curate.parameters.controls import CONTROLS
from curate.recipes.budgets import tokens_of
from curate.recipes.model_scores import embedded
from curate.selectors import random, selectors
from curate.selectors.cluster_rank import rank_in_group
from curate.selectors.kept_and_dropped import Candidates, Ranking, Wanted, scored
from curate.selectors.kmeans import KMeansParams, clusters
from curate.selectors.middle_band import NO_SCORE

NAME = "random"
# More tokens than as many random rows, and a rank correlation of score and length, that are told.
_MORE_TOKENS, _BY_LENGTH = 1.1, 0.5
# What the note says that tells of it.
UNFAIR = "as many rows are no fair control"
_PER_STRATUM = 10  # kept rows, of lengths that are taken for the same


@dataclass(frozen=True)
class ControlParams:
    """What a control is of."""

    of: str  # recipe of the selection
    keep: int  # rows drawn, as many as the selection keeps
    seed: int = 0  # of the draw


@dataclass(frozen=True)
class FairControlParams:
    """What a control is of that is as large in something else than rows."""

    of: str  # recipe of the selection
    kind: str  # a word of CONTROLS
    tokens: int  # of the selection's responses
    seed: int = 0  # of the draw


def control(selection: Selection, kind: str = "rows") -> Selection:
    """Return another choice among the rows that have the same score, to compare a selection with.

    Rows are drawn by their ids: their order, and the file they came from, do not matter.

    Args:
        selection: What a recipe gave; its seed draws.
        kind: `rows`: as many, at random. `tokens`: at random up to as many tokens of responses.
            `length`: as many, at random among responses as long as those of the choice; see
            `as_long`. `clusters`, `longest`: the selectors of these names, up to as many tokens.

    Raises:
        UsageError: No such kind.

    Example:
        >>> curate.emit(control(cherry, "tokens"), "data", name="medical_cherry_random_tokens")
    """
    if not isinstance(selection, Selection):
        raise nothing_chosen(selection)
    check_one_of("control", kind, CONTROLS)
    kept, seed = selection.choice.kept, int(getattr(selection.params, "seed", 0))
    values, ids = selection.scored.values(selection.ranked_by), selection.rows.ids
    possible = scored(selection.scored.status)
    tokens = selection.tokens or tokens_of(selection.rows, None)
    total, model = int(tokens.counts[kept].sum()), selection.model
    params: Any = FairControlParams(of=selection.recipe, kind=kind, tokens=total, seed=seed)
    arrays: dict[str, Any] = {"values": values}
    settings: dict[str, Any] = {"seed": seed}
    if kind == "clusters":
        embeddings, model = embedded(selection.rows, DEFAULT_ENCODER, "row")
        grouped = clusters(embeddings.vectors, ids, KMeansParams(seed=seed))
        arrays = {"vectors": embeddings.vectors, "clusters": grouped.labels}
    elif kind == "longest":
        arrays, settings = {"tokens": tokens.counts}, {}
    if kind == "rows":
        params = ControlParams(of=selection.recipe, keep=int(kept.sum()), seed=seed)
        wanted = Wanted(params.keep, None, tokens.counts)
    else:
        possible = possible.without(np.isnan(values), NO_SCORE)
        wanted = Wanted(len(ids), total, tokens.counts)
    if kind == "length":
        order = random.draws(possible.kept, ids, seed)
        choice = possible.only(as_long(tokens.counts, kept, order), "not_drawn")
    else:
        candidates = Candidates(possible, ids, **arrays)
        choice = Ranking(selectors()[made_by(kind)], candidates, settings).choice(wanted)
    return Selection(
        recipe=made_by(kind),
        params=params,
        rows=selection.rows,
        scored=selection.scored,
        choice=choice,
        ranked_by=selection.ranked_by,
        model=model,
        tokens=tokens,
    )


def as_long(
    lengths: NDArray[np.int64], kept: NDArray[np.bool_], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return as many rows as are kept, drawn so that their lengths are distributed as theirs are.

    The lengths of the kept rows are cut into strata of about ten rows each, and of every stratum as
    many rows are drawn as were kept. Kept rows can be drawn, as in every control: without them it
    would be of the rows that the score rejects. Where the choice goes by length they are many.
    """
    own = np.sort(lengths[kept])
    if not len(own):
        return order[:0]
    edges = own[_PER_STRATUM::_PER_STRATUM]
    stratum = np.searchsorted(edges, lengths, side="right")
    wanted = np.bincount(stratum[kept], minlength=len(edges) + 1)
    order = order[(lengths[order] >= own[0]) & (lengths[order] <= own[-1])]
    order = order[np.argsort(stratum[order], kind="stable")]
    return order[rank_in_group(stratum[order]) < wanted[stratum[order]]]


def made_by(kind: str) -> str:
    """Return the recipe that a control is registered by."""
    return kind if kind in ("clusters", "longest") else NAME


def mean_score(selection: Selection) -> float:
    """Return the mean score of the kept rows that have one; NaN if none has."""
    kept = selection.scored.values(selection.ranked_by)[selection.choice.kept]
    kept = kept[np.isfinite(kept)]
    return float(kept.mean()) if len(kept) else float("nan")


def beside_as_many(selection: Selection) -> tuple[Selection, Selection]:
    """Return a selection and its control of as many rows.

    Where the selection has over 10 % more tokens than that, or its scores and lengths have a rank
    correlation above 0.5, it says so in its notes and its details.
    """
    drawn = control(selection)
    assert drawn.tokens
    counts, values = drawn.tokens.counts, selection.scored.values(selection.ranked_by)
    own, other = (int(counts[each.choice.kept].sum()) for each in (selection, drawn))
    both = np.isfinite(values) & (counts > 0)
    agreement = spearman(values[both], counts[both])
    if own <= _MORE_TOKENS * other and not agreement > _BY_LENGTH:
        return selection, drawn
    ratio = own / max(1, other)
    known = not np.isnan(agreement)  # scores or lengths that do not vary agree with nothing
    told = f", rank correlation of score and length {agreement:.2f}" if known else ""
    note = (
        f"the kept rows have {ratio:.2f} times the response tokens of as many random rows ({own:,} "
        f"to {other:,}){told}: {UNFAIR}, --with-control tokens length writes fairer ones"
    )
    bias: dict[str, Any] = {"tokens": own, "random_tokens": other, "ratio": round(ratio, 4)}
    bias["spearman"] = round(agreement, 4) if known else None
    details = {**selection.details, "length_bias": bias}
    return replace(selection, details=details, notes=(*selection.notes, note)), drawn


def spearman(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the rank correlation of two rows of numbers (n,); NaN where one does not vary."""
    import pandas as pd

    if len(one) < 2 or one.min() == one.max() or other.min() == other.max():
        return float("nan")
    return float(np.corrcoef(pd.Series(one).rank(), pd.Series(other).rank())[0, 1])
