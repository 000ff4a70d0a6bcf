"""How complex an instruction is, as DEITA's scorer says: 1 to 6 a turn (arXiv 2312.15685)."""

from __future__ import annotations

from functools import partial

from curate.scorers.contract import LANGUAGE_MODEL
from curate.scorers.score_tokens import TokenParams, judge

NAME, NEEDS, MAIN = "complexity", LANGUAGE_MODEL, "complexity"
ABOUT = "DEITA's complexity of the instruction, by a language model trained to say it"
PARAMS = TokenParams
# Trained by the authors to answer with a score; any other model guesses.
TRAINED = "hkust-nlp/deita-complexity-scorer"


def question(instruction: str, response: str) -> str:
    """Return what the model is asked, as it was trained to be; the response is not shown."""
    return (
        "You are a helpful assistant. Please identify the complexity score of the following user "
        f"query. \n##Query: {instruction}  \n##Complexity: "
    )


score = partial(judge, NAME, question)
