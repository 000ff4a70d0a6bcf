"""Choose by one selector alone: whatever is in `curate.selectors` is a recipe of `select`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from curate.data.rows import Rows
from curate.errors import UsageError
from curate.recipes.given import Given
from curate.recipes.scoring import embedded, refuse_pairs_and_texts
from curate.selection import Selection
from curate.selectors import params_from_text, selectors
from curate.selectors.choice import Candidates
from curate.selectors.clusters import ClusterParams, clusters

CHOSEN = "chosen"


def by_selector(rows: Rows, params: Any, given: Given, wanted: int) -> Selection:
    """Return the choice of a selector; embeddings and clusters are made where it needs them.

    Args:
        rows: To choose from.
        params: Of `select`; its recipe is the selector's name.
        given: What scores files say.
        wanted: Rows to keep.

    Raises:
        UsageError: The selector needs scores and there is no `by`.
    """
    name = params.recipe
    module = selectors()[name]
    if "values" in module.NEEDS and given.values is None:
        raise UsageError(f"--recipe {name} goes by scores: give --by COLUMN and --scores FILE")
    arrays: dict[str, Any] = {} if given.values is None else {"values": given.values}
    columns: dict[str, Any] = {}
    model: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    if {"vectors", "clusters"} & set(module.NEEDS):
        refuse_pairs_and_texts(rows, name)
        vectors, model = embedded(rows, params.encoder, "row")
        arrays["vectors"], notes = vectors.vectors, vectors.notes
    if "clusters" in module.NEEDS:
        grouped = clusters(arrays["vectors"], rows.ids, ClusterParams(seed=params.seed))
        arrays["clusters"] = grouped.labels
        columns["cluster"] = pa.array(grouped.labels, mask=grouped.labels < 0)
        notes = (*notes, *filter(None, [grouped.note]))
    own = params_from_text(name, params.set, wanted, params.seed)
    choice = module.select(Candidates(given.choice(), rows.ids, **arrays), own)
    ranked_by = given.name
    if given.values is None:
        ranked_by, columns[CHOSEN] = CHOSEN, choice.kept.astype(np.float64)
    scores = given.scores(**columns)
    return Selection(name, params, rows, scores, choice, ranked_by, model, notes)
