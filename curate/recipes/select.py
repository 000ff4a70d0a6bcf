"""Choose by scores that are there already, by chance, or by a recipe that needs little more.

`random` is the control; `superfilter` and `deita` are published methods, in files of their own;
every other selector is a recipe by its name, with `set` for its parameters;
without a recipe, `by` ranks by columns of scores files and `where` says what may be chosen.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curate.data.expression import parse_expression
from curate.data.kto_verdicts import judged
from curate.data.rows import Rows
from curate.errors import UsageError
from curate.parameters.ifd import IFDParams
from curate.parameters.select import DEITA, RANDOM, SelectParams
from curate.recipes import deita, ifd, superfilter
from curate.recipes.earlier_scores import SCORE, WHERE, Given, read_scores
from curate.recipes.model_scores import called, embedded, refuse_pairs_and_texts
from curate.selection import Selection
from curate.selectors import diverse, params_from_text, random, selectors, threshold, top_k
from curate.selectors.budget import DEFAULT, budget
from curate.selectors.choice import Candidates, Choice, scored
from curate.selectors.clusters import ClusterParams, clusters
from curate.system.files import sha256_of

NAME = "select"
DRAW, CHOSEN = "draw", "chosen"
IFD_COLUMNS = ("ifd_loss", "ifd_ppl")


def select(rows: Rows, params: SelectParams, scores: Sequence[str | Path] = ()) -> Selection:
    """Choose rows by chance, by a recipe, or by scores of earlier runs.

    Args:
        rows: To choose from.
        params: See SelectParams.
        scores: NAME.scores.parquet of earlier runs over these rows, joined by id.

    Raises:
        UsageError: A parameter that does not fit the others, or an expression that is none.
        DataError: A scores file cannot be read or is of other rows.

    Example:
        >>> params = SelectParams(by="ifd", where="reward > 0 and status == 'ok'", keep="10%")
        >>> select(curate.read("huatuo.json"), params, ["data/huatuo_ifd.scores.parquet"])
    """
    started = time.monotonic()
    evolved = params.recipe == DEITA and params.by in (None, deita.EVOL)
    for name in deita.PARTS:
        if getattr(params, name) and not evolved:
            raise UsageError(
                f"--{name} {getattr(params, name)}: only --recipe {DEITA} without --by asks a "
                "model for it; leave it out"
            )
    rows = judged(rows, "select", params.good_only, params.stage)
    wanted = budget(params.keep, len(rows))
    paths = [Path(each) for each in scores]
    by = None if params.by is None or evolved else parse_expression(params.by, "--by")
    where = None if params.where is None else parse_expression(params.where, "--where")
    given = read_scores(rows, paths, by, where)
    if params.recipe == RANDOM:
        found = _drawn(rows, params, given, wanted)
    elif params.recipe == superfilter.NAME:
        found = _superfiltered(rows, params, given, wanted)
    elif params.recipe == DEITA:
        found = _evolved(rows, params, given, paths, wanted)
    elif params.selector:
        found = _by_selector(rows, params, given, wanted)
    else:
        found = _highest(rows, params, given, wanted)
    signed = tuple(f"{path.name} {sha256_of(path)}" for path in paths)
    used = replace(
        found.params,
        keep=params.keep or (DEFAULT if params.counted else None),
        model=called(params.model),
        encoder=called(params.encoder),
        scores=signed,
    )
    notes = (*found.notes, *_about_budget(found.choice, wanted if params.counted else 0))
    return replace(found, params=used, notes=notes, seconds=time.monotonic() - started)


def _highest(rows: Rows, params: SelectParams, given: Given, wanted: int) -> Selection:
    assert given.values is not None  # SelectParams asks for --by where there is no recipe
    choice = top_k.select(
        Candidates(given.choice(), rows.ids, values=given.values), top_k.TopKParams(k=wanted)
    )
    return Selection(NAME, params, rows, given.scores(), choice, given.name, {})


def _drawn(rows: Rows, params: SelectParams, given: Given, wanted: int) -> Selection:
    possible = given.choice()
    drawn = random.draws(possible.kept, rows.ids, params.seed)
    # 1 for the row that was drawn first, falling to above 0; NaN for no chance.
    draw = np.full(len(rows), np.nan)
    draw[drawn] = 1 - np.arange(len(drawn)) / max(1, len(drawn))
    candidates = Candidates(possible, rows.ids, values=draw)
    choice = random.select(candidates, random.RandomParams(k=wanted, seed=params.seed))
    return Selection(RANDOM, params, rows, given.scores(draw=draw), choice, DRAW, {})


def _superfiltered(rows: Rows, params: SelectParams, given: Given, wanted: int) -> Selection:
    """Return the choice of `superfilter`; without `by`, IFD is computed first."""
    refuse_pairs_and_texts(rows, superfilter.NAME)
    sizes = superfilter.SuperfilterParams(
        wanted=wanted, pool=superfilter.pool_of(params.pool, wanted, len(rows))
    )
    choice, made = given.choice(), given.scores()
    model: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    name = given.name
    if given.values is None:
        scoring = IFDParams(
            model=params.model, form="ppl", trust_remote_code=params.trust_remote_code
        )
        found = ifd.scored_by(rows, scoring)
        name, model, notes = "ifd_ppl", found.model, found.notes
        made = replace(found.scores, columns={**made.columns, **found.scores.columns})
        choice = scored(made.status).without(~given.allowed, WHERE)
    if name in IFD_COLUMNS:
        below = threshold.ThresholdParams(bound=1.0, keep="below", reason="ifd_ge_1")
        choice = threshold.select(Candidates(choice, rows.ids, values=made.values(name)), below)
    vectors, encoder = embedded(rows, params.encoder, "row")
    choice = superfilter.choose(choice, made.values(name), vectors.vectors, rows.ids, sizes)
    notes = (*notes, *vectors.notes)
    return Selection(superfilter.NAME, params, rows, made, choice, name, model | encoder, notes)


def _evolved(
    rows: Rows, params: SelectParams, given: Given, paths: Sequence[Path], wanted: int
) -> Selection:
    """Return DEITA's choice: from the highest score down, without rows near a kept one."""
    refuse_pairs_and_texts(rows, DEITA)
    name, values, made, choice = given.name, given.values, given.scores(), given.choice()
    notes: tuple[str, ...] = ()
    model: dict[str, str] = {}
    if values is None:
        evol = deita.evol(rows, params, paths)
        name, values, model, notes = SCORE, evol.scores.values(SCORE), evol.model, evol.notes
        made = replace(evol.scores, columns={**made.columns, **evol.scores.columns})
        choice = evol.choice.without(~given.allowed, WHERE)
        params = replace(params, by=deita.EVOL)
    vectors, encoder = embedded(rows, params.encoder, "row")
    near = diverse.DiverseParams(k=wanted, nearest=params.nearest)
    choice = diverse.select(
        Candidates(choice, rows.ids, values=values, vectors=vectors.vectors), near
    )
    notes = (*notes, *vectors.notes)
    return Selection(DEITA, params, rows, made, choice, name, model | encoder, notes)


def _by_selector(rows: Rows, params: SelectParams, given: Given, wanted: int) -> Selection:
    """Return the choice of a selector; embeddings and clusters are made where it needs them."""
    name = params.selector
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


def _about_budget(choice: Choice, wanted: int) -> list[str]:
    kept = int(choice.kept.sum())
    if kept >= wanted:
        return []
    return [f"{wanted:,} rows were asked for and only {kept:,} can be chosen"]
