"""From a model's name to something that gives likelihoods; the one place that loads weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from curate.errors import UsageError
from curate.models.adapter import adapter_fingerprint, base_of, files_of, with_adapter
from curate.models.architecture import max_positions
from curate.models.computing import choose_device
from curate.models.quiet import quiet
from curate.models.recipe import recipe_of
from curate.models.resolve import ModelFiles, fingerprint
from curate.models.text_tokenizer import load_tokenizer
from curate.models.weights import check_memory, check_whole, loading, refuse_missing
from curate.system.model_folder import CONFIG, TOKENIZER_CONFIG, is_adapter, read_json

if TYPE_CHECKING:
    from curate.models.causal_lm import CausalLM

DTYPES = ("auto", "float32", "bfloat16")
# Part of every fingerprint: a changed way of computing never continues an older journal.
_COMPUTATION = "10"
_UNLIMITED = 1 << 20  # relative or no positions: as long as memory lasts


def check_dtype(dtype: str) -> None:
    """Raise if it is none of DTYPES."""
    if dtype not in DTYPES:
        raise UsageError(f"--dtype {dtype}: allowed are {', '.join(DTYPES)}.")


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
    source = open_source(name, dtype, trust_remote_code, device)
    with quiet():
        from curate.models.causal_lm import CausalLM
        from curate.models.text_tokenizer import HFEncoder

        encoder = HFEncoder(source.tokenizer, source.name)
        model = CausalLM(
            source.load,
            encoder,
            name=source.name,
            fingerprint=source.fingerprint(_COMPUTATION),
            dtype=source.dtype,
            device=source.device,
            max_positions=source.max_positions(),
        )
    model.files = source.adapter or source.base
    model.recipe = recipe_of(
        "causal_lm", name, model, dtype=model.dtype, trust_remote_code=trust_remote_code
    )
    return model


@dataclass(frozen=True)
class Source:
    """A causal language model's files and tokenizer, its weights not loaded.

    If it is an adapter, base is the model that it is added to. Python files that come with the
    model run only if they are trusted.
    """

    base: ModelFiles
    adapter: ModelFiles | None
    tokenizer: Any
    device: str
    dtype: str
    trusted: bool

    @property
    def name(self) -> str:
        return (self.adapter or self.base).name

    @property
    def load(self) -> partial[Any]:
        """Gives the transformers model; it pickles."""
        return partial(load_weights, self.base, self.dtype, self.device, self.trusted, self.adapter)

    def fingerprint(self, computation: str) -> str:
        """Return the sha256 of all that decides what it computes, the way of computing included."""
        learned = [adapter_fingerprint(self.adapter.folder)] if self.adapter else []
        parts = (fingerprint(self.base.folder), *learned, self.dtype, self.device, computation)
        return hashlib.sha256("|".join(parts).encode()).hexdigest()

    def config(self) -> dict[str, Any]:
        return read_json(self.base.folder / CONFIG, f"model '{self.base.name}'")

    def max_positions(self) -> int:
        """Return the longest sequence in tokens, from config.json if it is spelled out there.

        Making transformers' config object imports what only forward passes need, for seconds.
        """
        from transformers import AutoConfig
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

        config = self.config()
        if config.get("model_type") in CONFIG_MAPPING_NAMES and (longest := max_positions(config)):
            return longest
        folder = self.base.folder
        with loading(f"model '{self.base.name}'", folder):
            whole = AutoConfig.from_pretrained(folder, trust_remote_code=self.trusted)
            return max_positions(whole.to_dict()) or _UNLIMITED


def open_source(
    name: str,
    dtype: str,
    trust_remote_code: bool = False,
    device: str = "auto",
    exact: bool = False,
) -> Source:
    """Return a model's files, found to be whole; if it is to be exact, float32 on every CPU."""
    check_dtype(dtype)
    files = files_of(name, trust_remote_code)
    adapter = files if is_adapter(files.folder) else None
    base = base_of(files, trust_remote_code) if adapter else files
    for part in (base, files):
        check_whole(part.folder, part.name)
    with quiet():
        # A trained model's own tokenizer has the chat template that it was trained with.
        own = (files.folder / TOKENIZER_CONFIG).is_file()
        tokenizer = load_tokenizer(files if own else base, trust_remote_code)
        device = choose_device(device)
        if dtype == "auto":
            dtype = "float32" if device == "cpu" and exact else _best_dtype(device)
    return Source(base, adapter, tokenizer, device, dtype, trust_remote_code)


def _best_dtype(device: str) -> str:
    import torch

    if device == "cuda":
        fast = torch.cuda.is_bf16_supported()
    else:
        # Without these instructions bfloat16 on a CPU is emulated, and slower than float32.
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if fast else "float32"


def load_weights(
    files: ModelFiles,
    dtype: str,
    device: str,
    trust_remote_code: bool = False,
    adapter: ModelFiles | None = None,
) -> Any:
    """Return the transformers model on the device, in evaluation mode, an adapter merged in."""
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

    Messages say what it is called ("model 'tiny'") and what kind it has to be. Weights whose names
    begin with `unused` are read by nothing here, and may be missing.
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
