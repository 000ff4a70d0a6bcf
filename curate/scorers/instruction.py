"""How a language model sees each instruction: its mean last hidden state, and its perplexity.

IFD's brief experience (arXiv 2308.12032, section 3.1) clusters the former and draws from the
middle of the latter; one pass gives both. It has to be the model that is to be trained: an
encoder's vectors say what a text is about, these say what is alike to this model. Deviation: the
instruction is read as it is, without the frame of a prompt, which is the same for every row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Row, Rows
from curate.models.protocols import LikelihoodModel, TokenSequence
from curate.scorers.contract import OK, Engine
from curate.scorers.embedding import EMPTY, LONGEST, instruction_text
from curate.scorers.sequences import Block, tokenised


@dataclass(frozen=True)
class Instructions:
    """What the model makes of every instruction, in input order."""

    status: NDArray[np.object_]  # (n,) `ok`, or why the row has no numbers
    nll: NDArray[np.float64]  # (n,) mean of its tokens, nats; NaN where the status is not ok
    states: NDArray[np.float32]  # (n, width) mean of the last hidden states; NaN likewise


def read_instructions(
    rows: Rows, longest: int, model: LikelihoodModel, engine: Engine
) -> Instructions:
    """Return state and NLL of every row's instruction.

    An instruction of more than `longest` tokens is read by its beginning.
    """
    tokenise = partial(_tokenise, longest)
    sequences = tokenised(rows, tokenise, ("instruction 3", longest), model, engine)
    status = sequences.columns["status"].astype(object)
    owners = np.flatnonzero(status == OK)
    width = model.width
    how = {"widths": 1 + width, "dtype": "float32"}
    work = sequences.work(rows, owners, model, _states, "instruction 3", **how)
    values = engine.run(work, len(sequences)).reshape(len(sequences), 1 + width)
    nll = np.full(len(rows), np.nan)
    states = np.full((len(rows), width), np.nan, dtype=np.float32)
    nll[owners], states[owners] = values[:, 0], values[:, 1:]
    status[owners[~np.isfinite(values).all(axis=1)]] = "non_finite"
    return Instructions(status, nll, states)


def _tokenise(longest: int, model: LikelihoodModel, rows: list[Row]) -> bytes:
    """Return the tokens of every instruction that has two and more."""
    block, status, first = Block(), [], model.encoder.first_token
    texts = ["" if row.flaw else instruction_text(row)[:LONGEST] for row in rows]
    for row, text, ids in zip(rows, texts, model.encoder.encode(texts), strict=True):
        whole = [*([] if first is None else [first]), *ids][:longest]
        if row.flaw or not text.strip():
            status.append(row.flaw or EMPTY)
        elif len(whole) < 2:
            status.append("too_short")
        else:
            # Where nothing opens the text, nothing predicts its first token.
            block.append(whole, [(1, len(whole))])
            status.append(OK)
    return block.packed(status=np.array(status, dtype=str))


def _states(model: LikelihoodModel, sequences: list[TokenSequence]) -> NDArray[np.float32]:
    lines = [
        np.concatenate(([float(nll.double().mean())], states.mean(0).numpy()))
        for states, nll in model.span_states(sequences)
    ]
    return np.array(lines, dtype=np.float32)
