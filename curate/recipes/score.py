"""Score rows and choose nothing: one or more scorers, their columns side by side.

What a scorer's NEEDS says is what it is handed; `curate.parameters.score` finds scorers by name.
"""

from __future__ import annotations

import time
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow as pa

from curate.choices.selection import Selection
from curate.data.rows import Rows
from curate.engine import open_engine
from curate.errors import UsageError
from curate.models.packaged_models import DEFAULT_MODEL, DEFAULT_RANKER, PACKAGED
from curate.models.ranking.reward_models import trained_on
from curate.models.recipe import ModelRecipe
from curate.parameters.score import ScoreParams, scorers, taken
from curate.recipes.budgets import sample, tokens_of
from curate.recipes.model_scores import (
    KINDS,
    about_language,
    called,
    computed_by,
    language_model,
    refuse_pairs_and_texts,
)
from curate.scorers.contract import LANGUAGE_MODEL, NOTHING, OK, PAIRS, REWARD, Scores
from curate.selectors.kept_and_dropped import scored

NAME = "score"


def score(rows: Rows, params: ScoreParams) -> Selection:
    """Score rows; every row with a score counts as kept, since nothing is chosen.

    Args:
        rows: Instruction data; preference pairs for the scorer `pairs`.
        params: Scorers and their models.

    Raises:
        UsageError: A parameter that does not fit, or rows of another kind.
        ModelError: A model is not to be had.

    Example:
        >>> curate.score(curate.read("huatuo.json"), "reward").scores["reward"]
    """
    rows = sample(rows, params)
    for name in params.scorer:
        if scorers()[name].NEEDS == PAIRS:
            if not rows.shape.ranking:
                kind = KINDS.get(rows.shape.kind, "instruction data, one response each")
                raise UsageError(
                    f"these rows are {kind}; --scorer pairs takes preference pairs (chosen and "
                    "rejected). For responses there are curate score --scorer reward, ifd and "
                    "others"
                )
        else:
            refuse_pairs_and_texts(rows, f"--scorer {name}")
    started = time.monotonic()
    by_scorer: dict[str, Scores] = {}
    models: dict[str, str] = {}
    for name in params.scorer:
        by_scorer[name], model = _scored(rows, name, params)
        models |= model
    joined = next(iter(by_scorer.values()))
    if len(by_scorer) > 1:
        # A row is `ok` where all scorers say so; one that a scorer could not score keeps the
        # numbers of the others.
        status, columns = joined.status, dict[str, pa.Array]()
        for name, scores in by_scorer.items():
            status = np.where(status == OK, scores.status, status)
            columns |= scores.columns | {f"status_{name}": pa.array(scores.status, pa.string())}
        notes = tuple(note for scores in by_scorer.values() for note in scores.notes)
        joined = Scores(status.astype(object), columns, notes)
    scoring = (params.model or DEFAULT_MODEL) if "name" in models else None
    named: dict[str, Any] = {
        option: called(getattr(params, option))
        for option in ("model", "reward")
        if getattr(params, option)
    }
    return Selection(
        recipe=NAME,
        params=replace(params, **named),
        rows=rows,
        scored=joined,
        choice=scored(joined.status),
        ranked_by=scorers()[params.scorer[0]].MAIN,
        model=models,
        notes=joined.notes,
        seconds=time.monotonic() - started,
        tokens=tokens_of(rows, None, scoring, params.trust_remote_code),
    )


def _scored(rows: Rows, name: str, params: ScoreParams) -> tuple[Scores, dict[str, str]]:
    """Return what one scorer says, and what computed it."""
    module = scorers()[name]
    own = {field.name for field in fields(module.PARAMS)} & set(taken(name))
    values = {option: getattr(params, option) for option in own}
    given = {option: value for option, value in values.items() if value is not None}
    settings = module.PARAMS(**given)
    if module.NEEDS == NOTHING:
        return module.score(rows, settings), {}
    engine = open_engine()
    reward: Any = None
    model: Any = None
    made_by: dict[str, str] = {}
    notes: list[str] = []
    ranker = params.reward or DEFAULT_RANKER
    if module.NEEDS in (REWARD, PAIRS):
        reward = engine.load(ModelRecipe(kind="reward", name=ranker))
        made_by |= {"reward": called(ranker), "reward_fingerprint": reward.fingerprint}
    if module.NEEDS == LANGUAGE_MODEL or (module.NEEDS == PAIRS and params.model):
        model = language_model(params.model, params.trust_remote_code, params.dtype)
        made_by |= computed_by(model)
        if trained := getattr(module, "TRAINED", None):
            # One that was never taught to give scores.
            if model.files.name in PACKAGED:
                notes.append(
                    f"{model.files.name} was not trained to give scores: its {name} shows how the "
                    "scorer runs and says little of the rows. The authors' model is --model "
                    f"{trained}, a large LLaMA; a directory with any model that was trained to "
                    "answer with 1 to 6 will do too"
                )
        else:
            notes += about_language(rows, model.files, name)
    if module.NEEDS == PAIRS:
        known = trained_on(ranker)
        if files := [source.name for source in rows.sources if source.sha256 in known]:
            notes.append(
                f"the ranker {called(ranker)} was trained on {', '.join(files)}, so it contradicts "
                "fewer pairs there than it would of others; --reward takes another one"
            )
    arguments = {
        REWARD: (reward, engine),
        LANGUAGE_MODEL: (model, engine),
        PAIRS: (reward, engine, model),
    }[module.NEEDS]
    scores: Scores = module.score(rows, settings, *arguments)
    return replace(scores, notes=(*notes, *scores.notes)), made_by


def lines(selection: Selection) -> pa.RecordBatchReader:
    """Return what the scores file holds: a line for each row, and no word on a choice."""
    return selection.score_lines(without=("kept", "reason"))


def manifest(selection: Selection) -> dict[str, Any]:
    """Return what made the scores."""
    entries = selection.manifest()
    del entries["threshold"], entries["ranked_by"]
    return {**entries, "counts": counts(selection), "columns": list(selection.scored.columns)}


def counts(selection: Selection) -> dict[str, Any]:
    """Return `read`, `scored` and their tokens, and `unscored` {status: rows}."""
    summary = selection.summary()
    tokens = {"scored" if k == "kept" else k: each for k, each in (summary.tokens or {}).items()}
    rows = {"read": summary.read, "scored": summary.scored, "unscored": summary.dropped}
    return {**rows, "tokens": tokens}


def spread(scores: Scores) -> dict[str, dict[str, float]]:
    """Return rows, mean, lowest, median and highest of every column of numbers that has any."""
    numbers = {}
    for name, column in scores.columns.items():
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            continue
        values = scores.values(name)
        values = values[np.isfinite(values)]
        if len(values):
            numbers[name] = {
                "rows": len(values),
                "mean": float(values.mean()),
                "lowest": float(values.min()),
                "median": float(np.median(values)),
                "highest": float(values.max()),
            }
    return numbers
