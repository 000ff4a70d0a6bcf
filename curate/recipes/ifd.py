"""Cherry_LLM and Superfiltering: keep the rows whose instruction helps least, below 1.

Superfiltering.D (arXiv 2402.00530) thins them out: of the 20 % with the highest IFD (ratio of
perplexities, below 1), 2 % of all rows that stand for the others best. Deviations: the encoder is
multilingual, and see `curate.selectors.facility_location` for the similarity.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from curate.choices.selection import Selection
from curate.data.kto_verdicts import judged
from curate.data.rows import Rows
from curate.emission.emit import default_name
from curate.engine import open_engine
from curate.errors import UsageError
from curate.models.packaged_models import DEFAULT_MODEL
from curate.parameters.budget import DEFAULT_KEEP
from curate.parameters.ifd import IFDParams
from curate.parameters.option import ending_of
from curate.parameters.select import SelectParams
from curate.recipes import budgets
from curate.recipes import model_scores as models
from curate.recipes.brief_experience import ExperienceParams, gain_experience
from curate.recipes.budgets import sample
from curate.recipes.earlier_scores import EarlierScores
from curate.recipes.train_between import Place
from curate.scorers import ifd as scorer
from curate.scorers.contract import Scores
from curate.scorers.likelihood import longest_scored
from curate.selectors import facility_location, threshold, top_k
from curate.selectors.kept_and_dropped import Candidates, Choice, Ranking, Wanted, scored

if TYPE_CHECKING:
    from curate.models.causal_lm import CausalLM

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
    rows = sample(rows, params)
    rows = judged(rows, "IFD", params.good_only)
    models.refuse_pairs_and_texts(rows, "IFD")
    tokens = budgets.tokens_of(rows, params.tokenizer, params.model, params.trust_remote_code)
    wanted = budgets.wanted_of(params.keep, tokens.counts)
    asked, details, notes = params, dict[str, Any](), tuple[str, ...]()
    if params.brief_experience:
        stem = Path(rows.sources[0].name)
        place = place or Place(name=default_name(stem, ending_of(NAME, params)))
        experience = ExperienceParams(
            model=params.model,
            dtype=params.dtype,
            max_length=params.max_length,
            seed=params.seed,
            settings=params.train_set,
            trust_remote_code=params.trust_remote_code,
        )
        trained, details, notes = gain_experience(rows, experience, place)
        asked = replace(params, model=str(trained.folder))
    scores, model = scored_by(rows, asked)
    column = f"ifd_{params.form}"
    choice, values = scored(scores.status), scores.values(column)
    if not params.keep_above_one:
        choice = below_one(choice, values, rows.ids)
    ranking = Ranking(top_k, Candidates(choice, rows.ids, values=values))
    longest = longest_scored(params.max_length, scorer.DEFAULT_LENGTH, model)
    return Selection(
        recipe=NAME,
        params=replace(
            params,
            # The directory of a model is this machine's business; its fingerprint says what it is.
            model=model.files.name if asked is params else models.called(params.model),
            keep=params.keep or DEFAULT_KEEP,
            max_length=longest,
            tokenizer=tokens.by,
        ),
        rows=rows,
        scored=scores,
        choice=ranking.choice(wanted),
        ranked_by=column,
        model=models.computed_by(model),
        notes=(*notes, *scores.notes),
        seconds=time.monotonic() - started,
        details=details,
        tokens=tokens,
        ranking=ranking,
        wanted=wanted,
    )


def scored_by(rows: Rows, params: IFDParams) -> tuple[Scores, CausalLM]:
    """Return the IFD of every row and the model that gave it; nothing is chosen yet."""
    models.refuse_pairs_and_texts(rows, "IFD")
    model = models.language_model(params.model, params.trust_remote_code, params.dtype)
    scoring = scorer.IFDParams(template=params.template, max_length=params.max_length)
    scores = scorer.score(rows, scoring, model, open_engine())
    notes = (*models.about_language(rows, model.files, "IFD"), *scores.notes)
    return replace(scores, notes=notes), model


def below_one(choice: Choice, values: NDArray[np.float64], ids: NDArray[np.object_]) -> Choice:
    """Return the choice without the rows whose IFD is 1 or more, by values (n,) of one form."""
    below = threshold.ThresholdParams(bound=1.0, keep="below", reason="ifd_ge_1")
    return threshold.select(Candidates(choice, ids, values=values), below)


# Superfiltering.D


def superfilter(
    rows: Rows, params: SelectParams, earlier: EarlierScores, wanted: Wanted
) -> Selection:
    """Keep, of the rows with the highest IFD, those that stand for the others best."""
    models.refuse_pairs_and_texts(rows, SUPERFILTER)
    pool = pool_of(params.pool, wanted)
    name, scores, choice = earlier.name, earlier.scores(), earlier.choice()
    model: dict[str, str] = {}
    if earlier.values is None:
        asked, trusted = params.model or DEFAULT_MODEL, params.trust_remote_code
        own, by_model = scored_by(rows, IFDParams(asked, form="ppl", trust_remote_code=trusted))
        name, model = "ifd_ppl", models.computed_by(by_model)
        scores, choice = earlier.beside(own)
    values = scores.values(name)
    if name in COLUMNS:
        choice = below_one(choice, values, rows.ids)
    vectors, encoder = models.embedded(rows, params.encoder, "row")
    ranking = thinned_out(Candidates(choice, rows.ids, values, vectors.vectors), pool)
    notes, choice = (*scores.notes, *vectors.notes), ranking.candidates.choice
    made_by = model | encoder
    return Selection(
        SUPERFILTER, params, rows, scores, choice, name, made_by, notes, ranking=ranking
    )


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
