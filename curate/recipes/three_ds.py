"""3DS: rows that the model to be trained finds good, neither easy nor hard, and unlike each other.

Source: arXiv 2410.10901 and its program. First the model itself judges every row, and rows below
a bound are left out. Of the others three difficulties are taken: of the instruction (perplexity of
the prompt: understanding), of the model's own answer to it (its confidence), and of the row's
response (its correctness). Rows inside the 25th to 75th percentile of all three are left, and of
these k-centre greedy over the model's mean last hidden states of the instructions takes the budget.
Where fewer are left than the budget, all are kept, as published.

What is not as published:

- the judge is asked as DEITA's quality scorer asks, and the quality is the mean of 1 to 6 by their
  chances; published is a number up to 100 that the model writes after a long prompt with examples,
  and the bound 85. Here the bound is a share, as small models give all rows nearly the same;
- tokens of a response count alike; published are losses weighted by the attention that a token
  gets, without function words;
- the model's own answer is its likeliest one, of at most 256 tokens (`max_new_tokens`);
  published ones are sampled;
- the instruction is read as it is, without the chat template, which is the same for every row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.choices.selection import Selection
from curate.console import say
from curate.data.rows import Row, Rows
from curate.data.schema import Turn
from curate.engine import open_engine
from curate.models.packaged_models import DEFAULT_MODEL
from curate.models.recipe import ModelRecipe
from curate.parameters.score import ScoreParams
from curate.parameters.select import SelectParams, parse_between
from curate.recipes import model_scores as models
from curate.recipes.earlier_scores import EarlierScores
from curate.recipes.mods_seeds import LOW, lowest_good
from curate.recipes.score import score
from curate.scorers.contract import OK, Scores, digest_of
from curate.scorers.ifd import DEFAULT_LENGTH
from curate.scorers.necessity import answers
from curate.scorers.quality import NAME as QUALITY
from curate.scorers.sequences import MadeRows
from curate.selectors import k_center, threshold
from curate.selectors.kept_and_dropped import Candidates, Choice, Ranking
from curate.selectors.middle_band import OUTSIDE, within

if TYPE_CHECKING:
    from curate.models.causal_lm import CausalLM

NAME = "3ds"
DIFFICULTIES = ("nll_instruction", "nll_own_answer", "nll_prompted")
NO_ANSWER = "no_own_answer"
HALF, BAND = "50%", ("25%", "75%")


def three_ds(rows: Rows, params: SelectParams, earlier: EarlierScores) -> Selection:
    """Keep good rows of middle difficulty that leave no other such row far from them.

    The columns of the scores file, beside the quality: `nll_instruction`, `nll_own_answer` and
    `nll_prompted`, nats a token, and `own_answer`. Reasons: `low_quality`, `no_own_answer`,
    `outside_band`, `covered`.
    """
    models.refuse_pairs_and_texts(rows, NAME)
    lowest, between = params.min_quality or HALF, params.between or BAND
    trusted = params.trust_remote_code
    name, own, notes = earlier.name, earlier.scores(), tuple[str, ...]()
    if earlier.values is None:
        how = ScoreParams(scorer=(QUALITY,), model=params.model, trust_remote_code=trusted)
        judged = score(rows, how)
        name, notes, own = QUALITY, judged.notes, judged.scored
    scores, choice = earlier.beside(own)
    quality = scores.values(name)
    if choice.kept.any():
        bound = lowest_good(lowest, quality[choice.kept])
        from_it = threshold.ThresholdParams(bound=bound, keep="from", reason=LOW)
        choice = threshold.select(Candidates(choice, rows.ids, quality), from_it)
    good = int(choice.kept.sum())
    model = models.language_model(params.model, trusted)
    found, states = _difficulties(rows, choice.kept, model, params)
    choice = Choice(np.where(choice.kept & (found.status != OK), found.status, choice.reason))
    bands = (
        within(found.values(each), choice.kept, *parse_between(between)) for each in DIFFICULTIES
    )
    choice = choice.without(~np.logical_and.reduce([*bands]), OUTSIDE)
    # Answers to one question have one state: the best of them stands for the others.
    candidates = Candidates(choice, rows.ids, quality, states)
    ranking = Ranking(k_center, candidates, {"seed": params.seed})
    counts = (
        f"{good:,} rows are good enough (--min-quality {lowest}), and {int(choice.kept.sum()):,} "
        f"of them lie within {' to '.join(between)} of all three difficulties"
    )
    notes = (*notes, *models.about_language(rows, model.files, "difficulties"), counts)
    scores = Scores(scores.status, {**scores.columns, **found.columns})
    params = replace(params, min_quality=lowest, between=between)
    made_by = models.computed_by(model)
    return Selection(NAME, params, rows, scores, choice, name, made_by, notes, ranking=ranking)


def _difficulties(
    rows: Rows, good: NDArray[np.bool_], model: CausalLM, params: SelectParams
) -> tuple[Scores, NDArray[np.float32]]:
    """Return how difficult the good rows are for the model, and its states, (n, width)."""
    few = models.leaving_out(rows, ~good, LOW)
    say(f"reading {int(good.sum()):,} instructions and responses with {model.files.name}")
    read = models.instructions_of(few, model, DEFAULT_LENGTH)
    given = models.likelihood_of(few, model, DEFAULT_LENGTH)
    status = np.where(read.status == OK, given.status, read.status)
    say(f"{model.files.name} answers the instructions itself")
    places = np.flatnonzero(good & (status == OK))
    engine = open_engine("answering")
    name, trusted = params.model or DEFAULT_MODEL, params.trust_remote_code
    generator = engine.load(ModelRecipe("generator", name, trust_remote_code=trusted))
    replies = answers(rows, places, params.max_new_tokens, generator, engine)
    answered = [place for place in places.tolist() if (replies.texts[place] or "").strip()]
    texts = {place: replies.texts[place] for place in answered}
    identity = digest_of(rows.identity, np.array(answered), *texts.values())
    own = MadeRows(identity, len(texts), partial(_answered, rows, texts))
    said = models.likelihood_of(own, model, DEFAULT_LENGTH + params.max_new_tokens)
    confidence = np.full(len(rows), np.nan)
    confidence[answered] = said.last()
    status[good & (status == OK) & np.isnan(confidence)] = NO_ANSWER
    values = (read.nll, confidence, given.last())
    status[(status == OK) & ~np.isfinite(values).all(axis=0)] = "non_finite"
    columns = {name: pa.array(each) for name, each in zip(DIFFICULTIES, values, strict=True)}
    columns["own_answer"] = pa.array(replies.texts, pa.large_string())
    return Scores(status, columns), read.states


def _answered(rows: Rows, texts: dict[int, str]) -> Iterator[Row]:
    """Yield rows, by their places, numbered from 0, with the model's answers as last responses."""
    for number, (place, text) in enumerate(texts.items()):
        row = rows[place]
        turns = (*row.turns[:-1], Turn("assistant", text))
        yield replace(row, position=number, parsed=row.parsed._replace(turns=turns))
