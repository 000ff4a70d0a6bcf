"""How good a response is, as DEITA's scorer says: 1 to 6 a turn (arXiv 2312.15685)."""

from __future__ import annotations

from functools import partial

from curate.scorers.contract import LANGUAGE_MODEL
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


score = partial(judge, NAME, question)
