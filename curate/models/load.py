"""From a model's name to something that gives likelihoods."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from curate.errors import ModelError, UsageError
from curate.models.quiet import quiet
from curate.models.resolve import ModelFiles, fingerprint, resolve

if TYPE_CHECKING:
    from curate.models.causal_lm import CausalLM

DTYPES = ("auto", "float32", "bfloat16")
# Part of every fingerprint: a changed way of computing never continues an older journal.
_COMPUTATION = "1"


def load_causal_lm(
    name: str | ModelFiles, dtype: str = "auto", trust_remote_code: bool = False
) -> CausalLM:
    """Return the model of that name, ready to give likelihoods.

    Args:
        name: See resolve().
        dtype: `auto` is bfloat16 where the CPU or GPU computes in it, else float32.
        trust_remote_code: Run Python files that come with the model.

    Raises:
        ModelError: Unknown, incomplete, too large, or it wants to run code of its own.
        UsageError: dtype is none of DTYPES.
    """
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: allowed are {', '.join(DTYPES)}.")
    files = resolve(name) if isinstance(name, str) else name
    with quiet():
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from curate.models.causal_lm import CausalLM
        from curate.models.encoder import HFEncoder

        device = "cuda" if torch.cuda.is_available() else "cpu"
        chosen = best_dtype(device) if dtype == "auto" else dtype
        options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
        try:
            tokenizer = AutoTokenizer.from_pretrained(files.folder, **options)
            model = AutoModelForCausalLM.from_pretrained(
                files.folder, dtype=getattr(torch, chosen), use_safetensors=True, **options
            )
            model = model.to(device).eval()
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
            raise ModelError(f"model '{files.name}' cannot be loaded: {reason}") from error
        parts = "|".join((fingerprint(files.folder), chosen, device, _COMPUTATION))
        mark = hashlib.sha256(parts.encode()).hexdigest()
        return CausalLM(model, HFEncoder(tokenizer, files.name), files.name, mark, chosen)


def best_dtype(device: str) -> str:
    """Return the dtype that `auto` stands for.

    Args:
        device: `cpu` or `cuda`.
    """
    import torch

    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    # Without these instructions bfloat16 on a CPU is emulated, and slower than float32.
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if fast else "float32"
