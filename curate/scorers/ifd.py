"""IFD: how much the instruction helps the model to expect the response.

Two published formulas bear the name. Cherry_LLM (arXiv 2308.12032, eq. 4) divides mean losses,
Superfiltering (arXiv 2402.00530) divides perplexities; their order differs, so both are kept,
each in a column named after it. What deviates from the authors' programs, on purpose:

- prompt and response are tokenised apart, so no token lies across the border;
- the response's header stays in the pass without instruction, in every template that has one,
  and behind it an empty thought where the template thinks and the response does not;
- with `none` both passes begin with BOS, so the first response token is scored in both;
- a row that does not fit into max_length gets no score instead of the score of a part of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.describe import counted
from curate.data.rows import Rows
from curate.models.protocols import LikelihoodModel
from curate.models.row_templates import TEMPLATES, choose_template
from curate.scorers.contract import LANGUAGE_MODEL, Engine, Scores, lists_of
from curate.scorers.likelihood import Likelihoods, likelihoods, longest_scored

NAME, NEEDS, MAIN = "ifd", LANGUAGE_MODEL, "ifd_loss"
DEFAULT_LENGTH = 1024
ABOUT = "how little the instruction helps a language model to expect the response"


@dataclass(frozen=True)
class IFDParams:
    """What decides the numbers, besides rows and model."""

    template: str = "auto"  # `chat`, `alpaca`, `none`, or `auto`: chat where the model has one
    # Tokens of prompt and response together; None is 1,024, or what the model takes if less.
    max_length: int | None = None


PARAMS = IFDParams


def ifd_loss(prompted: NDArray[np.float64], alone: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Cherry_LLM's IFD, the ratio of mean losses (arXiv 2308.12032, eq. 4).

    Both are (n,) mean NLL of the same response tokens, nats a token: given the prompt, and alone.

    Example:
        >>> ifd_loss(np.array([1.0]), np.array([2.0]))
        array([0.5])
    """
    return prompted / alone


def ifd_ppl(prompted: NDArray[np.float64], alone: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Superfiltering's IFD, the ratio of perplexities (arXiv 2402.00530).

    Both are (n,) mean NLL of the same response tokens, nats a token: given the prompt, and alone.

    Example:
        >>> ifd_ppl(np.array([1.0]), np.array([2.0])).round(4)
        array([0.3679])
    """
    ratio: NDArray[np.float64] = np.exp(prompted - alone)
    return ratio


def score(rows: Rows, params: IFDParams, model: LikelihoodModel, engine: Engine) -> Scores:
    """Score every row; what cannot be scored gets NaN and a status that says why.

    Raises:
        UsageError: The template is unknown, or max_length is out of the model's range.
        ModelError: The model's chat template takes none of the rows.
    """
    longest = longest_scored(params.max_length, DEFAULT_LENGTH, model)
    name = choose_template(params.template, model.encoder)
    of_turns = likelihoods(rows, TEMPLATES[name], longest, model, engine)
    prompted, alone = of_turns.mean(of_turns.turn_prompted), of_turns.mean(of_turns.turn_alone)
    wrong = (of_turns.turns > 0) & ~(np.isfinite(prompted) & np.isfinite(alone) & (alone > 0))
    of_turns.status[wrong] = "non_finite"
    prompted[wrong] = alone[wrong] = np.nan
    notes = _notes(of_turns, longest)
    if params.max_length is None and longest < DEFAULT_LENGTH:
        notes = (f"{model.name} takes {longest:,} tokens, so that is --max-length here", *notes)
    counts = {"prompt": of_turns.prompt_tokens, "response": of_turns.response_tokens}
    by_row = {"nll_prompted": prompted, "nll_alone": alone}
    by_row |= {"ifd_loss": ifd_loss(prompted, alone), "ifd_ppl": ifd_ppl(prompted, alone)}
    by_turn = {
        "turn_tokens": of_turns.turn_tokens.astype(np.int32),
        "turn_nll_prompted": of_turns.turn_prompted / of_turns.turn_tokens,
        "turn_nll_alone": of_turns.turn_alone / of_turns.turn_tokens,
    }
    columns = {
        **{f"{n}_tokens": pa.array(c.astype(np.int32), mask=c < 0) for n, c in counts.items()},
        **{name: pa.array(values) for name, values in by_row.items()},
        **{name: lists_of(of_turns.turns, pa.array(each)) for name, each in by_turn.items()},
    }
    return Scores(of_turns.status, columns, notes)


def _notes(of_turns: Likelihoods, longest: int) -> tuple[str, ...]:
    notes = [of_turns.note] if of_turns.note else []
    long = of_turns.status == "truncated"
    if long.any():
        needed = int((of_turns.prompt_tokens + of_turns.response_tokens)[long].max())
        notes.append(
            f"no score for {counted(int(long.sum()))} longer than --max-length {longest:,} tokens; "
            f"the longest has {needed:,}"
        )
    if of_turns.refusal:
        refused = int((of_turns.status == "template_refused").sum())
        notes.append(f"no score for {counted(refused)}: {of_turns.refusal}")
    return tuple(notes)
