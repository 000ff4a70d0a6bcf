"""How a language model sees each instruction: its mean last hidden state, and its perplexity.

IFD's brief experience (arXiv 2308.12032, section 3.1) clusters the former and draws from the
middle of the latter; one pass gives both. It has to be the model that is to be trained: an
encoder's vectors say what a text is about, these say what is alike to this model. Deviation: the
instruction is read as it is, without the frame of a prompt, which is the same for every row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Rows
from curate.models.protocols import LikelihoodModel, TokenSequence
from curate.scorers.contract import OK, Engine, Work, digest_of, in_batches
from curate.scorers.embedding import EMPTY, LONGEST, instruction_text
from curate.scorers.sequences import SequenceStore


@dataclass(frozen=True)
class Instructions:
    """What the model makes of every instruction, in input order.

    Attributes:
        status: (n,) `ok`, or why the row has no numbers.
        nll: (n,) mean NLL of the instruction's tokens, nats; NaN where the status is not ok.
        states: (n, width) float32 mean of the last hidden states; NaN likewise.
    """

    status: NDArray[np.object_]
    nll: NDArray[np.float64]
    states: NDArray[np.float32]


def read_instructions(
    rows: Rows, longest: int, model: LikelihoodModel, width: int, engine: Engine, scratch: Path
) -> Instructions:
    """Return state and perplexity of every row's instruction.

    Args:
        rows: What to read.
        longest: Tokens; a longer instruction is read by its beginning.
        model: Gives states and likelihoods.
        width: Numbers of its hidden states.
        engine: Runs the model over the rows.
        scratch: Folder for the tokens while the model runs.
    """
    status = np.full(len(rows), OK, dtype=object)
    with SequenceStore(scratch) as store:
        owners = _tokenise(rows, longest, model, store, status)
        work = Work(
            model=model,
            widths=1 + width,
            digest=digest_of("instruction 2", store.seal()),
            lengths=store.lengths(),
            take=store.take,
            answer=_states,
            dtype="float32",
        )
        values = engine.run(work, len(store)).reshape(len(store), 1 + width)
    nll = np.full(len(rows), np.nan)
    states = np.full((len(rows), width), np.nan, dtype=np.float32)
    nll[owners], states[owners] = values[:, 0], values[:, 1:]
    status[owners[~np.isfinite(values).all(axis=1)]] = "non_finite"
    return Instructions(status, nll, states)


def _tokenise(
    rows: Rows,
    longest: int,
    model: LikelihoodModel,
    store: SequenceStore,
    status: NDArray[np.object_],
) -> NDArray[np.int64]:
    """Store the tokens of every instruction that has two and more; return whose they are."""
    first = model.encoder.first_token
    owners = []
    for batch in in_batches(rows):
        texts = ["" if row.flaw else instruction_text(row)[:LONGEST] for row in batch]
        for row, text, ids in zip(batch, texts, model.encoder.encode(texts), strict=True):
            whole = [*([] if first is None else [first]), *ids][:longest]
            if row.flaw or not text.strip():
                status[row.position] = row.flaw or EMPTY
            elif len(whole) < 2:
                status[row.position] = "too_short"
            else:
                # Where nothing opens the text, nothing predicts its first token.
                store.append(whole, [(1, len(whole))])
                owners.append(row.position)
    return np.array(owners, dtype=np.int64)


def _states(model: LikelihoodModel, sequences: list[TokenSequence]) -> NDArray[np.float32]:
    lines = [
        np.concatenate(([float(nll.double().mean())], states.mean(0).numpy()))
        for states, nll in model.span_states(sequences)
    ]
    return np.array(lines, dtype=np.float32)
