"""A model's config and weights: what they say unloaded, whether they are whole and fit, loading."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from curate.models.quiet import quiet
from curate.models.resolve import ModelFiles
from curate.system.hardware import free_memory
from curate.system.model_folder import missing_shards, parameters, shards

_BYTES = {"float32": 4, "bfloat16": 2}
_LENGTH_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
# Their first position is that behind the padding's, so that their table counts that many too many.
_FROM_PADDING = frozenset(
    {
        *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "camembert"),
        *("mpnet", "xmod", "ibert", "data2vec-text", "longformer"),
    }
)
_WIDTH_NAMES = ("hidden_size", "n_embd", "n_embed", "d_model")


def max_positions(config: Mapping[str, Any]) -> int | None:
    """Return the longest sequence, in tokens, that the model was made for; None if not said."""
    # LongRoPE rotates every token by other angles once the longest sequence of a batch passes the
    # length of pre-training: a row's likelihood would hang on its neighbours. Phi-3 is held to it.
    config = config.get("text_config") or config
    longest = _first(config, *_LENGTH_NAMES)
    if longest and config.get("model_type") in _FROM_PADDING:
        return longest - int(config.get("pad_token_id", 1) or 0) - 1
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if longest and "longrope" in (rope.get("rope_type"), rope.get("type")):
        name = "original_max_position_embeddings"
        return min(longest, int(rope.get(name) or config.get(name) or longest))
    return longest


def hidden_width(config: Mapping[str, Any], name: str) -> int:
    if width := _first(config.get("text_config") or config, *_WIDTH_NAMES):
        return width
    widths = ", ".join(_WIDTH_NAMES)
    raise ModelError(f"model '{name}': config.json says none of {widths}; copy it again.")


def cache_bytes(config: Mapping[str, Any], dtype: str) -> int:
    config = config.get("text_config") or config
    layers = _first(config, "num_hidden_layers", "n_layer", "num_layers") or 0
    heads = _first(config, "num_attention_heads", "n_head", "num_heads") or 1
    width = _first(config, "head_dim") or (_first(config, *_WIDTH_NAMES) or 0) // heads
    groups = _first(config, "num_key_value_heads") or heads
    return max(1, 2 * layers * groups * width * _BYTES[dtype])


def _first(config: Mapping[str, Any], *names: str) -> int | None:
    return next((int(config[name]) for name in names if config.get(name)), None)


def check_whole(files: ModelFiles) -> None:
    folder = files.folder
    try:
        absent = missing_shards(folder)
        parameters(folder)
    except ModelError as error:
        raise ModelError(f"model '{files.name}': {reason(error, folder)}") from error
    if absent:
        raise ModelError(
            f"model '{files.name}': {len(absent)} of {len(shards(folder))} weight files are "
            f"missing ({absent[0]} …); fetch or copy them again."
        )


def refuse_missing(what: str, missing: Iterable[str]) -> None:
    """Raise if weights are not in the files: other libraries draw them at random and go on."""
    if names := sorted(missing):
        raise ModelError(
            f"{what}: {len(names)} of its weights are not in the files ({names[0]} …), and made-up "
            "ones would give made-up numbers; fetch or copy it again."
        )


def check_memory(files: ModelFiles, dtype: str, device: str) -> None:
    """Raise if the weights cannot fit, before the machine runs out of memory over them."""
    need, room = parameters(files.folder) * _BYTES[dtype], _free_memory(device)
    if room is None or need < room:
        return
    smaller = "--dtype bfloat16 halves it; otherwise " if dtype == "float32" else ""
    raise ModelError(
        f"model '{files.name}' needs {need / 1e9:.1f} GB in {dtype}, and {room / 1e9:.1f} GB of "
        f"memory are free; {smaller}take a smaller model."
    )


def _free_memory(device: str) -> int | None:
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    return free_memory()


@contextmanager
def loading(called: str, folder: Path) -> Iterator[None]:
    """Keep other libraries quiet while they load, and say in one line why they cannot."""
    with quiet():
        from safetensors import SafetensorError

        try:
            yield
        except (
            *(OSError, ValueError, KeyError, TypeError, AttributeError),
            *(IndexError, RuntimeError, ImportError, MemoryError, SafetensorError),
        ) as error:
            raise ModelError(f"{called}: {reason(error, folder)}") from error


def reason(error: BaseException, folder: Path) -> str:
    """Return one line of another library's error, without the folder's path."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if text.endswith(":"):
        text = " ".join(lines[:2])
    if "trust_remote_code" in str(error):
        return (
            "it needs Python files that come with it, and they are not run unasked; if you trust "
            "them, give --trust-remote-code"
        )
    if isinstance(error, ImportError) and "GPTQ" in text:
        return (
            "it is a GPTQ model, whose 4 or 8 bits load in no environment but their own; give the "
            "model that it was made from. Where answers are wanted (`deploy compare`, `curate mods "
            "--responder`) the address of a `deploy serve` does, too: http://HOST:PORT/v1#MODEL"
        )
    for path in {str(folder), str(folder.resolve())}:
        text = text.replace(path + os.sep, "").replace(path, f"'{folder.name}'")
    return text


def load_pretrained(
    auto_class: str,
    files: ModelFiles,
    device: str,
    called: str,
    kind: str,
    *,
    dtype: str = "float32",
    trust_remote_code: bool = False,
    unused: str | None = None,
) -> Any:
    """Return a transformers model on the device, in evaluation mode, all its weights from files.

    Those whose names begin with `unused` are read by nothing here, and may be missing.
    """
    check_memory(files, dtype, device)
    with loading(called, files.folder):
        import torch
        import transformers

        model, info = getattr(transformers, auto_class).from_pretrained(
            files.folder,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            output_loading_info=True,
            trust_remote_code=trust_remote_code,
        )
        model = model.to(device).eval()
    missing = [key for key in info["missing_keys"] if not (unused and key.startswith(unused))]
    refuse_missing(f"{called} is not a whole {kind}", missing)
    return model


def load_weights(
    files: ModelFiles,
    dtype: str,
    device: str,
    trust_remote_code: bool = False,
    adapter: ModelFiles | None = None,
) -> Any:
    model = load_pretrained(
        "AutoModelForCausalLM",
        files,
        device,
        f"model '{files.name}'",
        "causal language model",
        # Merging adds small numbers to large ones: bfloat16 would lose them.
        dtype="float32" if adapter else dtype,
        trust_remote_code=trust_remote_code,
    )
    if adapter is None:
        return model
    with loading(f"adapter '{adapter.name}' does not fit '{files.name}'", adapter.folder):
        import torch

        return with_adapter(model, adapter).merge_and_unload().to(getattr(torch, dtype)).eval()


def with_adapter(model: Any, files: ModelFiles) -> Any:
    """Return peft's model: the adapter's weights are computed beside the base's."""
    try:
        import peft
    except ImportError as error:
        raise ModelError(
            f"'{files.name}' is an adapter, which peft loads: pip install 'peft>=0.18,<0.19'"
        ) from error
    renamed = getattr(model, "_checkpoint_conversion_mapping", None)
    config = peft.PeftConfig.from_pretrained(str(files.folder))
    config.inference_mode = True
    tuned = peft.get_peft_model(model, config)
    stored = peft.utils.load_peft_weights(str(files.folder), device="cpu", key_mapping=renamed)
    state_of: Any = peft.get_peft_model_state_dict
    expected = state_of(tuned, save_embedding_layers=False)
    refuse_missing(f"adapter '{files.name}' is not whole", expected.keys() - stored.keys())
    if foreign := sorted(stored.keys() - expected.keys() - tuned.state_dict().keys()):
        raise ModelError(
            f"adapter '{files.name}': {len(foreign)} of its weights belong to no part of the base "
            f"({foreign[0]} …); it was trained on another model."
        )
    peft.set_peft_model_state_dict(tuned, stored)
    return tuned
