"""Cherry_LLM and Superfiltering: keep the rows whose instruction helps least, below 1."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.data.kto_verdicts import judged
from curate.data.rows import Rows
from curate.emission.emit import default_name
from curate.engine import open_engine
from curate.models.resolve import ModelFiles
from curate.parameters.ifd import IFDParams, parse_experience
from curate.recipes.brief_experience import ExperienceParams, gain_experience
from curate.recipes.model_scores import (
    about_language,
    called,
    language_model,
    refuse_pairs_and_texts,
)
from curate.recipes.train_between import Place
from curate.scorers import ifd as scorer
from curate.scorers.contract import Scores
from curate.scorers.likelihood import longest_scored
from curate.selection import Selection
from curate.selectors import threshold, top_k
from curate.selectors.budget import DEFAULT, budget
from curate.selectors.choice import Candidates, Choice, scored
from curate.system.cache import cache_dir

NAME = "ifd"


def ifd(rows: Rows, params: IFDParams, place: Place | None = None) -> Selection:
    """Score rows by IFD and choose the highest below 1.

    IFD = mean NLL(response | prompt) / mean NLL(response), nats a token over the same response
    tokens. Higher = the instruction helps less; at 1 and above it does not help, and the row is
    left out. Source: arXiv 2308.12032, eq. 4, and arXiv 2402.00530.

    Args:
        rows: Instruction data; not preference pairs.
        params: Model, form, budget.
        place: Where the rows and the model of the brief experience go.

    Raises:
        UsageError: A parameter that does not fit, or rows of another kind.
        ModelError: The model is not to be had.
        OutputError: The training of the brief experience failed.

    Example:
        >>> cherry = ifd(curate.read("huatuo.json"), IFDParams(keep="10%"))
    """
    started = time.monotonic()
    wanted = budget(params.keep, len(rows))
    rows = judged(rows, "IFD", params.good_only)
    refuse_pairs_and_texts(rows, "IFD")
    gained = None
    if params.brief_experience:
        gained = gain_experience(rows, experience_of(params), place or _place(rows))
    scorer_model = str(gained.trained.folder) if gained else params.model
    found = scored_by(rows, replace(params, model=scorer_model))
    scores, model = found.scores, found.model
    column = f"ifd_{params.form}"
    choice = choose(scores.status, scores.values(column), rows.ids, wanted, params.keep_above_one)
    notes = (*(gained.notes if gained else ()), *found.notes, *_about_rows(rows, choice, wanted))
    seconds = time.monotonic() - started
    # The directory of a model is this machine's business; its fingerprint says what it is.
    name = called(params.model) if gained else found.files.name
    used = replace(params, model=name, keep=params.keep or DEFAULT, max_length=found.max_length)
    details = gained.details if gained else {}
    return Selection(NAME, used, rows, scores, choice, column, model, notes, seconds, details)


def experience_of(params: IFDParams) -> ExperienceParams:
    """Return what the brief experience is asked for."""
    clusters, per_cluster = parse_experience(params.experience)
    return ExperienceParams(
        model=params.model,
        dtype=params.dtype,
        max_length=params.max_length or scorer.DEFAULT_LENGTH,
        clusters=clusters,
        per_cluster=per_cluster,
        seed=params.seed,
        settings=params.train_set,
        trust_remote_code=params.trust_remote_code,
    )


def _place(rows: Rows) -> Place:
    return Place(name=default_name(Path(rows.sources[0].name), NAME))


@dataclass(frozen=True)
class Found:
    """The scores of rows, and what gave them.

    Attributes:
        scores: Status and columns, a line a row.
        model: Name, fingerprint and dtype.
        files: Of the model.
        notes: What a user should be told, a sentence each.
        max_length: Tokens of a row that were read.
    """

    scores: Scores
    model: dict[str, str]
    files: ModelFiles
    notes: tuple[str, ...]
    max_length: int


def scored_by(rows: Rows, params: IFDParams) -> Found:
    """Score rows by IFD and choose nothing yet."""
    refuse_pairs_and_texts(rows, "IFD")
    engine = open_engine()
    model = language_model(engine, params.model, params.dtype, params.trust_remote_code)
    scoring = scorer.IFDParams(template=params.template, max_length=params.max_length)
    scores = scorer.score(rows, scoring, model, engine, cache_dir() / "scratch")
    made = {"name": model.name, "fingerprint": model.fingerprint, "dtype": model.dtype}
    longest = longest_scored(
        params.max_length, scorer.DEFAULT_LENGTH, model.name, model.max_positions
    )
    notes = (*about_language(rows, model.files, "IFD"), *scores.notes)
    return Found(scores, made, model.files, notes, longest)


def choose(
    status: NDArray[np.object_],
    values: NDArray[np.float64],
    ids: NDArray[np.object_],
    wanted: int,
    keep_above_one: bool,
) -> Choice:
    """Return the rows with the highest IFD below 1.

    Args:
        status: (n,) of the scorer.
        values: (n,) IFD in one of its forms.
        ids: (n,) of the rows.
        wanted: Rows to keep.
        keep_above_one: Do not leave out rows at or above 1.
    """
    choice = scored(status)
    if not keep_above_one:
        below = threshold.ThresholdParams(bound=1.0, keep="below", reason="ifd_ge_1")
        choice = threshold.select(Candidates(choice, ids, values=values), below)
    return top_k.select(Candidates(choice, ids, values=values), top_k.TopKParams(k=wanted))


def _about_rows(rows: Rows, choice: Choice, wanted: int) -> list[str]:
    notes = []
    repeats = int((rows.repeats > 0).sum())
    if repeats:
        kept = int((choice.kept & (rows.repeats > 0)).sum())
        notes.append(
            f"{repeats:,} of the rows repeat an earlier one word for word, {kept:,} of them among "
            "the kept; their ids end in -2, -3 …"
        )
    kept = int(choice.kept.sum())
    if kept < wanted:
        notes.append(f"{wanted:,} rows were asked for and only {kept:,} can be chosen")
    return notes
