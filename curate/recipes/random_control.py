"""The random control: as many rows as a selection keeps, drawn from all rows that have its score.

Whether a selection is worth its trouble only shows beside one: arXiv 2410.09335 finds random rows
nearly as good at scale, and scores of selected rows say nothing without those of others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curate.selection import Selection, nothing_chosen
from curate.selectors import random
from curate.selectors.kept_and_dropped import Candidates, scored

NAME = "random"
ENDING = "_random"


@dataclass(frozen=True)
class ControlParams:
    """What a control is of.

    Attributes:
        of: Recipe of the selection.
        keep: Rows drawn, as many as the selection keeps.
        seed: Of the draw.
    """

    of: str
    keep: int
    seed: int = 0


def control(selection: Selection) -> Selection:
    """Return a random choice of the same size among the rows that have the same score.

    Rows are drawn by their ids: their order, and the file they came from, do not matter.

    Args:
        selection: What a recipe gave; its seed draws.

    Example:
        >>> curate.emit(control(cherry), "data", name="medical_cherry_random")
    """
    if not isinstance(selection, Selection):
        raise nothing_chosen(selection)
    values = selection.scored.values(selection.ranked_by)
    params = ControlParams(
        of=selection.recipe,
        keep=int(selection.choice.kept.sum()),
        seed=int(getattr(selection.params, "seed", 0)),
    )
    candidates = Candidates(scored(selection.scored.status), selection.rows.ids, values=values)
    drawn = random.select(candidates, random.RandomParams(k=params.keep, seed=params.seed))
    return Selection(
        NAME,
        params,
        selection.rows,
        selection.scored,
        drawn,
        selection.ranked_by,
        selection.model,
        tokens=selection.tokens,
    )


def mean_score(selection: Selection) -> float:
    """Return the mean score of the kept rows that have one; NaN if none has."""
    kept = selection.scored.values(selection.ranked_by)[selection.choice.kept]
    kept = kept[np.isfinite(kept)]
    return float(kept.mean()) if len(kept) else float("nan")
