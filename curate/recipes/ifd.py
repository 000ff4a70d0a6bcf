"""Cherry_LLM and Superfiltering: keep the rows whose instruction helps least, below 1."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Rows
from curate.data.verdicts import judged
from curate.emission.emit import default_name
from curate.engine import open_engine
from curate.errors import UsageError, did_you_mean
from curate.models.resolve import ModelFiles
from curate.recipes.brief_experience import Params as ExperienceParams
from curate.recipes.brief_experience import gain_experience, parse_experience
from curate.recipes.initial_model import Place
from curate.recipes.scoring import about_language, called, language_model, refuse_pairs_and_texts
from curate.scorers import ifd as scorer
from curate.scorers.contract import Scores
from curate.scorers.likelihood import longest_scored
from curate.selection import Selection
from curate.selectors import threshold, top_k
from curate.selectors.budget import DEFAULT, budget, parse_keep
from curate.selectors.choice import Candidates, Choice, scored
from curate.system.cache import cache_dir

NAME = "ifd"
FORMS = ("loss", "ppl")


@dataclass(frozen=True)
class Params:
    """How to score and how much to keep.

    Attributes:
        model: See curate.models: a known name, a directory or a hub id.
        keep: `10%` of all rows, or a number of rows; None is 10 %, but at least one row.
        form: `loss` (Cherry_LLM) or `ppl` (Superfiltering).
        template: `auto`, `chat`, `alpaca` or `none`.
        max_length: Tokens of prompt and response together; None is 1,024, or what the model takes
            if that is less.
        dtype: `auto`, `float32` or `bfloat16`.
        keep_above_one: Let rows be chosen whose instruction did not help.
        seed: IFD draws nothing; kept so that every manifest has one.
        trust_remote_code: Run Python files that come with the model.
        brief_experience: Train the model on a few rows first (Cherry_LLM's first stage).
        experience: `auto`, or clusters x rows of each, such as `100x10`.
        train_set: `KEY=VALUE` for `train sft --set`.
        good_only: Of rows with verdicts, leave out those with a bad one.
    """

    model: str = "smollm2"
    keep: str | int | None = None
    form: str = "loss"
    template: str = "auto"
    max_length: int | None = None
    dtype: str = "auto"
    keep_above_one: bool = False
    seed: int = 0
    trust_remote_code: bool = False
    brief_experience: bool = False
    experience: str = "auto"
    train_set: tuple[str, ...] = ()
    good_only: bool = False

    def __post_init__(self) -> None:
        """Refuse what no data could make right."""
        if self.keep is not None:
            parse_keep(self.keep)
        if self.form not in FORMS:
            hint = did_you_mean(self.form, FORMS)
            raise UsageError(f"--form {self.form}: allowed are {', '.join(FORMS)}.{hint}")
        self.gained()
        if (self.train_set or self.experience != "auto") and not self.brief_experience:
            given = "--train-set" if self.train_set else "--experience"
            raise UsageError(f"{given} belongs to --brief-experience; give both, or neither")

    def gained(self) -> ExperienceParams:
        """Return what the brief experience is asked for."""
        clusters, per_cluster = parse_experience(self.experience)
        return ExperienceParams(
            model=self.model,
            dtype=self.dtype,
            max_length=self.max_length or scorer.DEFAULT_LENGTH,
            clusters=clusters,
            per_cluster=per_cluster,
            seed=self.seed,
            settings=tuple(self.train_set),
            trust_remote_code=self.trust_remote_code,
        )


def ifd(rows: Rows, params: Params, place: Place | None = None) -> Selection:
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
        >>> cherry = ifd(curate.read("huatuo.json"), Params(keep="10%"))
    """
    started = time.monotonic()
    wanted = budget(params.keep, len(rows))
    rows = judged(rows, "IFD", params.good_only)
    refuse_pairs_and_texts(rows, "IFD")
    gained = None
    if params.brief_experience:
        gained = gain_experience(rows, params.gained(), place or _place(rows))
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


def scored_by(rows: Rows, params: Params) -> Found:
    """Score rows by IFD and choose nothing yet.

    Args:
        rows: Instruction data; not preference pairs.
        params: Model, template, length; what is to be kept does not matter.

    Raises:
        UsageError: A parameter that does not fit, or rows of another kind.
        ModelError: The model is not to be had.
    """
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
