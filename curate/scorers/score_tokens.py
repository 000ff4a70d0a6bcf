"""Scores that a language model gives as one of the digits 1 to 6: DEITA's way to judge rows.

Source: arXiv 2312.15685. The model is asked for a score, and the score is the mean of 1 to 6 by
the chances that the six digits have to come next. Every turn of a dialogue is judged alone, and
the turns are added up. What deviates from the published program, on purpose:

- all six chances are known; the published path through vLLM sees the likeliest tokens alone, and
  says 3.0 where a digit is not among them;
- a turn that is longer than max_length gives its row no score, instead of the score of a part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.data.rows import Row, Rows
from curate.errors import ModelError
from curate.models.protocols import LikelihoodModel, TextEncoder, TokenSequence
from curate.scorers.contract import OK, Engine, Scores, Work, digest_of, in_batches, lists_of
from curate.scorers.likelihood import longest_scored

DIGITS = ("1", "2", "3", "4", "5", "6")
LONGEST = 2048  # tokens of a turn, as DEITA's scorers were trained
_ANSWERS = ("assistant", "function")
# Chance of the six digits together below which a model cannot have learned to answer with one.
_FEW = 0.5

Ask = Callable[[str, str], str]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TokenParams:
    """What is read.

    Attributes:
        max_length: Tokens of a turn and the question around it; None is 2,048, or what the model
            was made for if that is less.
    """

    max_length: int | None = None


def expectation(nll: Floats) -> Floats:
    """Return the mean of 1 to 6, each by its chance among the six (arXiv 2312.15685, 3.2).

    Args:
        nll: (n, 6) of the digits, nats; an infinite one has no chance.

    Example:
        >>> expectation(np.log([[2, 2, np.inf, np.inf, np.inf, np.inf]]))
        array([1.5])
    """
    with np.errstate(invalid="ignore"):
        weights = np.exp(nll.min(axis=1, keepdims=True) - nll)
        mean: Floats = weights @ np.arange(1.0, 7.0) / weights.sum(axis=1)
    return mean


def judge(
    rows: Rows,
    column: str,
    ask: Ask,
    params: TokenParams,
    model: LikelihoodModel,
    engine: Engine,
) -> Scores:
    """Return the sum of the scores of every row's turns, and those of the turns.

    Args:
        rows: What to judge.
        column: Name of the sum; the turns are in `turn_NAME`.
        ask: From instruction and response to what the model is asked.
        params: What is read.
        model: LikelihoodModels.
        engine: Runs the model over the turns.

    Raises:
        UsageError: max_length is out of the model's range.
        ModelError: The model's tokenizer does not write each digit as one token.
    """
    longest = longest_scored(params.max_length, LONGEST, model.name, model.max_positions)
    turns = _Turns(rows, ask, longest, model.encoder)
    digits = _digits(model)
    work = Work(
        model=model,
        lengths=turns.lengths,
        widths=len(digits),
        take=turns.take,
        answer=partial(next_nll, digits),
        digest=digest_of("score tokens 2", turns.digest.hexdigest(), digits),
    )
    nll = engine.run(work, len(np.unique(turns.owner))).reshape(-1, len(DIGITS))
    values = expectation(nll)
    status, sizes = turns.status, np.bincount(turns.owner, minlength=len(rows))
    sums = np.bincount(turns.owner, values, minlength=len(rows))
    sums[sizes == 0] = np.nan
    status[(status == OK) & ~np.isfinite(sums)] = "non_finite"
    sums[status != OK] = np.nan
    columns = {column: pa.array(sums), f"turn_{column}": lists_of(sizes, pa.array(values))}
    return Scores(status, columns, _notes(status, nll, column, longest, model))


def exchanges(row: Row) -> list[tuple[str, str]]:
    """Return instruction and response of every turn; what is said before an answer is asked.

    Args:
        row: Any without a flaw.
    """
    found: list[tuple[str, str]] = []
    asked: list[str] = []
    for turn in row.turns:
        if turn.role in _ANSWERS:
            found.append(("\n".join(asked), turn.content))
            asked = []
        else:
            asked.append(turn.content)
    return found


class _Turns:
    """Every turn that is judged; its text is made again when it is asked for."""

    def __init__(self, rows: Rows, ask: Ask, longest: int, encoder: TextEncoder) -> None:
        self.rows, self.ask, self.encoder = rows, ask, encoder
        self.status = np.full(len(rows), OK, dtype=object)
        owners, turns, lengths = [], [], []
        self.digest = hashlib.sha256()
        for row, sequences in self._tokenised():
            if max(map(len, sequences)) > longest:
                self.status[row] = "truncated"
                continue
            for turn, ids in enumerate(sequences):
                owners.append(row)
                turns.append(turn)
                lengths.append(len(ids))
                self.digest.update(np.array([-1, *ids], dtype="<i4").tobytes())
        self.owner = np.array(owners, dtype=np.int64)
        self.turn = np.array(turns, dtype=np.int64)
        self.lengths = np.array(lengths, dtype=np.int64)

    def take(self, items: NDArray[np.int64]) -> list[TokenSequence]:
        """Return what the model is asked for some turns."""
        texts = []
        for row, turn in zip(self.owner[items].tolist(), self.turn[items].tolist(), strict=True):
            texts.append(self.ask(*exchanges(self.rows[row])[turn]))
        return [TokenSequence(tuple(ids), ()) for ids in self._ids(texts)]

    def _tokenised(self) -> Iterator[tuple[int, list[list[int]]]]:
        for batch in in_batches(row for row in self.rows if self._can_be_judged(row)):
            texts = [[self.ask(*each) for each in exchanges(row)] for row in batch]
            ids = iter(self._ids([text for own in texts for text in own]))
            for row, own in zip(batch, texts, strict=True):
                yield row.position, list(islice(ids, len(own)))

    def _can_be_judged(self, row: Row) -> bool:
        if row.flaw or not row.response.strip():
            self.status[row.position] = row.flaw or "empty_response"
            return False
        return True

    def _ids(self, texts: list[str]) -> list[list[int]]:
        first = self.encoder.bos
        opening = [] if first is None else [first]
        return [[*opening, *ids] for ids in self.encoder.encode(texts)]


def next_nll(
    tokens: Sequence[int], model: LikelihoodModel, sequences: list[TokenSequence]
) -> list[list[float]]:
    """Return the NLL of each token as the next one of each sequence.

    Args:
        tokens: Of the digits.
        model: Loaded.
        sequences: What it is asked.
    """
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
            f"{long:,} of the rows have a turn of more than {longest:,} tokens (--max-length) and "
            f"no {column}"
        )
    chance = float(np.median(np.exp(-nll).sum(axis=1))) if len(nll) else 1.0
    if chance < _FEW:
        notes.append(
            f"the chance that {model.name} answers with one of the scores 1 to 6 is {chance:.0%} "
            f"in the median: a model that was trained to say the {column} is sure of it"
        )
    return tuple(notes)
