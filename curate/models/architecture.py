"""What a model's config says that decides how its likelihoods are computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curate.errors import ModelError

BYTES = {"float32": 4, "bfloat16": 2}
_LENGTH_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_WIDTH_NAMES = ("hidden_size", "n_embd", "n_embed", "d_model")


@dataclass(frozen=True)
class LogitRule:
    """What a model does to its output embedding's products before the softmax.

    Attributes:
        scale: Factor of every logit (Cohere's logit_scale, Granite's 1 / logits_scaling).
        cap: Logits x become cap * tanh(x / cap) (Gemma 2, arXiv 2408.00118); None for no cap.
    """

    scale: float = 1.0
    cap: float | None = None


def logit_rule(config: Any) -> LogitRule:
    """Return what a model of that transformers config does to its logits."""
    config = getattr(config, "text_config", None) or config
    scale = float(getattr(config, "logit_scale", None) or 1.0)
    scale /= float(getattr(config, "logits_scaling", None) or 1.0)
    return LogitRule(scale, getattr(config, "final_logit_softcapping", None))


def max_positions(config: Mapping[str, Any]) -> int | None:
    """Return the longest sequence, in tokens, that the model was made for; None if not said.

    LongRoPE rotates every token by other angles once the longest sequence of a batch passes the
    length of pre-training, so that a row's likelihood would hang on its neighbours; such models
    (Phi-3) are held to that length.
    """
    config = config.get("text_config") or config
    longest = _first(config, *_LENGTH_NAMES)
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if longest and "longrope" in (rope.get("rope_type"), rope.get("type")):
        name = "original_max_position_embeddings"
        return min(longest, int(rope.get(name) or config.get(name) or longest))
    return longest


def hidden_width(config: Mapping[str, Any]) -> int:
    """Return the numbers of a hidden state."""
    if width := _first(config.get("text_config") or config, *_WIDTH_NAMES):
        return width
    raise ModelError(f"its config.json says none of {', '.join(_WIDTH_NAMES)}; copy it again.")


def cache_bytes(config: Mapping[str, Any], dtype: str) -> int:
    """Return the bytes of keys and values that a token takes, all layers together.

    Example:
        >>> cache_bytes({"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64},
        ...             "float32")
        1024
    """
    config = config.get("text_config") or config
    layers = _first(config, "num_hidden_layers", "n_layer", "num_layers") or 0
    heads = _first(config, "num_attention_heads", "n_head", "num_heads") or 1
    width = _first(config, "head_dim") or (_first(config, *_WIDTH_NAMES) or 0) // heads
    groups = _first(config, "num_key_value_heads") or heads
    return max(1, 2 * layers * groups * width * BYTES[dtype])


def _first(config: Mapping[str, Any], *names: str) -> int | None:
    """Return the first of some numbers that the config says."""
    return next((int(config[name]) for name in names if config.get(name)), None)
