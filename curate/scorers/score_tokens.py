"""Scores that a language model gives as one of the digits 1 to 6: DEITA's way to judge rows.

Source: arXiv 2312.15685. The model is asked for a score, and the score is the mean of 1 to 6 by
the chances that the six digits have to come next. Every turn of a dialogue is judged alone, and
the turns are added up. What deviates from the published program, on purpose:

- all six chances are known; the published path through vLLM sees the likeliest tokens alone, and
  says 3.0 where a digit is not among them;
- a turn that is longer than max_length gives its row no score, instead of the score of a part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.describe import counted
from curate.data.rows import Row, Rows
from curate.errors import ModelError
from curate.models.protocols import LikelihoodModel, TokenSequence
from curate.scorers.contract import OK, Engine, Scores, lists_of
from curate.scorers.likelihood import longest_scored
from curate.scorers.sequences import Block, tokenised

DIGITS = ("1", "2", "3", "4", "5", "6")
LONGEST = 2048  # tokens of a turn, as DEITA's scorers were trained
_ANSWERS = ("assistant", "function")
# Chance of the six digits together below which a model cannot have learned to answer with one.
_FEW = 0.5

Ask = Callable[[str, str], str]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TokenParams:
    """What is read."""

    # Tokens of a turn and the question around it; None is 2,048, or what the model takes if less.
    max_length: int | None = None


def expectation(nll: Floats) -> Floats:
    """Return the mean of 1 to 6, each by its chance among the six (arXiv 2312.15685, 3.2).

    Example:
        >>> expectation(np.log([[2, 2, np.inf, np.inf, np.inf, np.inf]]))
        array([1.5])
    """
    with np.errstate(invalid="ignore"):
        weights = np.exp(nll.min(axis=1, keepdims=True) - nll)
        mean: Floats = weights @ np.arange(1.0, 7.0) / weights.sum(axis=1)
    return mean


def judge(
    column: str,
    ask: Ask,
    rows: Rows,
    params: TokenParams,
    model: LikelihoodModel,
    engine: Engine,
) -> Scores:
    """Return the score of every row, which is the sum over its turns, and those of the turns.

    `ask` makes what the model is asked of an instruction and a response.

    Raises:
        UsageError: max_length is out of the model's range.
        ModelError: The model does not write each digit as one token.
    """
    longest = longest_scored(params.max_length, LONGEST, model)
    digits = _digits(model)
    tokenise = partial(_tokenise, ask, longest)
    # A scorer's question is a function of its own module.
    key = ("score tokens 3", ask.__module__, longest)
    sequences = tokenised(rows, tokenise, key, model, engine)
    status, sizes = sequences.columns["status"].astype(object), sequences.columns["turns"]
    owners = np.repeat(np.arange(len(rows)), sizes)
    answer = partial(_next_nll, digits)
    work = sequences.work(rows, owners, model, answer, key[0], digits, widths=len(digits))
    nll = engine.run(work, int((sizes > 0).sum())).reshape(-1, len(DIGITS))
    values = expectation(nll)
    sums = np.bincount(owners, values, minlength=len(rows))
    sums[sizes == 0] = np.nan
    status[(status == OK) & ~np.isfinite(sums)] = "non_finite"
    sums[status != OK] = np.nan
    columns = {column: pa.array(sums), f"turn_{column}": lists_of(sizes, pa.array(values))}
    return Scores(status, columns, _notes(status, nll, column, longest, model))


def exchanges(row: Row) -> list[tuple[str, str]]:
    """Return instruction and response of every turn; what is said before an answer is asked."""
    turns: list[tuple[str, str]] = []
    asked: list[str] = []
    for turn in row.turns:
        if turn.role in _ANSWERS:
            turns.append(("\n".join(asked), turn.content))
            asked = []
        else:
            asked.append(turn.content)
    return turns


def _tokenise(ask: Ask, longest: int, model: LikelihoodModel, rows: list[Row]) -> bytes:
    """Return what is asked of every turn of rows that can be judged."""
    block, status, sizes = Block(), [row.flaw or OK for row in rows], [0] * len(rows)
    opening = [] if model.encoder.bos is None else [model.encoder.bos]
    questions: dict[int, list[str]] = {}
    for place, row in enumerate(rows):
        if not row.flaw and row.response.strip():
            questions[place] = [ask(*turn) for turn in exchanges(row)]
        elif not row.flaw:
            status[place] = "empty_response"
    encoded = iter(model.encoder.encode(list(chain.from_iterable(questions.values()))))
    for place, texts in questions.items():
        sequences = [[*opening, *ids] for ids in islice(encoded, len(texts))]
        if max(map(len, sequences), default=0) > longest:
            status[place] = "truncated"
            continue
        sizes[place] = len(sequences)
        for ids in sequences:
            block.append(ids, [])
    return block.packed(status=np.array(status, dtype=str), turns=np.array(sizes, dtype=np.int64))


def _next_nll(
    tokens: Sequence[int], model: LikelihoodModel, sequences: list[TokenSequence]
) -> list[list[float]]:
    return model.next_nll(sequences, tokens)


def _digits(model: LikelihoodModel) -> list[int]:
    """Return the token of each digit; SentencePiece puts the token of a space before it."""
    ids = model.encoder.encode(DIGITS)
    last = [each[-1] for each in ids if each]
    before = {tuple(each[:-1]) for each in ids}
    if len(set(last)) < len(DIGITS) or len(before) > 1 or len(next(iter(before))) > 1:
        raise ModelError(
            f"model '{model.name}' does not write each of the digits 1 to 6 as a token of its own, "
            "so it cannot answer with a score; give another --model"
        )
    return last


def _notes(
    status: NDArray[np.object_], nll: Floats, column: str, longest: int, model: LikelihoodModel
) -> tuple[str, ...]:
    notes = []
    if long := int((status == "truncated").sum()):
        notes.append(
            f"no {column} for {counted(long)} with a turn of more than {longest:,} tokens "
            "(--max-length)"
        )
    chance = float(np.median(np.exp(-nll).sum(axis=1))) if len(nll) else 1.0
    if chance < _FEW:
        notes.append(
            f"the chance that {model.name} answers with one of the scores 1 to 6 is {chance:.0%} "
            f"in the median: a model that was trained to say the {column} is sure of it"
        )
    return tuple(notes)
