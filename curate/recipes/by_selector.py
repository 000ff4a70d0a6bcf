"""Choose by one selector alone: whatever is in `curate.selectors` is a recipe of `select`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

import numpy as np
import pyarrow as pa

from curate.data.rows import Rows
from curate.errors import UsageError, did_you_mean
from curate.recipes.given import Given
from curate.recipes.scoring import embedded, refuse_pairs_and_texts
from curate.selection import Selection
from curate.selectors import selectors
from curate.selectors.choice import Candidates
from curate.selectors.clusters import ClusterParams, clusters

CHOSEN = "chosen"


def takes_number(name: str) -> bool:
    """Tell whether a selector keeps a number of rows, that is, has a parameter `k`.

    Args:
        name: Of the selector.
    """
    return "k" in {field.name for field in fields(selectors()[name].PARAMS)}


def selector_params(name: str, settings: Sequence[str], k: int, seed: int) -> Any:
    """Return the parameters of a selector.

    Args:
        name: Of the selector.
        settings: `KEY=VALUE` of its parameters.
        k: Rows to keep, where it has such a parameter.
        seed: Of a draw, where it draws.

    Raises:
        UsageError: No such parameter, one that is missing, or a value of another type.

    Example:
        >>> selector_params("facility_location", ["neighbours=10"], k=5, seed=0).neighbours
        10
    """
    params = selectors()[name].PARAMS
    names, types = [field.name for field in fields(params)], get_type_hints(params)
    values: dict[str, Any] = {key: v for key, v in (("k", k), ("seed", seed)) if key in names}
    allowed = [key for key in names if key not in values]
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in allowed:
            hint = did_you_mean(key, allowed)
            raise UsageError(
                f"--set {setting}: --recipe {name} takes KEY=VALUE of "
                f"{', '.join(allowed) or 'none'}.{hint}"
            )
        try:
            values[key] = types[key](text)
        except ValueError as error:
            raise UsageError(
                f"--set {setting}: {key} is of type {types[key].__name__}; give such a value"
            ) from error
    missing = [
        field.name
        for field in fields(params)
        if field.default is MISSING
        and field.default_factory is MISSING
        and field.name not in values
    ]
    if missing:
        raise UsageError(f"--recipe {name}: give --set {missing[0]}=VALUE")
    return params(**values)


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
    own = selector_params(name, params.set, wanted, params.seed)
    choice = module.select(Candidates(given.choice(), rows.ids, **arrays), own)
    ranked_by = given.name
    if given.values is None:
        ranked_by, columns[CHOSEN] = CHOSEN, choice.kept.astype(np.float64)
    scores = given.scores(**columns)
    return Selection(name, params, rows, scores, choice, ranked_by, model, notes)
