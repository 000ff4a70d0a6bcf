"""The forward pass of Llama-shaped models on CPU, with as little besides the GEMMs as can be.

Same mathematics as transformers' LlamaModel and Qwen2Model (a test compares them), arranged for
few cores: weights packed for oneDNN, q, k and v in one product, SwiGLU fused into the products,
norm weights folded into the matrix that follows, attention in blocks of queries that stay in
cache. What the layers add up to is kept in float32 also for bfloat16: it costs no time and halves
the error. Batches are padded on the right, so causality alone keeps padding out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from curate.models.architecture import rope_parameters
from curate.models.attention import CausalAttention, query_scale
from curate.models.linear import linear, linear_with, pack, stepped

_SHARED_STEP = 8
_FAMILIES = {"llama", "mistral", "qwen2"}
# The others change their angles with the length at hand, in a buffer that all threads share.
_FIXED_ROPES = {"default", "linear", "llama3", "yarn"}


Turn = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class _Layout:
    """Which positions of a batch are computed, each a line.

    The start that all sequences have in common, such as a system prompt, is computed once: its
    lines come first, then what follows it in the first sequence, the second, and so on.
    """

    batch: int
    length: int
    shared: int

    @property
    def lines(self) -> int:
        return self.shared + self.batch * (self.length - self.shared)

    def lined(self, padded: Tensor) -> Tensor:
        """Return the lines of (batch, length or more, ...)."""
        rest = padded[:, self.shared : self.length].flatten(0, 1)
        return torch.cat((padded[0, : self.shared], rest))

    def padded(self, lines: Tensor, target: Tensor, turn: Turn | None = None) -> None:
        """Write lines to (batch, length or more, ...), turned by rotary angles if given."""
        first = lines[None, : self.shared]
        rest = lines[self.shared :].unflatten(0, (self.batch, -1))
        start, end = target[:1, : self.shared], target[:, self.shared : self.length]
        if turn is None:
            start.copy_(first)
            end.copy_(rest)
        else:
            cos, sin = turn
            _rotate(first, start, (cos[: self.shared], sin[: self.shared]))
            _rotate(rest, end, (cos[self.shared :], sin[self.shared :]))
        if self.shared:
            target[1:, : self.shared] = start


def _layout(ids: Tensor) -> _Layout:
    batch, length = ids.shape
    same = (ids == ids[:1]).all(0)
    shared = int(same.cumprod(0)[:-1].sum()) if batch > 1 else 0
    return _Layout(batch, length, shared - shared % _SHARED_STEP)


@dataclass(frozen=True)
class _Layer:
    qkv: Tensor
    qkv_bias: Tensor | None
    out: Tensor
    out_bias: Tensor | None
    gate: Tensor
    up: Tensor
    down: Tensor


def fits(config: Any) -> bool:
    """Return whether a transformers config describes a model that LlamaForward computes.

    Args:
        config: A transformers PretrainedConfig.
    """
    sliding = getattr(config, "use_sliding_window", config.model_type == "mistral") and getattr(
        config, "sliding_window", None
    )
    return (
        config.model_type in _FAMILIES
        and config.hidden_act == "silu"
        and not sliding
        and rope_parameters(config).get("rope_type", "default") in _FIXED_ROPES
        and not getattr(config, "mlp_bias", False)
    )


class LlamaForward:
    """Callable: padded token ids (batch, length) to final hidden states (batch * length, width).

    Args:
        model: A transformers Llama, Mistral or Qwen2 causal LM on the CPU, float32 or bfloat16;
            its layers are taken out one by one as they are packed.
    """

    def __init__(self, model: Any) -> None:
        config, body = model.config, model.model
        self.heads: int = config.num_attention_heads
        self.groups: int = config.num_key_value_heads
        self.width: int = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.eps: float = config.rms_norm_eps
        self.embedding: Tensor = body.embed_tokens.weight
        self.rotary = body.rotary_emb
        self.final_norm: Tensor = body.norm.weight
        self.layers = []
        while len(body.layers):
            self.layers.append(_pack_layer(body.layers[0]))
            del body.layers[0]  # or the weights would be in memory twice

    def __call__(self, ids: Tensor) -> Tensor:
        """Return final hidden states, one line a position.

        Args:
            ids: (batch, length), padded on the right with any id.
        """
        layout = _layout(ids)
        rows, length, dtype = layout.lines, layout.length, self.embedding.dtype
        heads, groups, width = self.heads, self.groups, self.width
        x = functional.embedding(layout.lined(ids), self.embedding)
        x = functional.pad(x, (0, 0, 0, stepped(rows) - rows))
        turn_q, turn_k = self._rotations(x, length)
        shape = (layout.batch, groups, length, heads // groups, width)
        attention = CausalAttention(shape, layout.shared, dtype)
        mixed = x.new_zeros(len(x), heads * width)
        x = x.float()
        for layer in self.layers:
            normed = _rms_norm(x, self.eps, dtype)
            qkv = linear(normed, layer.qkv, layer.qkv_bias)[:rows].unflatten(-1, (-1, width))
            asked, keys, values = qkv.split((heads, groups, groups), 1)
            layout.padded(asked.unflatten(1, (groups, -1)), attention.q.transpose(1, 2), turn_q)
            layout.padded(keys, attention.k.transpose(1, 2), turn_k)
            layout.padded(values, attention.v.transpose(1, 2))
            attention(mixed[:rows])
            x = _added(x, mixed, layer.out, layer.out_bias)
            normed = _rms_norm(x, self.eps, dtype)
            gated = linear(normed, layer.gate, then="swish")
            gated = linear_with(normed, gated, layer.up, None, "mul")
            x = _added(x, gated, layer.down)
        last = _rms_norm(x[:rows], self.eps, dtype) * self.final_norm
        states = last.new_empty(layout.batch, length, last.shape[-1])
        layout.padded(last, states)
        return states.flatten(0, 1)

    def _rotations(self, x: Tensor, length: int) -> tuple[tuple[Tensor, Tensor], ...]:
        cos, sin = self.rotary(x[:1], torch.arange(length)[None])
        half = self.width // 2
        cos, sin = (t[0, :, None, :half] for t in (cos, sin))  # (length, 1, half)
        # The scale of attention is put into the queries' rotation, where it costs nothing.
        scale = query_scale(self.width)
        return (cos[:, None] * scale, sin[:, None] * scale), (cos, sin)


def _pack_layer(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    # (W diag(g)) x̂ = W (g * x̂): folding costs one rounding of the weight in its own dtype.
    before, after = layer.input_layernorm.weight, layer.post_attention_layernorm.weight
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    bias = None if parts[0].bias is None else torch.cat([p.bias for p in parts]).detach()
    return _Layer(
        qkv=pack(torch.cat([p.weight for p in parts]) * before),
        qkv_bias=bias,
        out=pack(attention.o_proj.weight),
        out_bias=attention.o_proj.bias,
        gate=pack(mlp.gate_proj.weight * after),
        up=pack(mlp.up_proj.weight * after),
        down=pack(mlp.down_proj.weight),
    )


def _added(total: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return total + x W; total is float32 and may be changed."""
    if x.dtype == total.dtype:
        return linear_with(x, total, weight, bias, "add")
    return total.add_(linear(x, weight, bias))


def _rms_norm(x: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    scale = scale.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
    return (x * scale).to(dtype)


def _rotate(source: Tensor, target: Tensor, turn: Turn) -> None:
    """Write rotary(source) to target, both (b, s, ..., d); halves are (first, second)."""
    cos, sin = turn
    half = source.shape[-1] // 2
    first, second = source[..., :half], source[..., half:]
    torch.mul(first, cos, out=target[..., :half])
    target[..., :half].addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=target[..., half:])
    target[..., half:].addcmul_(first, sin)
