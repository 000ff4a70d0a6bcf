"""DEITA: from the highest score down, without rows near a kept one (arXiv 2312.15685).

A row's score is its complexity times its quality, added up over its turns. Both come from language
models that were trained to say them. The authors' have 7 to 13 billion parameters; where they are
not to be had, other scores stand in: IFD for the complexity of the instruction, the bundled ranker
for the quality of the response, each by its rank among the rows, since their scales are others.
That is no longer DEITA's score, and every output says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.choices.selection import Selection
from curate.data.rows import Rows
from curate.models.packaged_models import DEFAULT_MODEL, DEFAULT_RANKER
from curate.parameters.ifd import IFDParams
from curate.parameters.score import ScoreParams
from curate.parameters.select import SelectParams
from curate.recipes import ifd, score
from curate.recipes import model_scores as models
from curate.recipes.earlier_scores import WHERE, EarlierScores
from curate.scorers import complexity, quality
from curate.scorers.contract import OK, Scores
from curate.selectors import diverse
from curate.selectors.kept_and_dropped import Candidates, Ranking, scored

NAME, SCORE, IFD = "deita", "score", "ifd_loss"
EVOL = "complexity * quality"
PARTS = (complexity.NAME, quality.NAME)
_LOWEST, _HIGHEST = 1.0, 6.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Part:
    """Complexity or quality: `values` (n,), and one list a row of its turns, if they are known."""

    by: str
    scores: Scores
    values: Floats
    turns: pa.ListArray | None = None
    model: dict[str, str] = field(default_factory=dict)
    in_place: str = ""


def deita(rows: Rows, params: SelectParams, earlier: EarlierScores) -> Selection:
    """Keep the rows with the highest scores that are near no kept one."""
    models.refuse_pairs_and_texts(rows, NAME)
    name, scores, choice = earlier.name, earlier.scores(), earlier.choice()
    model: dict[str, str] = {}
    if earlier.values is None:
        name, params = SCORE, replace(params, by=EVOL)
        own, model = _evol(rows, params)
        choice = scored(own.status)
        if IFD in own.columns:
            choice = ifd.below_one(choice, own.values(IFD), rows.ids)
        choice = choice.without(~earlier.allowed, WHERE)
        scores = replace(own, columns={**scores.columns, **own.columns})
    vectors, encoder = models.embedded(rows, params.encoder, "row")
    candidates = Candidates(choice, rows.ids, scores.values(name), vectors.vectors)
    ranking = Ranking(diverse, candidates, {"nearest": params.nearest})
    notes = (*scores.notes, *vectors.notes)
    return Selection(
        NAME, params, rows, scores, choice, name, model | encoder, notes, ranking=ranking
    )


def _evol(rows: Rows, params: SelectParams) -> tuple[Scores, dict[str, str]]:
    """Return DEITA's score of every row, what each part came from, and what computed it."""
    parts = {name: _part(name, rows, params) for name in PARTS}
    first, second = parts.values()
    values = _times(first, second)
    status = np.where(first.scores.status == OK, second.scores.status, first.scores.status)
    status[(status == OK) & ~np.isfinite(values)] = "non_finite"
    values[status != OK] = np.nan
    columns = {**first.scores.columns, **second.scores.columns}
    columns |= {name: pa.array(part.values) for name, part in parts.items()}
    model = {name: part.by for name, part in parts.items()}
    for name, part in parts.items():
        model |= {f"{name}_{key}": value for key, value in part.model.items()}
    notes = [*first.scores.notes, *second.scores.notes]
    if missing := {name: part.in_place for name, part in parts.items() if part.in_place}:
        trained = {each.NAME: each.TRAINED for each in (complexity, quality)}
        instead = " and ".join(f"{text} stands in for its {name}" for name, text in missing.items())
        own = " ".join(f"--{name} {trained[name]}" for name in missing)
        notes.insert(
            0,
            f"this is not DEITA's own score: {instead}, by rank among these rows, 1 to 6. With its "
            f"scorers (LLaMA of up to 13 billion parameters): {own}",
        )
    columns[SCORE] = pa.array(values)
    return Scores(status.astype(object), columns, tuple(dict.fromkeys(notes))), model


def by_rank(values: Floats) -> Floats:
    """Return values between 1 and 6 in the same order; equal ones stay equal, NaN stays NaN."""
    import pandas as pd

    known = np.isfinite(values)
    ranks = pd.Series(np.where(known, values, np.nan)).rank().to_numpy().astype(np.float64)
    return _LOWEST + (_HIGHEST - _LOWEST) * ((ranks - 0.5) / max(1, int(known.sum())))


def _part(name: str, rows: Rows, params: SelectParams) -> _Part:
    """Return what a model of its own says of a part, or what stands in."""
    model, trusted = getattr(params, name), params.trust_remote_code
    if model is not None:
        selection = score.score(rows, ScoreParams((name,), model, trust_remote_code=trusted))
        scores = replace(selection.scored, notes=selection.notes)
        turns = scores.columns[f"turn_{name}"]
        return _Part(models.called(model), scores, scores.values(name), turns, selection.model)
    if name == quality.NAME:
        scores, made_by = models.rewarded(rows, DEFAULT_RANKER, "reward")
        values, text = scores.values("reward"), f"reward by {DEFAULT_RANKER}"
        instead = f"the reward of the bundled ranker '{DEFAULT_RANKER}'"
    else:
        asked = IFDParams(params.model or DEFAULT_MODEL, trust_remote_code=trusted)
        scores, reader = ifd.scored_by(rows, asked)
        scores = replace(scores, columns={IFD: scores.columns[IFD]})
        values, made_by = scores.values(IFD), models.computed_by(reader)
        text = instead = f"IFD by {reader.files.name}"
    return _Part(f"rank of {text}", scores, by_rank(values), None, made_by, instead)


def _times(first: _Part, second: _Part) -> Floats:
    """Return the product of two parts: turn by turn where both say something of every turn."""
    product = first.values * second.values
    if first.turns is None or second.turns is None:
        return product
    both = (first.turns, second.turns)
    sizes = [pc.fill_null(pc.list_value_length(turns), 0) for turns in both]
    one, other = (each.to_numpy(zero_copy_only=False).astype(np.int64) for each in sizes)
    if (one != other).any():
        return product
    flat = (t.flatten().to_numpy(zero_copy_only=False).astype(np.float64) for t in both)
    owners = np.repeat(np.arange(len(one)), one)
    added = np.bincount(owners, np.multiply(*flat), minlength=len(one)).astype(np.float64)
    return np.where((one > 0) & np.isfinite(product), added, product).astype(np.float64)
