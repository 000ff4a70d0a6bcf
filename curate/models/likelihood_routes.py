"""Ways from token ids to likelihoods, and the choice of the fastest that is right.

`selected` computes logits only where they are wanted, and a start that all sequences have in common
once; `whole` asks transformers for all logits. The second is slow, and right for every
architecture; whatever is chosen has agreed with it on a probe.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.errors import ModelError
from curate.models.architecture import logit_rule
from curate.models.lm_head import TiledHead

if TYPE_CHECKING:
    from torch import Tensor

    Nll = Callable[[Tensor, Tensor, Tensor], Tensor]
    States = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    Hidden = Callable[[Tensor], Tensor]

_PROBE_LENGTH = 24
_LEAST_SHARED = 0.4  # of the longest sequence
_SHARED_STEP = 8  # tokens; a common start has a multiple of these
# bfloat16 keeps 8 bits: a wrong formula is off by nats, rounding by hundredths.
_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.25}
_MOST_LOGITS = 1 << 26  # that `whole` holds at once: 256 MB in float32


@dataclass(frozen=True)
class Route:
    """A way to compute.

    Attributes:
        name: `selected` or `whole`.
        nll: From ids (batch, length), places and targets (n,) to nats (n,). A place counts
            through the flattened ids; the target is the token that should follow it.
        vocabulary: Ids below this have an embedding.
        states: As nll, and before it the final hidden states, one line a position; None where
            only likelihoods can be had.
    """

    name: str
    nll: Nll
    vocabulary: int
    states: States | None = None


def choose_route(model: Any, name: str) -> Route:
    """Return the fastest way that agrees with the model's own logits on a probe.

    Args:
        model: Of transformers, in evaluation mode.
        name: The model's name, for messages.

    Raises:
        ModelError: The model lets tokens see what comes after them.
    """
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    probe = _Probe(model, vocabulary)
    probe.check_causal(model, name)
    for shared in (True, False):
        if nll := probe.accepted(_selected, model, shared):
            return Route("selected", nll, vocabulary, nll.states)
    return Route("whole", _Whole(model), vocabulary)


class _Probe:
    """Two short sequences with a common start, and what the model itself makes of them."""

    def __init__(self, model: Any, vocabulary: int) -> None:
        import torch

        self.ids = (torch.arange(2 * _PROBE_LENGTH) * 37 % vocabulary).view(2, -1)
        self.ids[1, : 2 * _SHARED_STEP] = self.ids[0, : 2 * _SHARED_STEP]
        self.places = torch.tensor(
            [line * _PROBE_LENGTH + at for line in (0, 1) for at in range(_PROBE_LENGTH - 1)]
        )
        self.targets = self.ids.view(-1)[self.places + 1]
        self.tolerance = _TOLERANCE.get(str(model.dtype).removeprefix("torch."), 0.25)
        self.expected = _Whole(model)(self.ids, self.places, self.targets)

    def check_causal(self, model: Any, name: str) -> None:
        """Raise if another last token changes the likelihood of those before it."""
        ids = self.ids.clone()
        ids[:, -1] = ids[:, 0]
        earlier = self.places % _PROBE_LENGTH < _PROBE_LENGTH - 2
        seen = _Whole(model)(ids, self.places, self.targets)[earlier]
        if bool(((seen - self.expected[earlier]).abs() > self.tolerance).any()):
            raise ModelError(
                f"model '{name}' is not causal: its tokens see what comes after them, so it gives "
                "no likelihoods. Give a model made for text generation."
            )

    def accepted(
        self, build: Callable[[Any, bool], _Selected | None], model: Any, shared: bool
    ) -> _Selected | None:
        """Return what build makes of the model if it computes what the model does."""
        try:
            nll = build(model, shared)
            if nll is None:
                return None
            given = nll(self.ids, self.places, self.targets)
        except (RuntimeError, AttributeError, TypeError, ValueError, IndexError):
            # An architecture this way was not made for.
            return None
        worst = (given - self.expected).abs().max()
        return nll if bool(worst <= self.tolerance) else None


class _Whole:
    """All logits, as the model gives them: slow, large, and right for every architecture."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, ids: Tensor, places: Tensor, targets: Tensor) -> Tensor:
        import torch

        batch, length = ids.shape
        lines = max(1, _MOST_LOGITS // (length * self.model.get_input_embeddings().weight.shape[0]))
        nll = torch.empty(len(places))
        for start in range(0, batch, lines):
            here = (places >= start * length) & (places < (start + lines) * length)
            some = ids[start : start + lines].to(self.model.device)
            logits = self.model(input_ids=some, use_cache=False).logits
            picked = logits.flatten(0, 1)[(places[here] - start * length).to(logits.device)]
            wanted = targets[here].to(logits.device)
            some_nll = torch.nn.functional.cross_entropy(picked.float(), wanted, reduction="none")
            nll[here] = some_nll.cpu()
        return nll


class _Selected:
    """Hidden states, then logits only where they are wanted."""

    def __init__(self, hidden: Hidden, head: TiledHead, device: Any) -> None:
        self.hidden = hidden
        self.head = head
        self.device = device

    def __call__(self, ids: Tensor, places: Tensor, targets: Tensor) -> Tensor:
        return self.states(ids, places, targets)[1]

    def states(self, ids: Tensor, places: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        states = self.hidden(ids.to(self.device))
        nll = self.head(states[places.to(self.device)], targets.to(self.device))
        return states, nll.cpu()


def _base_hidden(model: Any, shared: bool) -> Hidden:
    body = model.base_model

    def hidden(ids: Tensor) -> Tensor:
        import torch

        batch = len(ids)
        start = _common_start(ids) if shared else 0
        if not start:
            states: Tensor = body(input_ids=ids, use_cache=False).last_hidden_state
            return states.flatten(0, 1)
        first = body(input_ids=ids[:1, :start], use_cache=True)
        cache = first.past_key_values
        cache.batch_repeat_interleave(batch)
        rest = body(input_ids=ids[:, start:], past_key_values=cache, use_cache=True)
        first_states = first.last_hidden_state.expand(batch, -1, -1)
        return torch.cat((first_states, rest.last_hidden_state), 1).flatten(0, 1)

    return hidden


def _common_start(ids: Tensor) -> int:
    """Return how many tokens all sequences begin with, such as those of a system prompt."""
    if len(ids) == 1:
        return 0
    same = int((ids == ids[:1]).all(0).cumprod(0)[:-1].sum())
    # Attention to a cache is slower: a short start would cost more than it saves.
    return same - same % _SHARED_STEP if same >= _LEAST_SHARED * ids.shape[1] else 0


def _selected(model: Any, shared: bool) -> _Selected | None:
    output = model.get_output_embeddings()
    if output is None or model.base_model is model:
        return None
    head = TiledHead(output.weight, output.bias, logit_rule(model.config))
    return _Selected(_base_hidden(model, shared), head, model.device)
