"""Cherry_LLM and Superfiltering: keep the rows whose instruction helps least, below 1.

Superfiltering.D (arXiv 2402.00530) thins them out: of the 20 % with the highest IFD (ratio of
perplexities, below 1), 2 % of all rows that stand for the others best. Deviations: the encoder is
multilingual, and see `curate.selectors.facility_location` for the similarity.
"""

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
from curate.errors import UsageError
from curate.models.packaged_models import DEFAULT_MODEL
from curate.models.resolve import ModelFiles
from curate.parameters.budget import DEFAULT_KEEP
from curate.parameters.ifd import IFDParams, parse_experience
from curate.parameters.select import SelectParams
from curate.recipes import budgets
from curate.recipes.brief_experience import ExperienceParams, gain_experience
from curate.recipes.earlier_scores import WHERE, EarlierScores
from curate.recipes.model_scores import (
    about_language,
    called,
    embedded,
    language_model,
    refuse_pairs_and_texts,
)
from curate.recipes.train_between import Place
from curate.scorers import ifd as scorer
from curate.scorers.contract import Scores
from curate.scorers.likelihood import longest_scored
from curate.selection import Selection
from curate.selectors import facility_location, threshold, top_k
from curate.selectors.filled import Ranking, Wanted
from curate.selectors.kept_and_dropped import Candidates, Choice, scored
from curate.system.cache import cache_dir

NAME, SUPERFILTER = "ifd", "superfilter"
COLUMNS = ("ifd_loss", "ifd_ppl")


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
    budgets.check_rows(params.keep, len(rows))
    rows = judged(rows, "IFD", params.good_only)
    refuse_pairs_and_texts(rows, "IFD")
    tokens = budgets.tokens_of(rows, params.tokenizer, params.model, params.trust_remote_code)
    wanted = budgets.wanted_of(params.keep, tokens.counts)
    gained, asked = None, params
    if params.brief_experience:
        place = place or Place(name=default_name(Path(rows.sources[0].name), NAME))
        gained = gain_experience(rows, experience_of(params), place)
        asked = replace(params, model=str(gained.trained.folder))
    by_model = scored_by(rows, asked)
    scores, column = by_model.scores, f"ifd_{params.form}"
    choice, values = scored(scores.status), scores.values(column)
    if not params.keep_above_one:
        choice = below_one(choice, values, rows.ids)
    ranking = Ranking(top_k, Candidates(choice, rows.ids, values=values))
    notes = (*(gained.notes if gained else ()), *by_model.notes)
    # The directory of a model is this machine's business; its fingerprint says what it is.
    name = called(params.model) if gained else by_model.files.name
    return Selection(
        recipe=NAME,
        params=replace(
            params,
            model=name,
            keep=params.keep or DEFAULT_KEEP,
            max_length=by_model.max_length,
            tokenizer=tokens.by,
        ),
        rows=rows,
        scored=scores,
        choice=ranking.choice(wanted),
        ranked_by=column,
        model=by_model.model,
        notes=notes,
        seconds=time.monotonic() - started,
        details=gained.details if gained else {},
        tokens=tokens,
        ranking=ranking,
        wanted=wanted,
    )


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


@dataclass(frozen=True)
class ScoredBy:
    """The IFD of rows and the model that gave it; `max_length` tokens of a row were read."""

    scores: Scores
    model: dict[str, str]
    files: ModelFiles
    notes: tuple[str, ...]
    max_length: int


def scored_by(rows: Rows, params: IFDParams) -> ScoredBy:
    """Score rows by IFD and choose nothing yet."""
    refuse_pairs_and_texts(rows, "IFD")
    engine = open_engine()
    model = language_model(engine, params.model, params.dtype, params.trust_remote_code)
    scoring = scorer.IFDParams(template=params.template, max_length=params.max_length)
    scores = scorer.score(rows, scoring, model, engine, cache_dir() / "scratch")
    said = {"name": model.name, "fingerprint": model.fingerprint, "dtype": model.dtype}
    longest = longest_scored(
        params.max_length, scorer.DEFAULT_LENGTH, model.name, model.max_positions
    )
    notes = (*about_language(rows, model.files, "IFD"), *scores.notes)
    return ScoredBy(scores, said, model.files, notes, longest)


def below_one(choice: Choice, values: NDArray[np.float64], ids: NDArray[np.object_]) -> Choice:
    """Return the choice without the rows whose IFD is 1 or more, by values (n,) of one form."""
    below = threshold.ThresholdParams(bound=1.0, keep="below", reason="ifd_ge_1")
    return threshold.select(Candidates(choice, ids, values=values), below)


# Superfiltering.D


def superfilter(
    rows: Rows, params: SelectParams, earlier: EarlierScores, wanted: Wanted
) -> Selection:
    """Keep, of the rows with the highest IFD, those that stand for the others best.

    Args:
        rows: Instruction data.
        params: Pool, encoder, and the model of IFD.
        earlier: Scores to go by; without values IFD is computed.
        wanted: How much to keep.

    Raises:
        UsageError: The pool does not fit, or rows of another kind.
        ModelError: A model is not to be had.
    """
    refuse_pairs_and_texts(rows, SUPERFILTER)
    pool = pool_of(params.pool, wanted)
    name, scores, choice = earlier.name, earlier.scores(), earlier.choice()
    model: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    if earlier.values is None:
        trusted = params.trust_remote_code
        by_model = scored_by(
            rows, IFDParams(params.model or DEFAULT_MODEL, form="ppl", trust_remote_code=trusted)
        )
        name, model, notes = "ifd_ppl", by_model.model, by_model.notes
        columns = {**scores.columns, **by_model.scores.columns}
        scores = replace(by_model.scores, columns=columns)
        choice = scored(scores.status).without(~earlier.allowed, WHERE)
    values = scores.values(name)
    if name in COLUMNS:
        choice = below_one(choice, values, rows.ids)
    vectors, encoder = embedded(rows, params.encoder, "row")
    ranking = thinned_out(Candidates(choice, rows.ids, values, vectors.vectors), pool)
    notes = (*notes, *vectors.notes)
    choice = ranking.choice(wanted)
    chosen = Selection(SUPERFILTER, params, rows, scores, choice, name, model | encoder, notes)
    return replace(chosen, ranking=ranking)


def pool_of(pool: str | int | None, wanted: Wanted) -> Wanted:
    """Return how many rows, or tokens, the budget is chosen from."""
    counts = wanted.row_tokens
    if pool is None:
        share = Wanted(max(1, len(counts) // 5), None, counts)
        if wanted.tokens is None:
            return replace(share, rows=max(wanted.rows, share.rows))
        return Wanted(len(counts), max(2 * wanted.tokens, int(counts.sum()) // 5), counts)
    size = budgets.wanted_of(pool, counts, "--pool")
    if (size.tokens is None) != (wanted.tokens is None):
        raise UsageError(
            f"--pool {pool}: --keep counts {'rows' if wanted.tokens is None else 'tokens'}; let "
            "both count the same"
        )
    unit = "rows" if wanted.tokens is None else "tokens"
    room, asked = getattr(size, unit), getattr(wanted, unit)
    if room < asked:
        raise UsageError(
            f"--pool {pool}: that is {room:,} {unit}, and --keep asks for {asked:,} of them; give "
            "a larger pool"
        )
    return size


def thinned_out(candidates: Candidates, pool: Wanted) -> Ranking:
    """Return the rows of the pool, those with the highest values, from which to choose."""
    highest = Ranking(top_k, candidates).choice(pool)
    return Ranking(facility_location, replace(candidates, choice=highest))
