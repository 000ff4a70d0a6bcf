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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.console import say
from curate.data.kto_verdicts import judged
from curate.data.rows import Rows
from curate.engine import open_engine
from curate.errors import DataError, UsageError
from curate.models.openai_server import is_address
from curate.models.protocols import Generator
from curate.models.recipe import ModelRecipe
from curate.models.resolve import base_of, files_of, fingerprint_of
from curate.parameters.budget import parse_budget
from curate.parameters.mods import BASE, NONE, TRAINED, ModsParams, parse_bound
from curate.recipes import budgets, model_scores, train_between
from curate.recipes.model_scores import called, embedded, refuse_pairs_and_texts, rewarded
from curate.recipes.train_between import Place
from curate.scorers.contract import OK, Scores
from curate.scorers.necessity import EMPTY, AnswerParams, answers, necessity
from curate.selection import Selection, emit
from curate.selectors import threshold
from curate.selectors.filled import Wanted, fitting
from curate.selectors.k_center import COVERED, Centres, k_center
from curate.selectors.kept_and_dropped import Candidates, Choice, scored
from curate.system.model_folder import is_adapter

NAME = "mods"
QUALITY, NECESSITY = "quality", "necessity"
LOW, NOT_NECESSARY, NOT_AUGMENTED = "low_quality", "not_necessary", "not_augmented"
NOT_FINITE = "answer_not_scored"
MOST = 1000
_SHOWN = (10, 25, 50, 75, 90)
# Stanford Alpaca's epochs: one pass over a thousand rows hardly changes a model.
_EPOCHS = "num_train_epochs=3"

Floats = NDArray[np.float64]


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
    rows = judged(rows, "MoDS", params.good_only)
    refuse_pairs_and_texts(rows, "MoDS")
    started = time.monotonic()
    check_responder(params)
    asks = params.responder in (BASE, TRAINED) and not is_address(params.model)
    scoring = params.model if asks else None
    tokens = budgets.tokens_of(rows, params.tokenizer, scoring)
    seeds = _find_seeds(rows, params, tokens.counts)
    used = replace(
        params,
        reward=called(params.reward),
        encoder=called(params.encoder),
        model=called(params.model),
        responder=NONE,
        seeds=seeds.wanted,
        tokenizer=tokens.by,
    )
    alone = Selection(
        recipe=NAME,
        params=used,
        rows=rows,
        scored=Scores(seeds.status, seeds.stage.columns),
        choice=seeds.stage.choice,
        ranked_by=QUALITY,
        model=seeds.model,
        notes=seeds.stage.notes,
        seconds=time.monotonic() - started,
        details={"stages": seeds.stage.counts},
        tokens=tokens,
    )
    if params.responder == NONE:
        return alone
    notes = about_language(rows, params)
    model, trained = _responder(alone, params, place or Place(name=NAME))
    wanted = Wanted(len(seeds.chosen), None, tokens.counts)
    if params.augment is not None:
        wanted = _wanted(params.augment, tokens.counts, "--augment")
    added = _add_necessary(rows, seeds, params, wanted, model)
    how = {"responder": called(model.name), "responder_fingerprint": model.fingerprint}
    return replace(
        alone,
        params=replace(
            used,
            responder=called(params.responder),
            augment=wanted.rows if wanted.tokens is None else params.augment,
        ),
        scored=Scores(seeds.status, seeds.stage.columns | added.columns),
        choice=added.choice,
        model=alone.model | how,
        notes=(*alone.notes, *notes, *added.notes),
        seconds=time.monotonic() - started,
        details={"stages": [*seeds.stage.counts, *added.counts], **trained},
    )


@dataclass(frozen=True)
class _Stage:
    """What two stages add to a selection: their choice, columns, counts and notes."""

    choice: Choice
    columns: dict[str, pa.Array]
    counts: list[dict[str, Any]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Seeds:
    """The first two stages: `chosen` (s,) are the seeds' positions, `good` what they cover."""

    status: NDArray[np.object_]
    quality: Floats
    vectors: NDArray[np.float32]
    good: Choice
    chosen: NDArray[np.int64]
    wanted: str | int
    model: dict[str, str]
    stage: _Stage


# Quality and coverage


def _find_seeds(rows: Rows, params: ModsParams, counts: NDArray[np.int64]) -> _Seeds:
    """Return rows with a high reward that leave no other such row far from them."""
    rewards, model = rewarded(rows, params.reward, None, QUALITY)
    vectors, encoder = embedded(rows, params.encoder, "instruction")
    status = np.where(rewards.status == OK, vectors.status, rewards.status).astype(object)
    quality = np.where(status == OK, rewards.values(QUALITY), np.nan)
    good = _good(params, scored(status), quality, rows.ids)
    places = np.flatnonzero(good.kept)
    passed, low = len(places), good.counts().get(LOW, 0)
    budget = Wanted(min(MOST, max(1, passed // 10)), None, counts)
    if params.seeds is not None:
        budget = _wanted(params.seeds, counts, "--seeds")
    wanted = budget.rows
    if budget.tokens is None and wanted > passed:
        raise UsageError(
            f"--seeds {wanted}: only {passed:,} rows are good enough; give fewer, or a lower "
            f"--min-quality than {params.min_quality}"
        )
    points = np.array(vectors.vectors[places], dtype=np.float32)

    def centres_of(k: int) -> Centres:
        # Answers to one question lie at distance zero: the best of them covers the others.
        return k_center(points, rows.ids[places], k, params.seed, values=quality[places])

    centres = centres_of(fitting(lambda k: places[centres_of(k).order], budget))
    chosen = places[centres.order]
    notes = [
        f"quality: {passed:,} of {passed + low:,} rows are good enough (--min-quality "
        f"{params.min_quality}); coverage: {len(chosen):,} seeds, and no good row is further than "
        f"{centres.radius:.3f} from one"
    ]
    if params.seeds is None and wanted < MOST:
        notes.append(
            f"{wanted:,} seeds are taken, 10 % of the good rows; --seeds says how many, "
            f"{MOST:,} is usual for large sets"
        )
    if budget.tokens is not None:
        notes.append(_about_tokens("--seeds", params.seeds, chosen, budget))
    elif len(chosen) < wanted:
        notes.append(
            f"{wanted:,} seeds were sought and there are only {len(chosen):,} different "
            "instructions"
        )
    stage = _Stage(
        choice=good.only(chosen, COVERED),
        columns={QUALITY: pa.array(quality), **_ranks("seed", len(rows), chosen, centres)},
        counts=[
            {"stage": "quality", "rows": passed + low, "good": passed, LOW: low},
            {"stage": "coverage", "rows": passed, "seeds": len(chosen)},
        ],
        notes=(*rewards.notes, *vectors.notes, *notes),
    )
    return _Seeds(
        status=status,
        quality=quality,
        vectors=vectors.vectors,
        good=good,
        chosen=chosen,
        wanted=wanted if budget.tokens is None else str(params.seeds),
        model=model | encoder,
        stage=stage,
    )


def _wanted(typed: str | int, counts: NDArray[np.int64], name: str) -> Wanted:
    """Return a budget; a number of rows that is more than there are is left to the caller."""
    budget = None if str(typed) == "0" else parse_budget(typed, name)
    if budget is None or (isinstance(budget.amount, int) and not budget.in_tokens):
        return Wanted(int(typed), None, counts)
    return budgets.wanted_of(typed, counts, name)


def _about_tokens(
    name: str, typed: str | int | None, chosen: NDArray[np.int64], wanted: Wanted
) -> str:
    used, asked = int(wanted.row_tokens[chosen].sum()), wanted.tokens or 0
    return f"{name} {typed}: {used:,} of {asked:,} tokens of responses, {asked - used:,} are left"


def _good(params: ModsParams, choice: Choice, values: Floats, ids: NDArray[np.object_]) -> Choice:
    """Return the choice of the rows with a reward from the bound on."""
    rewards = values[choice.kept]
    if not len(rewards):
        counts = ", ".join(f"{rows:,} {reason}" for reason, rows in choice.counts().items())
        raise DataError(f"no row has a reward: {counts}. Give rows with a prompt and a response")
    bound = threshold.ThresholdParams(
        bound=lowest_good(params.min_quality, rewards), keep="from", reason=LOW
    )
    good = threshold.select(Candidates(choice, ids, values=values), bound)
    if not good.kept.any():
        raise DataError(
            f"--min-quality {params.min_quality}: none of {len(rewards):,} rows has a higher "
            f"reward. Their quantiles are {_quantiles(rewards)}; give a lower number, or "
            "--min-quality 50% for the better half"
        )
    return good


def lowest_good(min_quality: str | float, rewards: Floats) -> float:
    """Return the lowest of the rewards (m,) that is good enough."""
    share, number = parse_bound(min_quality)
    if share is not None:
        return float(np.quantile(rewards, share))
    assert number is not None  # ModsParams refuses what is neither
    return float(np.nextafter(number, np.inf))


def _quantiles(values: Floats) -> str:
    numbers = np.quantile(values, [percent / 100 for percent in _SHOWN])
    return ", ".join(f"{at}% {number:.3g}" for at, number in zip(_SHOWN, numbers, strict=True))


def _ranks(
    name: str, size: int, chosen: NDArray[np.int64], centres: Centres
) -> dict[str, pa.Array]:
    """Return each chosen row's rank (1 was first), and how far it was from those before it."""
    order = np.zeros(size, dtype=np.int64)
    order[chosen] = np.arange(1, len(chosen) + 1)
    distance = np.full(size, np.nan)
    distance[chosen] = np.where(np.isfinite(centres.distances), centres.distances, np.nan)
    rank = pa.array(order, mask=order == 0)
    return {f"{name}_rank": rank, f"{name}_distance": pa.array(distance)}


# The model that answers


def check_responder(params: ModsParams) -> None:
    """Refuse a responder that is not to be had, before hours are spent on scores."""
    if params.responder == NONE:
        return
    if params.responder != TRAINED:
        _generator(_answering(params))
        return
    if is_address(params.model):
        raise UsageError(
            f"--model {params.model} is a server, and a model there cannot be trained; ask it "
            "as it is: --responder base"
        )
    try:
        train_between.check_trainer()
    except UsageError as error:
        raise UsageError(
            f"the model that MoDS trains on the seeds: {error}. Without it: --responder base asks "
            f"{params.model} as it is, --seeds-only ends with quality and coverage"
        ) from error
    files_of(params.model)
    if params.train_set:
        train_between.check_settings(params.model, params.train_set)


def _generator(name: str) -> Generator:
    model: Generator = open_engine("answering").load(ModelRecipe(kind="generator", name=name))
    return model


def seeds_name(place: Place) -> str:
    """Return the name of the data set that the model is trained on."""
    return f"{place.name}_seeds"


def _responder(
    seeds: Selection, params: ModsParams, place: Place
) -> tuple[Generator, dict[str, Any]]:
    """Return the model that answers, and what a manifest says of its training."""
    if params.responder != TRAINED:
        return _generator(_answering(params)), {}
    name = seeds_name(place)
    emit(seeds, place.output, name, place.overwrite)
    say(f"the seeds are the data set '{name}' in {place.output}")
    settings = {text.partition("=")[0].strip(): text for text in (_EPOCHS, *params.train_set)}
    request = train_between.Request(
        dataset=name,
        dataset_dir=place.output,
        model=params.model,
        model_fingerprint=fingerprint_of(files_of(params.model)),
        settings=tuple(settings.values()),
        saves=place.saves,
    )
    trained = train_between.train_on(request)
    return _generator(str(trained.folder)), {"initial_model": trained.as_dict()}


def about_language(rows: Rows, params: ModsParams) -> list[str]:
    """Return a note if the model that answers does not read what most rows are written in."""
    name = params.model if params.responder == TRAINED else _answering(params)
    if is_address(name):
        return []
    files = files_of(name)
    if is_adapter(files.folder):
        files = base_of(files)
    return model_scores.about_language(rows, files, NECESSITY)


def _answering(params: ModsParams) -> str:
    return params.model if params.responder == BASE else params.responder


# Necessity


def _add_necessary(
    rows: Rows, seeds: _Seeds, params: ModsParams, wanted: Wanted, model: Generator
) -> _Stage:
    """Return the seeds, and rows that the model answers badly and that no seed is near to.

    Every good row's instruction is asked, the seeds' own too, as in the paper.
    """
    good = np.flatnonzero(seeds.good.kept)
    say(f"{called(model.name)} answers the instructions of {len(good):,} good rows")
    asking = AnswerParams(params.max_new_tokens)
    replies = answers(rows, good, asking, model, open_engine("answering"))
    engine = open_engine()
    reward = engine.load(ModelRecipe(kind="reward", name=params.reward))
    values = necessity(rows, replies, reward, engine)
    rewards = np.where(replies.failed, -np.inf, values)
    known = rewards[~np.isnan(rewards)]
    bound = necessary_below(params, known) if len(known) else float("nan")
    necessary = replies.failed | (rewards < bound)
    is_seed = np.isin(np.arange(len(rows)), seeds.chosen)
    pool = np.flatnonzero(necessary & ~is_seed)
    points = np.array(seeds.vectors[pool], dtype=np.float32)
    start = np.array(seeds.vectors[seeds.chosen], dtype=np.float32)

    def centres_of(k: int) -> Centres:
        return k_center(points, rows.ids[pool], k, params.seed, start, seeds.quality[pool])

    size = fitting(lambda k: pool[centres_of(k).order], wanted)
    centres = centres_of(size)
    chosen = pool[centres.order]
    exhausted = len(chosen) < min(size, len(pool))  # all others lie on a row that is kept
    kept = is_seed | np.isin(np.arange(len(rows)), chosen)
    choice = seeds.good
    # Rows without a verdict are left out under the reason why there is none.
    for name in sorted(set(replies.status[seeds.good.kept & ~replies.given])):
        choice = choice.without((replies.status == name) & ~kept, str(name))
    unscored = replies.given & (replies.status != EMPTY) & ~np.isfinite(values)
    choice = choice.without(unscored & ~kept, NOT_FINITE)
    choice = choice.without(~necessary & ~kept, NOT_NECESSARY)
    choice = choice.without(~kept, COVERED if exhausted else NOT_AUGMENTED)
    chosen_by = np.full(len(rows), None, dtype=object)
    chosen_by[seeds.chosen], chosen_by[chosen] = "seed", "augmented"
    not_asked = replies.status == ""
    columns = {
        NECESSITY: pa.array(values),
        "necessary": pa.array(necessary, mask=not_asked),
        **_ranks("augment", len(rows), chosen, centres),
        "chosen_by": pa.array(chosen_by, pa.string()),
        "answer_status": pa.array(replies.status, pa.string(), mask=not_asked),
        "answer": pa.array(replies.texts, pa.large_string()),
    }
    all_necessary, by_status = int(necessary.sum()), replies.counts()
    counts: list[dict[str, Any]] = [
        {"stage": "answers", "rows": int((~not_asked).sum()), **by_status},
        {
            "stage": NECESSITY,
            "rows": int(np.isfinite(values).sum()),
            "necessary": all_necessary,
            "necessary_seeds": all_necessary - len(pool),
        },
        {"stage": "augment", "rows": len(pool), "added": len(chosen)},
    ]
    others = "".join(f", {count:,} {name}" for name, count in by_status.items() if name != OK)
    notes = [
        f"answers: {sum(by_status.values()):,} instructions were asked{others}; necessity: "
        f"{all_necessary:,} of them are answered badly (--max-necessity {params.max_necessity}), "
        f"{len(pool):,} besides the seeds; augment: {len(chosen):,} of these are added to the seeds"
    ]
    finite = values[np.isfinite(values)]
    if not len(pool) and len(finite):
        notes.append(
            "no row besides the seeds is necessary; quantiles of the answers' rewards are "
            f"{_quantiles(finite)}: --max-necessity 30% takes the 30 % with the lowest"
        )
    elif wanted.tokens is not None:
        notes.append(_about_tokens("--augment", params.augment, chosen, wanted))
    elif exhausted:
        notes.append("all other necessary rows have the instruction of a row that is kept")
    elif len(pool) < wanted.rows and params.augment is not None:
        notes.append(
            f"--augment {wanted.rows}: only {len(pool):,} rows are necessary, and all are added"
        )
    return _Stage(choice, columns, counts, tuple(notes))


def necessary_below(params: ModsParams, rewards: Floats) -> float:
    """Return the reward below which an answer makes its row necessary."""
    share, number = parse_bound(params.max_necessity)
    if share is not None:
        # Not between two rewards: one of them may be -inf.
        return float(np.quantile(rewards, share, method="higher")) if share < 1 else np.inf
    assert number is not None  # ModsParams refuses what is neither
    return number
