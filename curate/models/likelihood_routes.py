"""Ways from token ids to likelihoods, and the choice of the fastest that is right.

`selected` computes logits only where they are wanted, and a start that all sequences have in common
once; `whole` asks transformers for all logits. The second is slow, and right for every
architecture; whatever is chosen has agreed with it on a probe, in float32 on the same weights: so
rounding decides nothing, and machines with the same fingerprint compute in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from curate.errors import ModelError
from curate.system.cache import kept_bytes

Nll = Callable[[Tensor, Tensor, Tensor], Tensor]

_PROBE = "24 tokens 1"  # part of the key: a changed probe or way never takes older answers
_SHARED, _WHOLE = {b"shared": True, b"apart": False}, b"whole"
_PROBE_LENGTH = 24
_LEAST_SHARED = 0.4  # of the longest sequence
_SHARED_STEP = 8  # tokens; a common start has a multiple of these
# Nats. In bfloat16, which keeps 8 bits, rounding is off by tenths, and a wrong formula by nats.
_EXACT, _ROUGH = 1e-3, 0.25
_MOST_LOGITS = 1 << 26  # that `whole` holds at once: 256 MB in float32
_VOCABULARY_TILE = 2048
_POSITIONS = 256
# oneDNN keeps a program for every number of rows that it meets: in steps there are few of them.
_POSITION_STEP = 16
_BITS = 1 / math.log(2)  # in a nat
_NEAR_OVERFLOW = 80.0  # nats; exp(88) is the end of float32


@dataclass(frozen=True)
class Route:
    name: str  # `selected` or `whole`
    # From ids (batch, length), places and targets (n,) to nats (n,). A place counts through the
    # flattened ids; the target is the token that should follow it.
    nll: Nll
    vocabulary: int  # ids below this have an embedding
    selected: Selected | None = None  # gives hidden states, too


def choose_route(model: Any, name: str, computed_by: str = "") -> Route:
    """Return the fastest way that agrees with the model's own logits on a probe.

    The answer takes seconds and is always the same: it is kept for the weights, dtype, device and
    libraries that `computed_by` stands for, if given.
    """

    def judged() -> bytes:
        probe = _Probe(model)
        probe.check_causal(name)
        return next((way for way, shared in _SHARED.items() if probe.accepted(shared)), _WHOLE)

    key = [_PROBE, computed_by]
    way = kept_bytes("routes", "a way to likelihoods", key, judged) if computed_by else judged()
    vocabulary = _vocabulary(model)
    if way in _SHARED and (selected := _selected(model, _SHARED[way], model.dtype)):
        return Route("selected", selected, vocabulary, selected)
    return Route("whole", partial(_whole, model), vocabulary)


def _vocabulary(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])


class _Probe:
    """Two short sequences with a common start, and what the model itself makes of them."""

    def __init__(self, model: Any) -> None:
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

    def accepted(self, shared: bool) -> bool:
        """Tell whether the selected way computes what the model does."""
        try:
            judged = _selected(self.model, shared, self.dtype)
            selected = _selected(self.model, shared, self.model.dtype)
            if judged is None or selected is None:
                return False
            worst = (self._computed(judged, self.ids) - self.expected).abs().max()
            selected(self.ids, self.places, self.targets)  # has to work in its own dtype, too
        except (RuntimeError, AttributeError, TypeError, ValueError, IndexError):
            return False  # an architecture that it was not made for
        return bool(worst <= self.tolerance)


@contextmanager
def _computing_in(dtype: Any, model: Any) -> Iterator[None]:
    """Compute in float32 if dtype is that; a module's weights are cast, exactly, while it runs."""
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
    batch, length = ids.shape
    lines = max(1, _MOST_LOGITS // (length * _vocabulary(model)))
    nll = torch.empty(len(places))
    for start in range(0, batch, lines):
        here = (places >= start * length) & (places < (start + lines) * length)
        some = ids[start : start + lines].to(model.device)
        logits = model(input_ids=some, use_cache=False).logits.flatten(0, 1)
        picked = logits[(places[here] - start * length).to(logits.device)].float()
        wanted = targets[here].to(logits.device)
        nll[here] = functional.cross_entropy(picked, wanted, reduction="none").cpu()
    return nll


@dataclass(frozen=True)
class Selected:
    """Hidden states, then logits only where they are wanted."""

    body: Any
    head: TiledHead
    device: Any
    shared: bool

    def __call__(self, ids: Tensor, places: Tensor, targets: Tensor) -> Tensor:
        return self.states(ids, places, targets)[1]

    def states(self, ids: Tensor, places: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        states = self.hidden(ids)
        nll = self.head(states[places.to(self.device)], targets.to(self.device))
        return states, nll.cpu()

    def hidden(self, ids: Tensor) -> Tensor:
        ids = ids.to(self.device)
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


def _selected(model: Any, shared: bool, dtype: Any) -> Selected | None:
    output = model.get_output_embeddings()
    if output is None or model.base_model is model:
        return None
    bias = None if output.bias is None else output.bias.to(dtype)
    head = TiledHead(output.weight.to(dtype), bias, logit_rule(model.config))
    return Selected(model.base_model, head, model.device, shared)


@dataclass(frozen=True)
class LogitRule:
    """What a model does to its output embedding's products before the softmax."""

    scale: float = 1.0  # of every logit (Cohere's logit_scale, Granite's 1 / logits_scaling)
    cap: float | None = None  # logits x become cap * tanh(x / cap) (Gemma 2, arXiv 2408.00118)


def logit_rule(config: Any) -> LogitRule:
    config = getattr(config, "text_config", None) or config
    scale = float(getattr(config, "logit_scale", None) or 1.0)
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)
    return LogitRule(scale, getattr(config, "final_logit_softcapping", None))


class TiledHead:
    """Hidden states and targets to nats, by a (vocabulary, width) output embedding.

    A batch of 1,000 positions times a vocabulary of 250,880 (BLOOM) is 1 GB in float32. Only the
    positions that are scored are multiplied out, a tile of the vocabulary at a time, so that a tile
    stays in cache and memory depends on neither the rows nor the vocabulary.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, rule: LogitRule | None = None) -> None:
        self.weight, self.bias, self.rule = weight, bias, rule or LogitRule()
        starts = range(0, weight.shape[0], _VOCABULARY_TILE)
        self.tiles = [(start, weight[start : start + _VOCABULARY_TILE]) for start in starts]

    def __call__(self, hidden: Tensor, targets: Tensor) -> Tensor:
        count = len(targets)
        more = -count % _POSITION_STEP
        blocks = zip(
            functional.pad(hidden, (0, 0, 0, more)).split(_POSITIONS),
            functional.pad(targets, (0, more)).split(_POSITIONS),
            strict=True,
        )
        return torch.cat([self._positions(*block) for block in blocks])[:count]

    def _positions(self, hidden: Tensor, targets: Tensor) -> Tensor:
        # nll = log sum_v exp(logit_v - logit_target): with the target's own logit in float32 the
        # sum cannot fall below 1, and no pass for the maximum is needed unless nll nears 88.
        own = (hidden.float() * self.weight[targets].float()).sum(-1, keepdim=True)
        if self.bias is not None:
            own += self.bias[targets].float()[:, None]
        own = self._ruled(own)
        total = torch.zeros_like(own)
        for start, tile in self.tiles:
            bits = self._bits(hidden, start, tile, targets, own)
            total += bits.exp2_().sum(-1, keepdim=True)
        nll = total.log_()[:, 0]
        high = ~(nll < _NEAR_OVERFLOW)
        if bool(high.any()):
            some = hidden[high], targets[high], own[high]
            bits_of = (self._bits(some[0], start, tile, *some[1:]) for start, tile in self.tiles)
            parts = [torch.logsumexp(bits / _BITS, -1) for bits in bits_of]
            nll[high] = torch.logsumexp(torch.stack(parts), 0)
        return nll

    def _bits(
        self, hidden: Tensor, start: int, tile: Tensor, targets: Tensor, own: Tensor
    ) -> Tensor:
        """Return one tile's logits minus the target's (whose own is exactly 0), in float32 bits."""
        # torch's exp2 takes a third of the time of its exp.
        logits = functional.linear(hidden, tile).float()
        if self.bias is not None:
            logits += self.bias[start : start + logits.shape[1]].float()
        logits = self._ruled(logits)
        torch.add(own * -_BITS, logits, alpha=_BITS, out=logits)
        inside = (targets >= start) & (targets < start + logits.shape[1])
        rows = inside.nonzero()[:, 0]
        logits[rows, targets[rows] - start] = 0.0
        return logits

    def _ruled(self, logits: Tensor) -> Tensor:
        if self.rule.scale != 1.0:
            logits.mul_(self.rule.scale)
        if self.rule.cap is not None:
            logits.div_(self.rule.cap).tanh_().mul_(self.rule.cap)
        return logits
