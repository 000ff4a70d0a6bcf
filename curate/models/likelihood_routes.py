"""Ways from token ids to likelihoods, and the choice of the fastest that is right.

`selected` computes logits only where they are wanted, and a start that all sequences have in common
once; `whole` asks transformers for all logits. The second is slow, and right for every
architecture; whatever is chosen has agreed with it on a probe, in float32 on the same weights: so
rounding decides nothing, and machines with the same fingerprint compute in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from curate.errors import ModelError
from curate.models.architecture import logit_rule
from curate.models.lm_head import TiledHead

if TYPE_CHECKING:
    from torch import Tensor

    Nll = Callable[[Tensor, Tensor, Tensor], Tensor]
    States = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

_PROBE_LENGTH = 24
_LEAST_SHARED = 0.4  # of the longest sequence
_SHARED_STEP = 8  # tokens; a common start has a multiple of these
# Nats. In bfloat16, which keeps 8 bits, rounding is off by tenths, and a wrong formula by nats.
_EXACT, _ROUGH = 1e-3, 0.25
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
    """Return the fastest way that agrees with the model's own logits on a probe."""
    vocabulary = _vocabulary(model)
    probe = _Probe(model)
    probe.check_causal(name)
    for shared in (True, False):
        if selected := probe.accepted(shared):
            return Route("selected", selected, vocabulary, selected.states)
    return Route("whole", partial(_whole, model), vocabulary)


def _vocabulary(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])


class _Probe:
    """Two short sequences with a common start, and what the model itself makes of them."""

    def __init__(self, model: Any) -> None:
        import torch

        self.model = model
        self.ids = (torch.arange(2 * _PROBE_LENGTH) * 37 % _vocabulary(model)).view(2, -1)
        self.ids[1, : 2 * _SHARED_STEP] = self.ids[0, : 2 * _SHARED_STEP]
        places = torch.arange(2 * _PROBE_LENGTH)
        self.places = places[places % _PROBE_LENGTH < _PROBE_LENGTH - 1]
        self.targets = self.ids.view(-1)[self.places + 1]
        self.dtype, self.tolerance = torch.float32, _EXACT
        try:
            self.expected = self._computed(partial(_whole, model), self.ids)
        except RuntimeError:  # it casts to the dtype of weights that another module has
            self.dtype, self.tolerance = model.dtype, _ROUGH
            self.expected = self._computed(partial(_whole, model), self.ids)

    def _computed(self, nll: Nll, ids: Tensor) -> Tensor:
        with _computing_in(self.dtype, self.model):
            return nll(ids, self.places, self.targets)

    def check_causal(self, name: str) -> None:
        """Raise if another last token changes the likelihood of those before it."""
        ids = self.ids.clone()
        ids[:, -1] = ids[:, 0]
        earlier = self.places % _PROBE_LENGTH < _PROBE_LENGTH - 2
        changed = self._computed(partial(_whole, self.model), ids) - self.expected
        if bool((changed[earlier].abs() > self.tolerance).any()):
            raise ModelError(
                f"model '{name}' is not causal: its tokens see what comes after them, so it gives "
                "no likelihoods. Give a model made for text generation."
            )

    def accepted(self, shared: bool) -> _Selected | None:
        """Return the selected way if it computes what the model does."""
        try:
            judged = _selected(self.model, shared, self.dtype)
            selected = _selected(self.model, shared, self.model.dtype)
            if judged is None or selected is None:
                return None
            worst = (self._computed(judged, self.ids) - self.expected).abs().max()
            selected(self.ids, self.places, self.targets)  # has to work in its own dtype, too
        except (RuntimeError, AttributeError, TypeError, ValueError, IndexError):
            return None  # an architecture that it was not made for
        return selected if bool(worst <= self.tolerance) else None


@contextmanager
def _computing_in(dtype: Any, model: Any) -> Iterator[None]:
    """Compute in float32 if dtype is that; a module's weights are cast, exactly, while it runs."""
    import torch

    handles = []
    narrow = (torch.bfloat16, torch.float16) if dtype == torch.float32 else ()
    for module in model.modules():
        for weight in module.parameters(recurse=False):
            if weight.dtype in narrow:
                cast, back = partial(_cast, weight, dtype), partial(_cast, weight, weight.dtype)
                handles.append(module.register_forward_pre_hook(cast))
                handles.append(module.register_forward_hook(back, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _cast(weight: Tensor, dtype: Any, *_: Any) -> None:
    weight.data = weight.data.to(dtype)


def _whole(model: Any, ids: Tensor, places: Tensor, targets: Tensor) -> Tensor:
    """Return nats from all logits, a few lines at a time."""
    import torch

    batch, length = ids.shape
    lines = max(1, _MOST_LOGITS // (length * _vocabulary(model)))
    nll = torch.empty(len(places))
    for start in range(0, batch, lines):
        here = (places >= start * length) & (places < (start + lines) * length)
        some = ids[start : start + lines].to(model.device)
        logits = model(input_ids=some, use_cache=False).logits.flatten(0, 1)
        picked = logits[(places[here] - start * length).to(logits.device)].float()
        wanted = targets[here].to(logits.device)
        nll[here] = torch.nn.functional.cross_entropy(picked, wanted, reduction="none").cpu()
    return nll


@dataclass(frozen=True)
class _Selected:
    """Hidden states, then logits only where they are wanted."""

    body: Any
    head: TiledHead
    device: Any
    shared: bool

    def __call__(self, ids: Tensor, places: Tensor, targets: Tensor) -> Tensor:
        return self.states(ids, places, targets)[1]

    def states(self, ids: Tensor, places: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        states = self.hidden(ids.to(self.device))
        nll = self.head(states[places.to(self.device)], targets.to(self.device))
        return states, nll.cpu()

    def hidden(self, ids: Tensor) -> Tensor:
        """Return the final hidden states, (positions, width)."""
        import torch

        start = _common_start(ids) if self.shared else 0
        if not start:
            states: Tensor = self.body(input_ids=ids, use_cache=False).last_hidden_state
            return states.flatten(0, 1)
        first = self.body(input_ids=ids[:1, :start], use_cache=True)
        cache = first.past_key_values
        cache.batch_repeat_interleave(len(ids))
        rest = self.body(input_ids=ids[:, start:], past_key_values=cache, use_cache=True)
        first_states = first.last_hidden_state.expand(len(ids), -1, -1)
        return torch.cat((first_states, rest.last_hidden_state), 1).flatten(0, 1)


def _common_start(ids: Tensor) -> int:
    """Return how many tokens all sequences begin with, such as those of a system prompt."""
    if len(ids) == 1:
        return 0
    same = int((ids == ids[:1]).all(0).cumprod(0)[:-1].sum())
    # Attention to a cache is slower: a short start would cost more than it saves.
    return same - same % _SHARED_STEP if same >= _LEAST_SHARED * ids.shape[1] else 0


def _selected(model: Any, shared: bool, dtype: Any) -> _Selected | None:
    output = model.get_output_embeddings()
    if output is None or model.base_model is model:
        return None
    bias = None if output.bias is None else output.bias.to(dtype)
    head = TiledHead(output.weight.to(dtype), bias, logit_rule(model.config))
    return _Selected(model.base_model, head, model.device, shared)
