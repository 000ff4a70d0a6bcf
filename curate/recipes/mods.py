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
from curate.errors import UsageError
from curate.models.openai_server import is_address
from curate.models.protocols import Generator
from curate.models.recipe import ModelRecipe
from curate.models.resolve import base_of, files_of, fingerprint_of
from curate.parameters.mods import BASE, NONE, TRAINED, ModsParams, parse_bound
from curate.recipes import model_scores, train_between
from curate.recipes.model_scores import called, refuse_pairs_and_texts
from curate.recipes.mods_seeds import (
    QUALITY,
    Seeds,
    find_seeds,
    quantiles,
    ranks,
)
from curate.recipes.train_between import Place
from curate.scorers.contract import OK, Scores
from curate.scorers.necessity import EMPTY, AnswerParams, Answers, answers, necessity
from curate.selection import Selection, emit
from curate.selectors.choice import Choice
from curate.selectors.k_center import COVERED, Centres, k_center
from curate.system.model_folder import is_adapter

NAME = "mods"
NECESSITY = "necessity"
NOT_NECESSARY, NOT_AUGMENTED = "not_necessary", "not_augmented"
NOT_FINITE = "answer_not_scored"
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
        params=replace(
            alone.params, responder=called(params.responder), augment=_augment(params, seeds)
        ),
        scored=Scores(seeds.status, seeds.columns() | added.columns(seeds)),
        choice=added.choice,
        model=alone.model | how,
        notes=(*alone.notes, *notes, *added.notes),
        seconds=time.monotonic() - started,
        details={"stages": [*seeds.stages(), *added.stages(seeds)], **trained},
    )


def _seeds_alone(rows: Rows, params: ModsParams, seeds: Seeds, started: float) -> Selection:
    used = replace(
        params,
        reward=called(params.reward),
        encoder=called(params.encoder),
        model=called(params.model),
        responder=NONE,
        seeds=seeds.wanted,
    )
    return Selection(
        recipe=NAME,
        params=used,
        rows=rows,
        scored=Scores(seeds.status, seeds.columns()),
        choice=seeds.choice(),
        ranked_by=QUALITY,
        model=seeds.model,
        notes=seeds.notes,
        seconds=time.monotonic() - started,
        details={"stages": seeds.stages()},
    )


def _augment(params: ModsParams, seeds: Seeds) -> int:
    return len(seeds.chosen) if params.augment is None else params.augment


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


def responder(
    seeds: Selection, params: ModsParams, place: Place
) -> tuple[Generator, dict[str, Any]]:
    """Return the model that answers, and what a manifest says of its training."""
    if params.responder != TRAINED:
        return _generator(_answering(params)), {}
    name = seeds_name(place)
    emit(seeds, place.output, name, place.overwrite)
    say(f"the seeds are the data set '{name}' in {place.output}")
    settings = {each.partition("=")[0].strip(): each for each in (_EPOCHS, *params.train_set)}
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
    name = params.model if params.responder in (BASE, TRAINED) else params.responder
    if is_address(name):
        return []
    files = files_of(name)
    if is_adapter(files.folder):
        files = base_of(files)
    return model_scores.about_language(rows, files, "necessity")


def _answering(params: ModsParams) -> str:
    return params.model if params.responder == BASE else params.responder


@dataclass(frozen=True)
class Added:
    """What the last stages found; everything a line for each row.

    Attributes:
        answers: The model's.
        necessity: (n,) rewards of the answers; NaN where there is none.
        necessary: (n,) whether a row is answered badly.
        chosen: (m,) positions of the rows that are added, the first chosen first.
        centres: What k-centre greedy says of them.
        choice: The choice of seeds and added rows.
        notes: What a user should be told, a sentence each.
    """

    answers: Answers
    necessity: NDArray[np.float64]
    necessary: NDArray[np.bool_]
    chosen: NDArray[np.int64]
    centres: Centres
    choice: Choice
    notes: tuple[str, ...] = ()

    def columns(self, seeds: Seeds) -> dict[str, pa.Array]:
        """Return the columns that these stages add to a scores file."""
        size = len(self.necessity)
        rank, distance = ranks(size, self.chosen, self.centres)
        by = np.full(size, None, dtype=object)
        by[seeds.chosen], by[self.chosen] = "seed", "augmented"
        status = self.answers.status
        return {
            NECESSITY: pa.array(self.necessity),
            "necessary": pa.array(self.necessary, mask=status == ""),
            "augment_rank": rank,
            "augment_distance": distance,
            "chosen_by": pa.array(by, pa.string()),
            "answer_status": pa.array(status, pa.string(), mask=status == ""),
            "answer": pa.array(self.answers.texts, pa.large_string()),
        }

    def stages(self, seeds: Seeds) -> list[dict[str, Any]]:
        """Return the counts of these stages."""
        asked = int((self.answers.status != "").sum())
        others = self.necessary.copy()
        others[seeds.chosen] = False
        return [
            {"stage": "answers", "rows": asked, **self.answers.counts()},
            {
                "stage": NECESSITY,
                "rows": int(np.isfinite(self.necessity).sum()),
                "necessary": int(self.necessary.sum()),
                "necessary_seeds": int(self.necessary.sum() - others.sum()),
            },
            {"stage": "augment", "rows": int(others.sum()), "added": len(self.chosen)},
        ]


def add_necessary(rows: Rows, seeds: Seeds, params: ModsParams, model: Generator) -> Added:
    """Return the seeds, and rows that the model answers badly and that no seed is near to.

    Every good row's instruction is asked, the seeds' own too, as in the paper.
    """
    good = np.flatnonzero(seeds.good.kept)
    say(f"{called(model.name)} answers the instructions of {len(good):,} good rows")
    replies = answers(
        rows, good, AnswerParams(params.max_new_tokens), model, open_engine("answering")
    )
    engine = open_engine()
    reward = engine.load(ModelRecipe(kind="reward", name=params.reward))
    values = necessity(rows, replies, reward, engine)
    rewards = np.where(replies.failed, -np.inf, values)
    known = rewards[~np.isnan(rewards)]
    bound = necessary_below(params, known) if len(known) else float("nan")
    necessary = replies.failed | (rewards < bound)
    is_seed = np.isin(np.arange(len(rows)), seeds.chosen)
    pool = np.flatnonzero(necessary & ~is_seed)
    wanted = _augment(params, seeds)
    points = np.array(seeds.vectors[pool], dtype=np.float32)
    start = np.array(seeds.vectors[seeds.chosen], dtype=np.float32)
    centres = k_center(points, rows.ids[pool], wanted, params.seed, start, seeds.quality[pool])
    chosen = pool[centres.order]
    exhausted = len(chosen) < min(wanted, len(pool))  # all others lie on a row that is kept
    kept = is_seed | np.isin(np.arange(len(rows)), chosen)
    choice = seeds.good
    # Rows without a verdict are left out under the reason why there is none.
    for name in sorted(set(replies.status[seeds.good.kept & ~replies.given])):
        choice = choice.without((replies.status == name) & ~kept, str(name))
    unscored = replies.given & (replies.status != EMPTY) & ~np.isfinite(values)
    choice = choice.without(unscored & ~kept, NOT_FINITE)
    choice = choice.without(~necessary & ~kept, NOT_NECESSARY)
    choice = choice.without(~kept, COVERED if exhausted else NOT_AUGMENTED)
    added = Added(replies, values, necessary, chosen, centres, choice)
    return replace(added, notes=_notes(params, added, len(pool), wanted))


def _notes(params: ModsParams, added: Added, pool: int, wanted: int) -> tuple[str, ...]:
    counts, chosen = added.answers.counts(), len(added.chosen)
    others = "".join(f", {rows:,} {name}" for name, rows in counts.items() if name != OK)
    rewards = added.necessity[np.isfinite(added.necessity)]
    summary = (
        f"answers: {sum(counts.values()):,} instructions were asked{others}; necessity: "
        f"{int(added.necessary.sum()):,} of them are answered badly (--max-necessity "
        f"{params.max_necessity}), {pool:,} besides the seeds; augment: {chosen:,} of these are "
        "added to the seeds"
    )
    hint: tuple[str, ...] = ()
    if not pool and len(rewards):
        hint = (
            "no row besides the seeds is necessary; quantiles of the answers' rewards are "
            f"{quantiles(rewards)}: --max-necessity 30% takes the 30 % with the lowest",
        )
    elif chosen < min(wanted, pool):
        hint = ("all other necessary rows have the instruction of a row that is kept",)
    elif pool < wanted and params.augment is not None:
        hint = (f"--augment {wanted}: only {pool:,} rows are necessary, and all are added",)
    return summary, *hint


def necessary_below(params: ModsParams, rewards: NDArray[np.float64]) -> float:
    """Return the reward below which an answer makes its row necessary."""
    share, number = parse_bound(params.max_necessity)
    if share is not None:
        # Not between two rewards: one of them may be -inf.
        return float(np.quantile(rewards, share, method="higher")) if share < 1 else np.inf
    assert number is not None  # ModsParams refuses what is neither
    return number
