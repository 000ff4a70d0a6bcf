"""MoDS: good rows (quality) that cover the rest (coverage), and what is still hard (necessity).

Source: arXiv 2311.15653. Quality: a reward above a threshold. Coverage: k-centre greedy on
embeddings of the instructions; its choice are the seeds. Necessity: a model that was trained on
the seeds answers the good rows' instructions; where the reward of its answer is low the row is
necessary, and k-centre greedy chooses which of these are added to the seeds.

Deviations: thresholds can be quantiles, since rewards of different models have different scales;
the first centre is drawn with a seed; the model may be any; and see `curate.selectors.k_center`,
`curate.recipes.mods_necessity` and `curate.recipes.mods_model`.
"""

from __future__ import annotations

import time
from dataclasses import replace

from curate.data.rows import Rows
from curate.data.verdicts import judged
from curate.recipes.initial_model import Place
from curate.recipes.mods_model import about_language, check_responder, responder
from curate.recipes.mods_necessity import add_necessary
from curate.recipes.mods_params import NONE, OPTIONS, Params
from curate.recipes.mods_seeds import QUALITY, Seeds, find_seeds
from curate.recipes.scoring import called, refuse_pairs_and_texts
from curate.scorers.contract import Scores
from curate.selection import Selection

__all__ = ["NAME", "OPTIONS", "Params", "Place", "mods"]

NAME = "mods"


def mods(rows: Rows, params: Params, place: Place | None = None) -> Selection:
    """Choose seeds and, with a responder, rows that a model answers badly.

    The columns of the scores file: `quality` (the reward), `seed_rank` (1 was chosen first) and
    `seed_distance` (to the nearest seed before it, of embeddings of the instruction); with a
    responder `necessity` (the reward of the model's own answer), `necessary`, `augment_rank`,
    `augment_distance`, `chosen_by` (`seed`, `augmented`), `answer_status` and `answer`.

    Args:
        rows: Instruction data.
        params: Models, thresholds, numbers.
        place: Where a model that is trained in between goes, and its data.

    Raises:
        UsageError: A parameter that does not fit, rows of another kind, or nothing to train with.
        DataError: No row has a score, or none is good enough.
        ModelError: A model is not to be had.
        OutputError: The training in between failed.

    Example:
        >>> mods(curate.read("huatuo.json"), Params(min_quality="60%", responder="base"))
    """
    rows = judged(rows, "MoDS", params.good_only)
    refuse_pairs_and_texts(rows, "MoDS")
    started = time.monotonic()
    check_responder(params)
    seeds = find_seeds(rows, params)
    alone = _seeds_alone(rows, params, seeds, started)
    if params.responder == NONE:
        return alone
    notes = about_language(rows, params)
    model, trained = responder(alone, params, place or Place(name=NAME))
    added = add_necessary(rows, seeds, params, model)
    how = {"responder": called(model.name), "responder_fingerprint": model.fingerprint}
    return replace(
        alone,
        params=replace(alone.params, responder=_named(params), augment=_wanted(params, seeds)),
        scored=Scores(seeds.status, seeds.columns() | added.columns(seeds)),
        choice=added.choice,
        model=alone.model | how,
        notes=(*alone.notes, *notes, *added.notes),
        seconds=time.monotonic() - started,
        details={"stages": [*seeds.stages(), *added.stages(seeds)], **trained},
    )


def _seeds_alone(rows: Rows, params: Params, seeds: Seeds, started: float) -> Selection:
    used = replace(
        params,
        reward=called(params.reward),
        encoder=called(params.encoder),
        model=called(params.model),
        responder=NONE,
        seeds=seeds.wanted,
    )
    return Selection(
        *(NAME, used, rows, Scores(seeds.status, seeds.columns()), seeds.choice(), QUALITY),
        model=seeds.model,
        notes=seeds.notes,
        seconds=time.monotonic() - started,
        details={"stages": seeds.stages()},
    )


def _named(params: Params) -> str:
    return called(params.responder)


def _wanted(params: Params, seeds: Seeds) -> int:
    return len(seeds.chosen) if params.augment is None else params.augment
