"""Shapes of models that are trained often, so that no file of theirs is needed to plan a run.

The numbers are those of the models' own config.json files.
"""

from __future__ import annotations

from typing import Any


def _bloom(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "bloom",
        "vocab_size": 250_880,
        "hidden_size": hidden,
        "n_layer": layers,
        "n_head": heads,
    }


def _glm(vocabulary: int, layers: int) -> dict[str, Any]:
    return {
        "model_type": "chatglm",
        "padded_vocab_size": vocabulary,
        "hidden_size": 4096,
        "ffn_hidden_size": 13696,
        "num_layers": layers,
        "num_attention_heads": 32,
        "multi_query_group_num": 2,
        "kv_channels": 128,
    }


def _llama(
    vocabulary: int,
    hidden: int,
    inner: int,
    layers: int,
    heads: int,
    shared: int | None = None,
    tied: bool = False,
    kind: str = "llama",
    width: int | None = None,
) -> dict[str, Any]:
    return {
        "model_type": kind,
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": shared or heads,
        "tie_word_embeddings": tied,
        "head_dim": width,
    }


KNOWN: dict[str, dict[str, Any]] = {
    "smollm2": _llama(49152, 576, 1536, 30, 9, 3, True),
    "smollm2-135m": _llama(49152, 576, 1536, 30, 9, 3, True),
    "smollm2-360m": _llama(49152, 960, 2560, 32, 15, 5, True),
    "smollm2-1.7b": _llama(49152, 2048, 8192, 24, 32, 32, True),
    "gemma3-270m": _llama(262_144, 640, 2048, 18, 4, 1, True, "gemma3_text", 256),
    "gemma-2b": _llama(256_000, 2048, 16384, 18, 8, 1, True, "gemma", 256),
    "gemma-7b": _llama(256_000, 3072, 24576, 28, 16, 16, True, "gemma", 256),
    "bloomz-560m": _bloom(1024, 24, 16),
    "bloomz-1b1": _bloom(1536, 24, 16),
    "bloomz-1b7": _bloom(2048, 24, 16),
    "bloomz-3b": _bloom(2560, 30, 32),
    "bloomz-7b1": _bloom(4096, 30, 32),
    "bloomz": _bloom(14336, 70, 112),
    "bloom-7b1": _bloom(4096, 30, 32),
    "qwen2.5-0.5b": _llama(151_936, 896, 4864, 24, 14, 2, True, "qwen2"),
    "qwen2.5-1.5b": _llama(151_936, 1536, 8960, 28, 12, 2, True, "qwen2"),
    "qwen2.5-3b": _llama(151_936, 2048, 11008, 36, 16, 2, True, "qwen2"),
    "qwen2.5-7b": _llama(152_064, 3584, 18944, 28, 28, 4, False, "qwen2"),
    "qwen2.5-14b": _llama(152_064, 5120, 13824, 48, 40, 8, False, "qwen2"),
    "qwen2.5-32b": _llama(152_064, 5120, 27648, 64, 40, 8, False, "qwen2"),
    "qwen2.5-72b": _llama(152_064, 8192, 29568, 80, 64, 8, False, "qwen2"),
    "qwen3-0.6b": _llama(151_936, 1024, 3072, 28, 16, 8, True, "qwen3", 128),
    "qwen3-1.7b": _llama(151_936, 2048, 6144, 28, 16, 8, True, "qwen3", 128),
    "qwen3-4b": _llama(151_936, 2560, 9728, 36, 32, 8, True, "qwen3", 128),
    "qwen3-8b": _llama(151_936, 4096, 12288, 36, 32, 8, False, "qwen3", 128),
    "qwen3-14b": _llama(151_936, 5120, 17408, 40, 40, 8, False, "qwen3", 128),
    "qwen3-32b": _llama(151_936, 5120, 25600, 64, 64, 8, False, "qwen3", 128),
    "llama-7b": _llama(32_000, 4096, 11008, 32, 32),
    "llama-13b": _llama(32_000, 5120, 13824, 40, 40),
    "llama-30b": _llama(32_000, 6656, 17920, 60, 52),
    "llama-65b": _llama(32_000, 8192, 22016, 80, 64),
    "llama-2-7b": _llama(32_000, 4096, 11008, 32, 32),
    "llama-2-13b": _llama(32_000, 5120, 13824, 40, 40),
    "llama-2-70b": _llama(32_000, 8192, 28672, 80, 64, 8),
    "llama-3-8b": _llama(128_256, 4096, 14336, 32, 32, 8),
    "llama-3-70b": _llama(128_256, 8192, 28672, 80, 64, 8),
    "llama-3.1-8b": _llama(128_256, 4096, 14336, 32, 32, 8),
    "llama-3.2-1b": _llama(128_256, 2048, 8192, 16, 32, 8, True),
    "llama-3.2-3b": _llama(128_256, 3072, 8192, 28, 24, 8, True),
    "mistral-7b": _llama(32_000, 4096, 14336, 32, 32, 8, False, "mistral"),
    "baichuan-7b": _llama(64_000, 4096, 11008, 32, 32, kind="baichuan"),
    "baichuan-13b": _llama(64_000, 5120, 13696, 40, 40, kind="baichuan"),
    "baichuan2-7b": _llama(125_696, 4096, 11008, 32, 32, kind="baichuan"),
    "baichuan2-13b": _llama(125_696, 5120, 13696, 40, 40, kind="baichuan"),
    "chatglm2-6b": _glm(65_024, 28),
    "chatglm3-6b": _glm(65_024, 28),
    "glm-4-9b": _glm(151_552, 40),
    "internlm2-7b": _llama(92_544, 4096, 14336, 32, 32, 8, kind="internlm2"),
    "yi-6b": _llama(64_000, 4096, 11008, 32, 32, 4),
    "yi-34b": _llama(64_000, 7168, 20480, 60, 56, 8),
    "gpt2": {"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12},
}
# What a bare number of parameters is taken to look like: LLaMA's proportions, small to large.
TYPICAL = (
    "smollm2-135m",
    "smollm2-360m",
    "smollm2-1.7b",
    "llama-2-7b",
    "llama-2-13b",
    "llama-30b",
    "llama-2-70b",
)
