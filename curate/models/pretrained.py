"""The one place that has transformers load weights: only what is in the files counts."""

from __future__ import annotations

from typing import Any

from curate.errors import ModelError
from curate.models.quiet import quiet
from curate.models.resolve import ModelFiles
from curate.models.weights import check_memory, reason, refuse_missing


def load_pretrained(
    auto_class: str,
    files: ModelFiles,
    *,
    called: str,
    kind: str,
    dtype: str,
    device: str,
    trust_remote_code: bool = False,
    unused: str | None = None,
) -> Any:
    """Return a transformers model on the device, in evaluation mode.

    Args:
        auto_class: Of transformers, such as `AutoModelForCausalLM`.
        files: The model's.
        called: The model for messages, such as "model 'tiny'".
        kind: What it has to be, such as "causal language model".
        dtype: `float32` or `bfloat16`.
        device: `cpu` or `cuda`.
        trust_remote_code: Run Python files that come with the model.
        unused: Start of the names of weights that nothing here reads, so that they may be missing.

    Raises:
        ModelError: The weights are corrupt, too large, or not all there.
    """
    check_memory(files.folder, files.name, dtype, device)
    with quiet():
        import torch
        import transformers
        from safetensors import SafetensorError

        try:
            model, info = getattr(transformers, auto_class).from_pretrained(
                files.folder,
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=trust_remote_code,
            )
            model = model.to(device).eval()
        except (
            *(OSError, ValueError, KeyError, TypeError, AttributeError),
            *(RuntimeError, ImportError, MemoryError, SafetensorError),
        ) as error:
            raise ModelError(f"{called}: {reason(error, files.folder)}") from error
    missing = [key for key in info["missing_keys"] if not (unused and key.startswith(unused))]
    refuse_missing(f"{called} is not a whole {kind}", missing)
    return model
