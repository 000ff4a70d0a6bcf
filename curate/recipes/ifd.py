"""Cherry_LLM and Superfiltering: keep the rows whose instruction helps least, below 1."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from curate.console import progress
from curate.data.cache import cache_dir
from curate.data.rows import Rows
from curate.engine.local import LocalEngine
from curate.errors import UsageError, did_you_mean
from curate.models.resolve import ModelFiles
from curate.recipes.scoring import about_language, language_model
from curate.scorers import ifd as scorer
from curate.scorers.contract import Scores
from curate.selection import Selection
from curate.selectors import threshold, top_k
from curate.selectors.budget import DEFAULT, budget, parse_keep
from curate.selectors.choice import Choice, scored

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
        max_length: Tokens of prompt and response together.
        dtype: `auto`, `float32` or `bfloat16`.
        keep_above_one: Let rows be chosen whose instruction did not help.
        seed: IFD draws nothing; kept so that every manifest has one.
        trust_remote_code: Run Python files that come with the model.
    """

    model: str = "smollm2"
    keep: str | int | None = None
    form: str = "loss"
    template: str = "auto"
    max_length: int = 1024
    dtype: str = "auto"
    keep_above_one: bool = False
    seed: int = 0
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        """Refuse what no data could make right."""
        if self.keep is not None:
            parse_keep(self.keep)
        if self.form not in FORMS:
            hint = did_you_mean(self.form, FORMS)
            raise UsageError(f"--form {self.form}: allowed are {', '.join(FORMS)}.{hint}")


def ifd(rows: Rows, params: Params) -> Selection:
    """Score rows by IFD and choose the highest below 1.

    IFD = mean NLL(response | prompt) / mean NLL(response), nats a token over the same response
    tokens. Higher = the instruction helps less; at 1 and above it does not help, and the row is
    left out. Source: arXiv 2308.12032, eq. 4, and arXiv 2402.00530.

    Args:
        rows: Instruction data; not preference pairs.
        params: Model, form, budget.

    Raises:
        UsageError: A parameter that does not fit, or rows of another kind.
        ModelError: The model is not to be had.

    Example:
        >>> cherry = ifd(curate.read("huatuo.json"), Params(keep="10%"))
    """
    started = time.monotonic()
    wanted = budget(params.keep, len(rows))
    found = scored_by(rows, params)
    scores, model = found.scores, found.model
    column = f"ifd_{params.form}"
    choice = choose(scores.status, scores.values(column), rows.ids, wanted, params.keep_above_one)
    notes = (*found.notes, *_about_rows(rows, choice, wanted))
    seconds = time.monotonic() - started
    # The directory of a model is this machine's business; its fingerprint says what it is.
    used = replace(params, model=found.files.name, keep=params.keep or DEFAULT)
    return Selection(NAME, used, rows, scores, choice, column, model, notes, seconds)


@dataclass(frozen=True)
class Found:
    """The scores of rows, and what gave them.

    Attributes:
        scores: Status and columns, a line a row.
        model: Name, fingerprint and dtype.
        files: Of the model.
        notes: What a user should be told, a sentence each.
    """

    scores: Scores
    model: dict[str, str]
    files: ModelFiles
    notes: tuple[str, ...]


def scored_by(rows: Rows, params: Params) -> Found:
    """Score rows by IFD and choose nothing yet.

    Args:
        rows: Instruction data; not preference pairs.
        params: Model, template, length; what is to be kept does not matter.

    Raises:
        UsageError: A parameter that does not fit, or rows of another kind.
        ModelError: The model is not to be had.
    """
    if rows.shape.ranking:
        raise UsageError(
            "these rows are preference pairs (chosen and rejected); IFD scores one response to a "
            "prompt. Give instruction data"
        )
    if rows.shape.kind == "pretraining":
        raise UsageError(
            "these rows are texts for pre-training, without prompt and response; IFD scores a "
            "response to a prompt. Give instruction data"
        )
    model, files = language_model(params.model, params.dtype, params.trust_remote_code)
    engine = LocalEngine(cache_dir() / "journals", progress())
    scoring = scorer.IFDParams(params.template, params.max_length)
    scores = scorer.score(rows, scoring, model, engine, cache_dir() / "scratch")
    made = {"name": model.name, "fingerprint": model.fingerprint, "dtype": model.dtype}
    return Found(scores, made, files, (*about_language(rows, files, "IFD"), *scores.notes))


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
        below = threshold.Params(1.0, "below", "ifd_ge_1")
        choice = threshold.select(choice, values, ids, below)
    return top_k.select(choice, values, ids, top_k.Params(wanted))


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
