"""How good a response is, as DEITA's scorer says: 1 to 6 a turn (arXiv 2312.15685)."""

from __future__ import annotations

from pathlib import Path

from curate.data.rows import Rows
from curate.models.protocols import LikelihoodModel
from curate.scorers.contract import LANGUAGE_MODEL, Engine, Scores
from curate.scorers.score_tokens import TokenParams, judge

NAME, NEEDS, MAIN = "quality", LANGUAGE_MODEL, "quality"
ABOUT = "DEITA's quality of the response, by a language model trained to say it"
PARAMS = TokenParams
# Trained by the authors to answer with a score; any other model guesses.
TRAINED = "hkust-nlp/deita-quality-scorer"


def question(instruction: str, response: str) -> str:
    """Return what the model is asked, as its authors trained it to be."""
    return (
        "You are a helpful assistant. Please identify the quality score of the Response "
        f"corresponding to the Question. \n #Question#:\n{instruction}\n#Response#:\n{response} \n"
        "##Quality: "
    )


def score(
    rows: Rows, params: TokenParams, model: LikelihoodModel, engine: Engine, scratch: Path
) -> Scores:
    """Return the quality of every row: the sum over its turns.

    Args:
        rows: What to score.
        params: What is read.
        model: Trained to answer with a score, or any other causal language model.
        engine: Runs the model over the rows.
        scratch: Folder for the tokens while the model runs.

    Raises:
        UsageError: max_length is out of the model's range.
        ModelError: The model does not write each digit as one token.
    """
    return judge(rows, NAME, question, params, model, engine, scratch)
