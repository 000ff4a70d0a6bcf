"""What a scorer may ask of a model; anything that has these methods will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curate.models.causal_lm import CausalLM
    from curate.models.recipe import ModelRecipe
    from curate.models.text_tokenizer import HFEncoder


@dataclass(frozen=True)
class TokenSequence:
    """One sequence of token ids and the stretches of it whose likelihood is wanted."""

    ids: tuple[int, ...]  # beginning with whatever the model needs first (BOS)
    # Half-open ranges into ids, in order; nothing stands before the first token to predict it.
    spans: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        for start, end in self.spans:
            if not 1 <= start < end <= len(self.ids):
                raise ValueError(f"span ({start}, {end}) does not lie in 1..{len(self.ids)}")


@dataclass(frozen=True)
class TokenCounter:
    """What counts tokens (`--tokenizer`)."""

    name: str  # what the user called the model; of a folder its last part
    fingerprint: str  # sha256 of the tokenizer's files
    encode: Callable[[list[str]], Sequence[Sized]]  # without special tokens

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, without special ones."""
        return [len(tokens) for tokens in self.encode(list(texts))]


class Model(Protocol):
    """What every model has; all of it is there before the weights are.

    A scorer that finds all its numbers in a journal never calls prepare(), and never waits for it.
    """

    name: str  # what the user called it
    fingerprint: str  # sha256 over all that decides its numbers, dtype and device kind included
    recipe: ModelRecipe  # loads it elsewhere; it pickles
    device: str  # `cpu` or `cuda`; '' for a model that a server has
    threads: int  # cores that one batch is computed on: bfloat16 sums depend on it
    batch_tokens: int  # padded length that one batch may hold, in the unit of the items' lengths
    workers: int  # how many batches are computed side by side

    def prepare(self) -> object:
        """Load the weights, before the first batch; again, from any thread, it does nothing.

        Raises:
            ModelError: The weights are corrupt, too large, or want to run code of their own.
        """

    def worker(self) -> AbstractContextManager[Any]:
        """Return a context in which one worker thread computes."""


# The part of a tokenizer that templates and scorers use, and what gives the likelihood of tokens.
TextEncoder: TypeAlias = "HFEncoder"
LikelihoodModel: TypeAlias = "CausalLM"


class EmbeddingModel(Model, Protocol):
    """A model that gives one vector for a text (`--encoder`)."""

    # Fingerprint without the device: what was learned from vectors of one device may be used with
    # those of another.
    origin: str

    @property
    def dimensions(self) -> int:
        """Numbers of a vector."""

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return how long each text is, in a unit that computing time grows with."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors, (texts, dimensions)."""


class RewardModel(Model, Protocol):
    """A model that says how good a response to a prompt is (`--reward`, `--ranker`)."""

    def lengths(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """Return how long each pair is, in a unit that computing time grows with."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return one number for each prompt and response; higher for a better response."""


Message = Mapping[str, str]
STOPPED, CUT, TOO_LONG, FILTERED = "stop", "length", "prompt_too_long", "content_filter"


@dataclass(frozen=True)
class Reply:
    """What a model answered, and why it ended there."""

    text: str  # without special tokens and surrounding white space; '' is an answer, too
    # `stop` (the model ended it), `length` (it was cut off after max_new_tokens), `prompt_too_long`
    # (nothing was asked: prompt and answer do not fit into the model), or `content_filter` (a
    # server would not let the model be asked, or answer).
    end: str = STOPPED

    @property
    def given(self) -> bool:
        """Whether the model has answered, be it nothing."""
        return self.end in (STOPPED, CUT)


class Generator(Model, Protocol):
    """A model that answers, always with the most likely token (`--responder`)."""

    def lengths(self, conversations: Sequence[Sequence[Message]]) -> list[int]:
        """Return the tokens of each prompt, or what comes near them where they are not known."""

    def replies(
        self, conversations: Sequence[Sequence[Message]], max_new_tokens: int
    ) -> list[Reply]:
        """Return a reply to each conversation, in their order."""
