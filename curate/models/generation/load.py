"""From what stands behind --responder to a model that answers."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import Any

from curate.errors import ModelError, UsageError
from curate.models.adapter import adapter_fingerprint, base_of, files_of, is_adapter
from curate.models.architecture import max_positions
from curate.models.generation.local import LocalGenerator
from curate.models.generation.server import is_address, load_server
from curate.models.load import DTYPES, load_merged
from curate.models.protocols import Generator
from curate.models.quiet import quiet
from curate.models.resolve import ModelFiles, fingerprint
from curate.models.tokenizer import load_tokenizer
from curate.models.weights import check_whole

# Part of every fingerprint: a changed way of answering never continues an older journal.
_COMPUTATION = "answers 2"
_UNLIMITED = 1 << 20
_CPU_BATCH_TOKENS = 16384
_GPU_BATCH_TOKENS = 131072
_CACHE_BYTES = 1 << 30  # of keys and values that one batch may hold on a CPU
_GPU_CACHE_SHARE = 0.25  # of the card's memory
_BYTES = {"float32": 4, "bfloat16": 2}


def load_generator(
    name: str, dtype: str = "auto", trust_remote_code: bool = False, concurrency: int = 8
) -> Generator:
    """Return the model of that name; its weights are loaded when it is first asked.

    Args:
        name: As resolve() has it (`smollm2`, a directory, a hub id), an adapter's directory, or
            `http(s)://HOST:PORT/v1#MODEL`, a server with OpenAI's interface (`#MODEL` may be left
            out where it serves only one).
        dtype: `auto` is float32 on a CPU, where answers then do not depend on what else is in
            the batch, and bfloat16 on a GPU that has it.
        trust_remote_code: Run Python files that come with the model.
        concurrency: Requests that a server is sent at once.

    Raises:
        ModelError: Unknown, incomplete, not to be had, or a server that does not answer.
        UsageError: dtype is none of DTYPES.

    Example:
        >>> load_generator("smollm2").answer([[{"role": "user", "content": "Hello!"}]], 20)
        ['Hello! How can I help you today?']
    """
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: allowed are {', '.join(DTYPES)}.")
    if is_address(name):
        return load_server(name, concurrency)
    files = files_of(name, trust_remote_code)
    if is_adapter(files.folder):
        return _local(base_of(files, trust_remote_code), files, dtype, trust_remote_code)
    return _local(files, None, dtype, trust_remote_code)


def _local(
    base: ModelFiles, adapter: ModelFiles | None, dtype: str, trusted: bool
) -> LocalGenerator:
    check_whole(base.folder, base.name)
    if adapter:
        check_whole(adapter.folder, adapter.name)
    with quiet():
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        # A trained model's own tokenizer has the chat template that it was trained with.
        own = adapter and (adapter.folder / "tokenizer_config.json").is_file()
        tokenizer = load_tokenizer(adapter if adapter and own else base, trusted)
    chosen = _dtype(device) if dtype == "auto" else dtype
    config = _config(base)
    learned = adapter_fingerprint(adapter.folder) if adapter else ""
    parts = "|".join((fingerprint(base.folder), learned, chosen, device, _COMPUTATION))
    return LocalGenerator(
        partial(load_merged, base, adapter, chosen, device, trusted),
        tokenizer,
        name=(adapter or base).name,
        fingerprint=hashlib.sha256(parts.encode()).hexdigest(),
        dtype=chosen,
        max_positions=max_positions(config) or _UNLIMITED,
        batch_tokens=_batch_tokens(config, chosen, device),
    )


def _dtype(device: str) -> str:
    import torch

    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    return "float32"


def _config(files: ModelFiles) -> dict[str, Any]:
    try:
        told = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
        return dict(told)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"model '{files.name}': config.json cannot be read; copy it again."
        ) from error


def _batch_tokens(config: dict[str, Any], dtype: str, device: str) -> int:
    """Return how many tokens a batch may hold: as many as its keys and values have room for.

    It hangs on the machine, not on what is free just now: a run that is continued has to make
    the same batches.
    """
    import torch

    most, room = _CPU_BATCH_TOKENS, float(_CACHE_BYTES)
    if device == "cuda":
        most = _GPU_BATCH_TOKENS
        room = _GPU_CACHE_SHARE * torch.cuda.get_device_properties(0).total_memory
    return max(1, min(most, int(room / cache_bytes(config, dtype))))


def cache_bytes(config: dict[str, Any], dtype: str) -> int:
    """Return the bytes of keys and values that a token takes, all layers together.

    Args:
        config: What config.json says; of models that also see or hear, the text's part.
        dtype: That the model computes in.

    Example:
        >>> cache_bytes({"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64},
        ...             "float32")
        1024
    """
    config = config.get("text_config") or config

    def number(*names: str) -> int:
        return next((int(config[each]) for each in names if config.get(each)), 0)

    layers = number("num_hidden_layers", "n_layer", "num_layers")
    heads = number("num_attention_heads", "n_head", "num_heads")
    wide = number("hidden_size", "n_embd", "d_model")
    width = number("head_dim") or (wide // heads if heads else wide)
    groups = number("num_key_value_heads") or heads or 1
    return max(1, 2 * layers * groups * width * _BYTES[dtype])
