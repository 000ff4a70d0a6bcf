"""The formulas of memory, one function each, over plain numbers.

Sources: ZeRO (arXiv 1910.02054) for bytes a parameter, Korthikanti et al. (arXiv 2205.05198) for
activations, LoRA (arXiv 2106.09685), QLoRA (arXiv 2305.14314).
"""

from __future__ import annotations

from collections.abc import Iterable

GIB = 1024**3
# NF4 with double quantisation: 4 bits, and for 64 weights one byte, and for 256 of these one float.
_CONSTANTS = 1 / 64 + 4 / (64 * 256)


def weights(parameters: float, bytes_each: float) -> float:
    """Return P·b, the bytes of weights, gradients or states of P numbers.

    Example:
        >>> round(weights(7.07e9, 2) / GIB, 1)
        13.2
    """
    return parameters * bytes_each


def quantised(linear: float, other: float, bits: int) -> float:
    """Return linear·(bits/8 + constants) + 2·other, the bytes of a quantised model.

    Only the matrices inside the layers are quantised; embeddings, head and norms stay in bf16,
    which counts where the vocabulary is large. Source: arXiv 2305.14314, section 3.

    Example:
        >>> round(quantised(6.04e9, 1.03e9, 4) / GIB, 1)
        4.8
    """
    constants = 0.0 if bits == 8 else _CONSTANTS
    return linear * (bits / 8 + constants) + other * 2


def layer_activations(
    tokens: int, hidden: int, inner: int, gated: bool, bytes_each: int, scores: float = 0.0
) -> float:
    """Return s·b·(18·h + 2·n·m)·bytes/2 + scores, what one layer keeps for its backward pass.

    n is the number of tensors of width m that the layer's inner part keeps: 2 if plain, 4 if
    gated. For m = 4·h and a plain one this is the s·b·h·34 of arXiv 2205.05198, equation 2.

    Example:
        >>> layer_activations(1, 100, 400, False, 2)
        3400.0
    """
    wide = 4 if gated else 2
    return tokens * (18 * hidden + 2 * wide * inner) * bytes_each / 2 + scores


def attention_scores(sequences: int, length: int, heads: int, bytes_each: int) -> float:
    """Return 5·a·s²·b bytes (bf16), the scores that a layer keeps without flash attention.

    Source: arXiv 2205.05198, equation 2, its term 5·a·s/h times s·b·h.

    Example:
        >>> attention_scores(1, 1024, 32, 2) / 1024**2
        160.0
    """
    return 5 * heads * length * length * sequences * bytes_each / 2


def checkpointed(tokens: int, hidden: int, layers: int, bytes_each: int, one_layer: float) -> float:
    """Return 2·s·b·h·L + one layer: activations with gradient checkpointing.

    What enters a layer is kept; the rest of it is computed again, one layer at a time.
    Source: arXiv 2205.05198, section 5.

    Example:
        >>> checkpointed(10, 100, 3, 2, 500.0)
        6500.0
    """
    return tokens * hidden * layers * bytes_each + one_layer


def logits(tokens: int, vocabulary: int, bytes_each: int, backward: bool = True) -> float:
    """Return s·b·V·(b + 4 [+ 4]): logits, their copy in fp32 and, in training, its gradient.

    Example:
        >>> logits(1024, 250_880, 2) / 1e9
        2.5690112
    """
    return tokens * vocabulary * (bytes_each + 4 + (4 if backward else 0))


def kv_cache(
    layers: int, kv_heads: int, head_width: int, tokens: int, bytes_each: int = 2
) -> float:
    """Return 2·L·n_kv·d·s·b·bytes, the keys and values that generation keeps.

    Example:
        >>> round(kv_cache(30, 32, 128, 2048) / GIB, 2)
        0.94
    """
    return float(2 * layers * kv_heads * head_width * tokens * bytes_each)


def lora_parameters(rank: int, layers: int, shapes: Iterable[tuple[int, int]]) -> int:
    """Return L·Σ r·(d_in + d_out), the parameters of LoRA on these matrices of every layer.

    Example:
        >>> lora_parameters(8, 30, [(4096, 12288)])
        3932160
    """
    return layers * sum(rank * (inward + outward) for inward, outward in shapes)


def zero_share(stage: int, gpus: int) -> tuple[float, float, float]:
    """Return what share of weights, gradients and optimiser one of N GPUs holds: 1 or 1/N.

    Source: arXiv 1910.02054, figure 1: stage 1 divides the states of the optimiser, 2 the
    gradients too, 3 the weights too.

    Example:
        >>> zero_share(2, 4)
        (1.0, 0.25, 0.25)
    """
    part = 1 / gpus
    return (
        part if stage >= 3 else 1.0,
        part if stage >= 2 else 1.0,
        part if stage >= 1 else 1.0,
    )
