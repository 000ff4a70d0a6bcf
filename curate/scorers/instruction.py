"""How a language model sees each instruction: its mean last hidden state, and its perplexity.

IFD's brief experience (arXiv 2308.12032, section 3.1) clusters the former and draws from the
middle of the latter; one pass gives both. It has to be the model that is to be trained: an
encoder's vectors say what a text is about, these say what is alike to this model. Deviation: the
instruction is read as it is, without the frame of a prompt, which is the same for every row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Rows
from curate.models.protocols import LikelihoodModel, TextEncoder, TokenSequence
from curate.scorers.contract import OK, Engine, Work
from curate.scorers.embedding import EMPTY, LONGEST, instruction_text
from curate.scorers.sequences import SequenceStore

_AT_A_TIME = 256
# Part of the fingerprint: a changed way of reading never continues an older journal.
_READING = "instruction 1"


class StateModel(LikelihoodModel, Protocol):
    """A LikelihoodModel that shows its last hidden states, too."""

    def span_states(self, batch: Sequence[TokenSequence]) -> list[tuple[Any, Any]]:
        """Return, for each sequence, (tokens, width) states and (tokens,) NLL of its spans."""


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
    rows: Rows, longest: int, model: StateModel, width: int, engine: Engine, scratch: Path
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
        owners = _tokenise(rows, longest, model.encoder, store, status)
        work = _work(store, model, width)
        values = engine.run(work, len(store)).reshape(len(store), 1 + width)
    nll = np.full(len(rows), np.nan)
    states = np.full((len(rows), width), np.nan, dtype=np.float32)
    nll[owners], states[owners] = values[:, 0], values[:, 1:]
    status[owners[~np.isfinite(values).all(axis=1)]] = "non_finite"
    return Instructions(status, nll, states)


def _tokenise(
    rows: Rows,
    longest: int,
    encoder: TextEncoder,
    store: SequenceStore,
    status: NDArray[np.object_],
) -> NDArray[np.int64]:
    """Store the tokens of every instruction that has two and more; return whose they are."""
    opening = [] if encoder.first_token is None else [encoder.first_token]
    owners = []
    each = iter(rows)
    while batch := list(islice(each, _AT_A_TIME)):
        texts = ["" if row.flaw else instruction_text(row)[:LONGEST] for row in batch]
        for row, text, ids in zip(batch, texts, encoder.encode(texts), strict=True):
            whole = [*opening, *ids][:longest]
            if row.flaw or not text.strip():
                status[row.position] = row.flaw or EMPTY
            elif len(whole) < 2:
                status[row.position] = "too_short"
            else:
                # Where nothing opens the text, nothing predicts its first token.
                store.append(whole, [(1, len(whole))])
                owners.append(row.position)
    return np.array(owners, dtype=np.int64)


def _work(store: SequenceStore, model: StateModel, width: int) -> Work:
    digest = store.seal()

    def compute(items: NDArray[np.int64]) -> NDArray[np.float32]:
        found = model.span_states([store.get(each) for each in items.tolist()])
        lines = [
            np.concatenate(([float(nll.double().mean())], states.mean(0).numpy()))
            for states, nll in found
        ]
        return np.array(lines, dtype=np.float32)

    mark = "|".join((_READING, model.fingerprint, digest))
    return Work(
        store.lengths(),
        np.full(len(store), 1 + width, dtype=np.int64),
        compute,
        hashlib.sha256(mark.encode()).hexdigest(),
        model.batch_tokens,
        model.workers,
        model.prepare,
        model.worker,
        dtype="float32",
    )
