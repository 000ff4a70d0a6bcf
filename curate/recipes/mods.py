"""MoDS: good rows (quality) that cover the rest (coverage), and what is still hard (necessity).

Source: arXiv 2311.15653. Quality: a reward above a threshold. Coverage: k-centre greedy on
embeddings of the instructions; its choice are the seeds. Necessity: a model that was trained on
the seeds answers the good rows' instructions; where the reward of its answer is low the row is
necessary, and k-centre greedy chooses which of these are added to the seeds.

Deviations: thresholds can be quantiles, since rewards of different models have different scales;
the first centre is drawn with a seed; the model may be any; an answer that is empty or repeats
itself makes its row necessary, whatever a reward model says of it; the second k-centre greedy
starts from the seeds, so that what is added lies far from them, and no row comes twice; and see
`curate.selectors.k_center`.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.choices.emitting import emit
from curate.choices.selection import Selection
from curate.console import say
from curate.data.kto_verdicts import judged
from curate.data.rows import Rows
from curate.engine import open_engine
from curate.errors import UsageError
from curate.models.openai_client import is_address
from curate.models.protocols import Generator
from curate.models.recipe import ModelRecipe
from curate.models.resolve import base_of, files_of
from curate.parameters.mods import BASE, NONE, TRAINED, ModsParams, parse_bound
from curate.recipes import budgets, model_scores, mods_seeds, train_between
from curate.recipes.budgets import sample
from curate.recipes.mods_seeds import NAME, QUALITY, Floats, Places, Vectors
from curate.recipes.train_between import Place
from curate.scorers.contract import OK
from curate.scorers.necessity import EMPTY, Answers, answers, necessity
from curate.selectors.k_center import COVERED
from curate.selectors.kept_and_dropped import Choice
from curate.system.model_folder import is_adapter

NECESSITY = "necessity"
NOT_NECESSARY, NOT_AUGMENTED, NOT_FINITE = "not_necessary", "not_augmented", "answer_not_scored"
# Stanford Alpaca's epochs: one pass over a thousand rows hardly changes a model.
_EPOCHS = "num_train_epochs=3"


def mods(rows: Rows, params: ModsParams, place: Place | None = None) -> Selection:
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
        >>> mods(curate.read("huatuo.json"), ModsParams(min_quality="60%", responder="base"))
    """
    rows = judged(sample(rows, params), "MoDS", params.good_only)
    model_scores.refuse_pairs_and_texts(rows, "MoDS")
    started = time.monotonic()
    check_responder(params)
    asks = params.responder in (BASE, TRAINED) and not is_address(params.model)
    tokens = budgets.tokens_of(rows, params.tokenizer, params.model if asks else None)
    chosen, vectors = mods_seeds.choose_seeds(rows, params, tokens)
    if params.responder != NONE:
        chosen = add_necessary(chosen, vectors, params, place or Place(name=NAME))
    return replace(chosen, seconds=time.monotonic() - started)


def add_necessary(
    seeds: Selection, vectors: Vectors, params: ModsParams, place: Place
) -> Selection:
    """Return the seeds, and rows that the model answers badly and that no seed is near to.

    Every good row's instruction is asked, the seeds' own too, as in the paper.
    """
    rows, tokens, chosen = seeds.rows, seeds.tokens, seeds.choice.order
    assert tokens
    notes = about_language(rows, params)
    model, trained = _responder(seeds, params, place)
    good = Choice(np.where(seeds.choice.reason == COVERED, "", seeds.choice.reason))
    name = model_scores.called(model.name)
    say(f"{name} answers the instructions of {int(good.kept.sum()):,} good rows")
    places, engine = np.flatnonzero(good.kept), open_engine("answering")
    replies = answers(rows, places, params.max_new_tokens, model, engine)
    engine = open_engine()
    reward = engine.load(ModelRecipe(kind="reward", name=params.reward))
    values = necessity(rows, replies, reward, engine)
    rewards = np.where(replies.failed, -np.inf, values)
    known = rewards[~np.isnan(rewards)]
    bound = necessary_below(params, known) if len(known) else float("nan")
    necessary = replies.failed | (rewards < bound)
    pool = np.flatnonzero(necessary & ~seeds.choice.kept)
    wanted = budgets.wanted_of_part(params.augment, len(chosen), tokens.counts, "--augment")
    quality = seeds.scored.values(QUALITY)
    centres = mods_seeds.spread(rows, vectors, pool, wanted, params.seed, quality, chosen)
    added = centres.order
    # All others lie on a row that is kept.
    exhausted = wanted.tokens is None and len(added) < min(wanted.rows, len(pool))
    choice = _choice(good, replies, values, necessary, np.concatenate([chosen, added]), exhausted)
    chosen_by = np.full(len(rows), None, dtype=object)
    chosen_by[chosen], chosen_by[added] = "seed", "augmented"
    not_asked = replies.status == ""
    columns = {
        NECESSITY: pa.array(values),
        "necessary": pa.array(necessary, mask=not_asked),
        **mods_seeds.ranks("augment", len(rows), centres),
        "chosen_by": pa.array(chosen_by, pa.string()),
        "answer_status": pa.array(replies.status, pa.string(), mask=not_asked),
        "answer": pa.array(replies.texts, pa.large_string()),
    }
    all_necessary, by_status = int(necessary.sum()), replies.counts()
    finite = values[np.isfinite(values)]
    of_seeds = {"necessary": all_necessary, "necessary_seeds": all_necessary - len(pool)}
    stages: list[dict[str, Any]] = [
        {"stage": "answers", "rows": int((~not_asked).sum()), **by_status},
        {"stage": NECESSITY, "rows": len(finite), **of_seeds},
        {"stage": "augment", "rows": len(pool), "added": len(added)},
    ]
    others = "".join(f", {count:,} {status}" for status, count in by_status.items() if status != OK)
    notes.append(
        f"answers: {sum(by_status.values()):,} instructions were asked{others}; necessity: "
        f"{all_necessary:,} of them are answered badly (--max-necessity {params.max_necessity}), "
        f"{len(pool):,} besides the seeds; augment: {len(added):,} of these are added to the seeds"
    )
    if not len(pool) and len(finite):
        notes.append(
            "no row besides the seeds is necessary; quantiles of the answers' rewards are "
            f"{mods_seeds.quantiles(finite)}: --max-necessity 30% takes the 30 % with the lowest"
        )
    elif wanted.tokens is not None:
        notes.append(mods_seeds.about_tokens(f"--augment {params.augment}", centres, wanted))
    elif exhausted:
        notes.append("all other necessary rows have the instruction of a row that is kept")
    elif len(pool) < wanted.rows and params.augment is not None:
        notes.append(
            f"--augment {wanted.rows}: only {len(pool):,} rows are necessary, and all are added"
        )
    augment = wanted.rows if wanted.tokens is None else params.augment
    responder = model_scores.called(params.responder)
    answered_by = {"responder": name, "responder_fingerprint": model.fingerprint}
    return replace(
        seeds,
        params=replace(seeds.params, responder=responder, augment=augment),
        scored=replace(seeds.scored, columns=seeds.scored.columns | columns),
        choice=choice,
        model=seeds.model | answered_by,
        notes=(*seeds.notes, *notes),
        details={"stages": [*seeds.details["stages"], *stages], **trained},
    )


def _choice(
    good: Choice,
    replies: Answers,
    values: Floats,
    necessary: NDArray[np.bool_],
    chosen: Places,
    exhausted: bool,
) -> Choice:
    """Return the choice of seeds and added rows; what has no verdict is left out for why."""
    others = ~np.isin(np.arange(len(values)), chosen)
    for name in sorted(set(replies.status[good.kept & ~replies.given])):
        good = good.without((replies.status == name) & others, str(name))
    unscored = replies.given & (replies.status != EMPTY) & ~np.isfinite(values)
    good = good.without(unscored & others, NOT_FINITE).without(~necessary & others, NOT_NECESSARY)
    return good.without(others, COVERED if exhausted else NOT_AUGMENTED)


def necessary_below(params: ModsParams, rewards: Floats) -> float:
    """Return the reward below which an answer makes its row necessary."""
    share, number = parse_bound(params.max_necessity)
    if share is not None:
        # Not between two rewards: one of them may be -inf.
        return float(np.quantile(rewards, share, method="higher")) if share < 1 else np.inf
    assert number is not None  # ModsParams refuses what is neither
    return number


def check_responder(params: ModsParams) -> None:
    """Refuse a responder that is not to be had, before hours are spent on scores."""
    params.refuse_unused()
    if params.responder == TRAINED:
        if is_address(params.model):
            raise UsageError(
                f"--model {params.model} is a server, and a model there cannot be trained; ask it "
                "as it is: --responder base"
            )
        without = (
            f"Without it: --responder base asks {params.model} as it is, --seeds-only ends with "
            "quality and coverage"
        )
        train_between.check("the model that MoDS trains on the seeds", params.model, without)
        if params.train_set:
            train_between.check_settings(params.model, params.train_set)
    elif params.responder != NONE:
        _generator(_answering(params))


def _answering(params: ModsParams) -> str:
    """Return the name of the model that answers, or is trained to."""
    return params.model if params.responder in (BASE, TRAINED) else params.responder


def _generator(name: str) -> Generator:
    model: Generator = open_engine("answering").load(ModelRecipe(kind="generator", name=name))
    return model


def seeds_name(name: str) -> str:
    """Return the name of the data set that the model is trained on."""
    return f"{name}_seeds"


def _responder(
    seeds: Selection, params: ModsParams, place: Place
) -> tuple[Generator, dict[str, Any]]:
    """Return the model that answers, and what a manifest says of its training."""
    if params.responder != TRAINED:
        return _generator(_answering(params)), {}
    name = seeds_name(place.name)
    emit(seeds, place.output, name, place.overwrite)
    say(f"the seeds are the data set '{name}' in {place.output}")
    settings = {text.partition("=")[0].strip(): text for text in (_EPOCHS, *params.train_set)}
    trained = train_between.train_at(place, name, params.model, [*settings.values()])
    return _generator(str(trained.folder)), {"initial_model": trained.as_dict()}


def about_language(rows: Rows, params: ModsParams) -> list[str]:
    """Return a note if the model that answers does not read what most rows are written in."""
    name = _answering(params)
    if is_address(name):
        return []
    files = files_of(name)
    return model_scores.about_language(
        rows, base_of(files) if is_adapter(files.folder) else files, NECESSITY
    )
