"""A row as one vector of a causal language model: its last hidden states, later ones weigh more.

RDS+ (arXiv 2503.01807) compares rows by it. In place of an encoder of sentences: it takes texts
and gives vectors, so engine, journal and cache are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from curate.data.rows import Row
from curate.errors import ModelError
from curate.models.causal_lm import CausalLM, OpenedLM, open_lm
from curate.models.protocols import TokenSequence
from curate.models.recipe import with_recipe
from curate.models.row_templates import chat_messages
from curate.models.text_tokenizer import first_token

LONGEST = 2048  # tokens, as published; a longer row is read by its beginning
# Part of every fingerprint: a changed way of computing never continues an older journal.
_COMPUTATION = "states 1"


def load_hidden_states(
    name: str, dtype: str = "auto", trust_remote_code: bool = False, device: str = "auto"
) -> HiddenStates:
    model = HiddenStates(open_lm(name, dtype, trust_remote_code, device, computation=_COMPUTATION))
    return with_recipe(model, "states", name, trust_remote_code=trust_remote_code)


def weighted_mean(states: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return RDS+'s vector of a text, of length 1: sum of h_i * i / (1 + … + L) (arXiv 2503.01807).

    Args:
        states: (L, width) h, the last hidden states of its tokens.

    Example:
        >>> weighted_mean(np.array([[3, 0], [0, 2]]))  # [1, 4 / 3] divided by its length
        array([0.6, 0.8], dtype=float32)
    """
    weights = np.arange(1, len(states) + 1) / (len(states) * (len(states) + 1) / 2)
    mean = weights @ states.astype(np.float64)
    vector: NDArray[np.float32] = (mean / np.linalg.norm(mean)).astype(np.float32)
    return vector


class HiddenStates(CausalLM):
    def __init__(self, opened: OpenedLM) -> None:
        super().__init__(opened)
        self.origin = self.fingerprint
        self.dimensions = self.width
        self._longest = min(LONGEST, self.max_positions)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in self._ids(texts)]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        states = self.states([TokenSequence(tuple(ids), ()) for ids in self._ids(texts)])
        return np.array([weighted_mean(each.numpy()) for each in states], dtype=np.float32)

    def text_of(self, row: Row, answered: bool) -> str:
        """Return a row in the model's chat template, or what is asked of it up to the answer.

        Where the model has no template, what is said, a line each. ModelError where it refuses.
        """
        encoder, messages = self.encoder, chat_messages(row)
        while messages and not answered and messages[-1]["role"] == "assistant":
            messages.pop()
        if encoder.has_chat_template:
            return encoder.render(messages, not answered)
        return "\n".join(message["content"] for message in messages)

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        pairs = zip(texts, self.encoder.encode(texts), strict=True)
        ids = [[*first_token(self.encoder, text), *ids][: self._longest] for text, ids in pairs]
        if not all(ids):
            raise ModelError(f"the tokenizer of {self.name} makes no token of a text; take another")
        return ids
