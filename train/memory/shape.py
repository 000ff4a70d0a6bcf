"""The numbers of a model's config.json that decide how much memory it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curate.errors import ModelError

_NAMES = {
    "hidden": ("hidden_size", "n_embed", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "heads": ("num_attention_heads", "n_head"),
    "vocabulary": ("padded_vocab_size", "vocab_size"),
}
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
# Whose attention adds biases to queries, keys and values but not to what follows.
_QKV_BIAS = ("qwen2", "chatglm")
_TIED = ("gemma", "gemma2", "gemma3", "gemma3_text")
# Whose queries, keys and values are one matrix, by the name of it.
_PACKED = {"baichuan": "W_pack", "phi3": "qkv_proj"}


@dataclass(frozen=True)
class ModelShape:
    """A causal language model, as far as memory is concerned.

    Attributes:
        name: What to call it.
        kind: `model_type` of its config.
        vocabulary: V, tokens the head has a logit for.
        hidden: h, width between layers.
        inner: m, width inside a layer's inner part.
        layers: L.
        heads: a.
        kv_heads: Heads with keys of their own; a, if there is no sharing.
        head_width: d.
        gated: Whether the inner part has a gate.
        tied: Whether the head is the embedding.
        matrices: Name, d_in and d_out of each linear module of one layer.
        parameters: P, all of them.
    """

    name: str
    kind: str
    vocabulary: int
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    gated: bool
    tied: bool
    matrices: tuple[tuple[str, int, int], ...]
    parameters: int

    @property
    def embedding(self) -> int:
        """Parameters of the embedding and, where it is another matrix, of the head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def linear(self) -> int:
        """Parameters of the layers, of which nearly all are matrices that can be quantised."""
        return self.parameters - self.embedding


def shape_of(config: Mapping[str, Any], name: str) -> ModelShape:
    """Read the shape from a parsed config.json; nothing is loaded.

    Example:
        >>> shape_of(json.load(open("bloomz-7b1/config.json")), "bloomz-7b1").parameters
        7069016064
    """
    config = {**config, **(config.get("text_config") or {})}
    if any((config.get(key) or 0) > 1 for key in _EXPERTS):
        raise ModelError(
            f"{name} is a mixture of experts, for which there are no formulas here; "
            "--params with the number of all its parameters gives its weights, gradients and "
            "optimiser"
        )
    kind = str(config.get("model_type", ""))
    hidden, layers, heads = (_number(config, key, name) for key in ("hidden", "layers", "heads"))
    width = int(config.get("head_dim") or config.get("kv_channels") or hidden // heads)
    shared = config.get("num_key_value_heads") or config.get("multi_query_group_num") or heads
    gated = kind not in ("bloom", "gpt2", "gpt_neox", "opt")
    inner = int(config.get("intermediate_size") or config.get("ffn_hidden_size") or _inner(config))
    inner = inner or 4 * hidden
    tied = bool(config.get("tie_word_embeddings", kind in ("bloom", "gpt2", *_TIED)))
    matrices = _matrices(kind, hidden, inner, heads * width, int(shared) * width)
    vocabulary = _number(config, "vocabulary", name)
    rest = layers * (sum(a * b for _, a, b in matrices) + _small(kind, hidden, matrices))
    total = vocabulary * hidden * (1 if tied else 2) + rest + _outside(kind, hidden, config)
    return ModelShape(
        name, kind, vocabulary, hidden, inner, layers, heads, int(shared), width, gated, tied,
        matrices, total,
    )  # fmt: skip


def _number(config: Mapping[str, Any], what: str, name: str) -> int:
    for key in _NAMES[what]:
        value = config.get(key)
        if isinstance(value, int) and value > 0:
            return value
    raise ModelError(
        f"the config of {name} says nothing of {' or '.join(_NAMES[what])}; "
        "--params with the number of its parameters will do"
    )


def _inner(config: Mapping[str, Any]) -> int:
    return int(config.get("n_inner") or 0)


def _matrices(
    kind: str, hidden: int, inner: int, queries: int, keys: int
) -> tuple[tuple[str, int, int], ...]:
    """Return name, d_in and d_out of a layer's linear modules, under their own names."""
    packed = queries + 2 * keys
    if kind in ("bloom", "gpt_neox"):
        return (
            ("query_key_value", hidden, packed),
            ("dense", queries, hidden),
            ("dense_h_to_4h", hidden, inner),
            ("dense_4h_to_h", inner, hidden),
        )
    if kind == "gpt2":
        return (
            ("c_attn", hidden, packed),
            ("c_proj", queries, hidden),
            ("c_fc", hidden, inner),
            ("c_proj", inner, hidden),
        )
    if kind == "chatglm":
        return (
            ("query_key_value", hidden, packed),
            ("dense", queries, hidden),
            ("dense_h_to_4h", hidden, 2 * inner),
            ("dense_4h_to_h", inner, hidden),
        )
    attention = (
        ((_PACKED[kind], hidden, packed),)
        if kind in _PACKED
        else (
            ("q_proj", hidden, queries),
            ("k_proj", hidden, keys),
            ("v_proj", hidden, keys),
        )
    )
    return (
        *attention,
        ("o_proj", queries, hidden),
        ("gate_proj", hidden, inner),
        ("up_proj", hidden, inner),
        ("down_proj", inner, hidden),
    )


def _small(kind: str, hidden: int, matrices: tuple[tuple[str, int, int], ...]) -> int:
    """Return the parameters of a layer's norms and biases."""
    if kind in ("bloom", "gpt2", "gpt_neox"):
        return 4 * hidden + sum(outward for _, _, outward in matrices)
    if kind in _QKV_BIAS:
        names = ("q_proj", "k_proj", "v_proj", "query_key_value")
        return 2 * hidden + sum(outward for name, _, outward in matrices if name in names)
    return 2 * hidden


def _outside(kind: str, hidden: int, config: Mapping[str, Any]) -> int:
    """Return the parameters before the first and after the last layer, but the embedding."""
    if kind == "bloom":
        return 4 * hidden
    if kind == "gpt2":
        return 2 * hidden + int(config.get("n_positions", 1024)) * hidden
    return hidden
