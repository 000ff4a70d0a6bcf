"""GRAPE: of several answers to one prompt, the one that the model to be trained finds likeliest.

Source: arXiv 2502.04194: the response with the highest mean token log-probability given the prompt.
Prompts are the same where all that comes before the last answer is: system prompt and turns, folded
as dedup folds them (`curate.duplicates.folding`), descriptions of tools, and pictures.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.choices.selection import Selection
from curate.data.describe import counted
from curate.data.ids import beside
from curate.data.rows import Rows
from curate.duplicates.folding import fold
from curate.errors import DataError
from curate.parameters.select import SelectParams
from curate.recipes import model_scores as models
from curate.recipes.earlier_scores import EarlierScores
from curate.scorers.contract import OK, Scores
from curate.selectors.kept_and_dropped import Choice

NAME, CHOSEN, LESS_LIKELY = "answers", "chosen", "less_likely"
LONGEST = 4096  # tokens of prompt and answer; a row that is longer cannot be compared
_ALONE = "one_answer"


def answers(rows: Rows, params: SelectParams, earlier: EarlierScores) -> Selection:
    """Keep the likeliest answer to every prompt, and the rows whose prompt has no other.

    The columns of the scores file: `answers` (to the row's prompt), `mean_logprob` (nats a token;
    NaN for a single answer, which is not computed), `kept_twin` (id of the row that was kept in
    its place), `chosen` (1 or 0). Equally likely answers are taken by id.
    """
    models.refuse_pairs_and_texts(rows, NAME)
    choice = earlier.choice()
    prompt = prompts_of(rows, choice.kept)
    sizes = np.where(choice.kept, np.bincount(prompt[choice.kept], minlength=1)[prompt], 0)
    several = sizes > 1
    if not several.any():
        raise DataError(
            f"no prompt has two answers among {int(choice.kept.sum()):,} rows that can be chosen: "
            f"--recipe {NAME} chooses between several. Give rows that share their prompts, or "
            "lists of answers"
        )
    model = models.language_model(params.model, params.trust_remote_code)
    found = models.likelihood_of(models.leaving_out(rows, ~several, _ALONE), model, LONGEST)
    logprob = -found.last()
    found.status[(found.status == OK) & ~np.isfinite(logprob)] = "non_finite"
    status = np.where(several, found.status, earlier.status)
    choice = Choice(np.where(choice.kept & (status != OK), status, choice.reason))
    compared = np.flatnonzero(choice.kept & several)
    ordered = compared[np.lexsort((rows.ids[compared].astype(str), -logprob[compared]))]
    prompts, first = np.unique(prompt[ordered], return_index=True)
    best = np.zeros(int(prompt.max()) + 1, dtype=np.int64)
    best[prompts] = ordered[first]
    twin = np.full(len(rows), None, dtype=object)
    less = compared[best[prompt[compared]] != compared]
    twin[less] = rows.ids[best[prompt[less]]]
    choice = choice.without(np.isin(np.arange(len(rows)), less), LESS_LIKELY)
    columns = {
        "answers": pa.array(sizes, mask=sizes == 0),
        "mean_logprob": pa.array(logprob),
        "kept_twin": pa.array(twin, pa.string()),
        CHOSEN: pa.array(choice.kept.astype(np.float64)),
    }
    notes = [
        *models.about_language(rows, model.files, "likelihood"),
        f"{len(np.unique(prompt[several])):,} prompts have {int(several.sum()):,} answers; "
        f"{counted(int((sizes == 1).sum()))} without another answer to their prompt kept as read",
    ]
    if params.model is None:
        notes.append(f"likeliest means to {model.name}: --model is to be what will be trained")
    scores = Scores(status, {**earlier.scores().columns, **columns})
    made_by = models.computed_by(model)
    return Selection(NAME, params, rows, scores, choice, CHOSEN, made_by, tuple(notes))


def prompts_of(rows: Rows, possible: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return (n,) the number of each possible row's prompt; 0 for the others, too."""
    prompts = np.zeros(len(rows), dtype=np.int64)
    numbers: dict[bytes, int] = {}
    for row in rows:
        if possible[row.position]:
            # All that comes before the last answer.
            turns = [(turn.role, fold(turn.content)) for turn in row.turns[:-1]]
            whole = repr((fold(row.system), turns, row.parsed.tools, beside(row.value, None)))
            digest = hashlib.blake2b(
                whole.encode("utf-8", "surrogatepass"), digest_size=16
            ).digest()
            prompts[row.position] = numbers.setdefault(digest, len(numbers))
    return prompts
