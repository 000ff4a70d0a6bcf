"""From a model's name to something that gives likelihoods; the one place that loads weights."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from curate.errors import UsageError
from curate.models.adapter import adapter_fingerprint, base_of, files_of, with_adapter
from curate.models.architecture import max_positions
from curate.models.computing import choose_device
from curate.models.quiet import quiet
from curate.models.recipe import ModelRecipe, whole_path
from curate.models.resolve import ModelFiles, fingerprint
from curate.models.text_tokenizer import load_tokenizer
from curate.models.weights import check_memory, check_whole, loading, refuse_missing
from curate.system.model_folder import is_adapter

if TYPE_CHECKING:
    from curate.models.causal_lm import CausalLM


DTYPES = ("auto", "float32", "bfloat16")
# Part of every fingerprint: a changed way of computing never continues an older journal.
_COMPUTATION = "10"
_UNLIMITED = 1 << 20  # relative or no positions: as long as memory lasts


def load_causal_lm(
    name: str, dtype: str = "auto", trust_remote_code: bool = False, device: str = "auto"
) -> CausalLM:
    """Return the model of that name; its weights are loaded by prepare() and not before.

    Args:
        name: See resolve(); or an adapter's directory, whose weights are added to its base's.
        dtype: `auto` is bfloat16 where the CPU or GPU computes in it, else float32.
        trust_remote_code: Run Python files that come with the model.
        device: `cpu` or `cuda`; `auto` is what this machine has.

    Raises:
        ModelError: Unknown, incomplete, or it wants to run code of its own.
        UsageError: dtype is none of DTYPES.
    """
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: allowed are {', '.join(DTYPES)}.")
    source = open_source(name, trust_remote_code, device)
    with quiet():
        from curate.models.causal_lm import CausalLM
        from curate.models.text_tokenizer import HFEncoder

        chosen = best_dtype(source.device) if dtype == "auto" else dtype
        longest = _longest(source.base, trust_remote_code)
        encoder = HFEncoder(source.tokenizer, source.name)
    model = CausalLM(
        partial(load_merged, source.base, source.adapter, chosen, source.device, trust_remote_code),
        encoder,
        name=source.name,
        fingerprint=source.fingerprint(chosen, _COMPUTATION),
        dtype=chosen,
        device=source.device,
        max_positions=longest,
    )
    model.files = source.adapter or source.base
    model.recipe = ModelRecipe(
        kind="causal_lm",
        name=whole_path(name),
        dtype=chosen,
        device=source.device,
        trust_remote_code=trust_remote_code,
        fingerprint=model.fingerprint,
    )
    return model


@dataclass(frozen=True)
class Source:
    """A causal language model's files and tokenizer, its weights not loaded.

    Attributes:
        base: Its files; of an adapter, those of the model that it is added to.
        adapter: The adapter's, if it is one.
        tokenizer: Of transformers.
        device: `cpu` or `cuda`, where it is going to compute.
    """

    base: ModelFiles
    adapter: ModelFiles | None
    tokenizer: Any
    device: str

    @property
    def name(self) -> str:
        """What the user called it."""
        return (self.adapter or self.base).name

    def fingerprint(self, dtype: str, computation: str) -> str:
        """Return the sha256 of all that decides what it computes.

        Args:
            dtype: That it computes in.
            computation: Way of computing.
        """
        learned = [adapter_fingerprint(self.adapter.folder)] if self.adapter else []
        parts = (fingerprint(self.base.folder), *learned, dtype, self.device, computation)
        return hashlib.sha256("|".join(parts).encode()).hexdigest()


def open_source(name: str, trust_remote_code: bool, device: str = "auto") -> Source:
    """Return a model's files, found to be whole, and its tokenizer.

    Args:
        name: See load_causal_lm().
        trust_remote_code: Run Python files that come with the model.
        device: See load_causal_lm().

    Raises:
        ModelError: Unknown, incomplete, or it wants to run code of its own.
    """
    files = files_of(name, trust_remote_code)
    adapter = files if is_adapter(files.folder) else None
    base = base_of(files, trust_remote_code) if adapter else files
    for each in (base, files):
        check_whole(each.folder, each.name)
    with quiet():
        # A trained model's own tokenizer has the chat template that it was trained with.
        own = (files.folder / "tokenizer_config.json").is_file()
        tokenizer = load_tokenizer(files if own else base, trust_remote_code)
        return Source(base, adapter, tokenizer, choose_device(device))


def _longest(files: ModelFiles, trust_remote_code: bool) -> int:
    """Return max_positions, from config.json if it is spelled out there.

    Making transformers' config object imports what only forward passes need, for seconds.
    """
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    told = json.loads((files.folder / "config.json").read_text(encoding="utf-8"))
    if told.get("model_type") in CONFIG_MAPPING_NAMES and (found := max_positions(told)):
        return found
    with loading(f"model '{files.name}'", files.folder):
        config = AutoConfig.from_pretrained(files.folder, trust_remote_code=trust_remote_code)
        return max_positions(config.to_dict()) or _UNLIMITED


def load_weights(files: ModelFiles, dtype: str, device: str, trust_remote_code: bool) -> Any:
    """Return the transformers model on the device, in evaluation mode.

    Args:
        files: The model's.
        dtype: `float32` or `bfloat16`.
        device: `cpu` or `cuda`.
        trust_remote_code: Run Python files that come with the model.

    Raises:
        ModelError: The weights are corrupt, too large, or not all there.
    """
    return load_pretrained(
        "AutoModelForCausalLM",
        files,
        called=f"model '{files.name}'",
        kind="causal language model",
        dtype=dtype,
        device=device,
        trust_remote_code=trust_remote_code,
    )


def load_merged(
    base: ModelFiles, adapter: ModelFiles | None, dtype: str, device: str, trust_remote_code: bool
) -> Any:
    """Return the transformers model as load_weights() does, an adapter merged in.

    Args:
        base: The model's files.
        adapter: The adapter's; None for the model as it is.
        dtype: `float32` or `bfloat16`.
        device: `cpu` or `cuda`.
        trust_remote_code: Run Python files that come with the model.

    Raises:
        ModelError: The weights are corrupt or too large, or the adapter belongs to another model.
    """
    if adapter is None:
        return load_weights(base, dtype, device, trust_remote_code)
    # Merging adds small numbers to large ones: bfloat16 would lose them.
    model = load_weights(base, "float32", device, trust_remote_code)
    with loading(f"adapter '{adapter.name}' does not fit '{base.name}'", adapter.folder):
        import torch

        return with_adapter(model, adapter).merge_and_unload().to(getattr(torch, dtype)).eval()


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
