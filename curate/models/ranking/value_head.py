"""Reward models as LLaMA-Factory's stage rm writes them: a language model with a value head.

Beside a LoRA adapter (or whole weights) lies value_head.safetensors with `v_head.summary.weight`
(1, width) and `v_head.summary.bias` (1,). The score is what this head makes of the last hidden
state over the last token of prompt and response in the model's chat template. As there, a
response that is too long is cut at its end, and so is a prompt, for which less room is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from curate.models.adapter import base_of
from curate.models.architecture import max_positions
from curate.models.computing import choose_device
from curate.models.load_causal_lm import load_merged
from curate.models.quiet import quiet
from curate.models.ranking.transformer import (
    Encoded,
    Forward,
    TransformerReward,
    conversation,
    fitted,
)
from curate.models.resolve import ModelFiles, fingerprint, resolve
from curate.models.text_tokenizer import load_tokenizer
from curate.models.weights import check_whole, loading, refuse_missing
from curate.system.model_folder import is_adapter

VALUE_HEAD = "value_head.safetensors"
_WEIGHT, _BIAS = "v_head.summary.weight", "v_head.summary.bias"
_COMPUTATION = "value head 1"
_MOST_TOKENS = 2048  # LLaMA-Factory's own default of cutoff_len


def load_value_head(folder: Path, device: str = "auto") -> TransformerReward:
    """Return a reward model that LLaMA-Factory trained; weights are loaded by prepare()."""
    files = ModelFiles(folder.resolve().name, folder)
    if not (folder / VALUE_HEAD).is_file():
        raise ModelError(
            f"'{files.name}' holds no {VALUE_HEAD}, so it is no reward model: it was not trained "
            "with --stage rm, or its head was saved as .bin, which is not loaded since it can run "
            "code"
        )
    base = _base(files)
    check_whole(folder, files.name)
    with quiet():
        device = choose_device(device)
        has_own = (folder / "tokenizer_config.json").is_file()
        tokenizer = load_tokenizer(files if has_own else base)
    if not getattr(tokenizer, "chat_template", None):
        raise ModelError(
            f"'{files.name}': its tokenizer has no chat template, so how prompt and response were "
            "put together in training is not known; copy the template to tokenizer_config.json"
        )
    config = json.loads((base.folder / "config.json").read_text(encoding="utf-8"))
    longest = min(max_positions(config) or _MOST_TOKENS, _MOST_TOKENS)
    marks = "|".join((fingerprint(folder), fingerprint(base.folder), device, _COMPUTATION))
    return TransformerReward(
        files,
        partial(_encode, tokenizer, longest),
        partial(_load, files, base, device),
        fingerprint=hashlib.sha256(marks.encode()).hexdigest(),
        device=device,
        padding=0,  # causality alone keeps it out
    )


def _base(files: ModelFiles) -> ModelFiles:
    """Return the model under the adapter, or the folder itself if it holds whole weights."""
    return base_of(files) if is_adapter(files.folder) else resolve(str(files.folder))


def _encode(tokenizer: Any, longest: int, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
    parts = [text for pair in pairs for text in conversation(tokenizer, *pair)]
    if not parts:
        return []
    ids = tokenizer(parts, add_special_tokens=False, verbose=False)["input_ids"]
    both = zip(ids[::2], ids[1::2], strict=True)
    return [{"input_ids": fitted(lead, rest, longest)} for lead, rest in both]


def _load(files: ModelFiles, base: ModelFiles, device: str) -> Forward:
    with loading(f"model '{files.name}'", files.folder):
        from safetensors.torch import load_file

        head = load_file(files.folder / VALUE_HEAD, device=device)
    refuse_missing(f"'{files.name}': {VALUE_HEAD} is not whole", {_WEIGHT, _BIAS} - head.keys())
    weight, bias = head[_WEIGHT].float(), head[_BIAS].float()
    adapter = files if is_adapter(files.folder) else None
    model = load_merged(base, adapter, "float32", device, trust_remote_code=False)
    width = model.get_input_embeddings().weight.shape[1]
    if weight.shape != (1, width):
        raise ModelError(
            f"'{files.name}': the value head is made for {weight.shape[-1]} numbers a token, its "
            f"base gives {width}; they do not belong together."
        )

    import torch

    def forward(inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        states = model.base_model(**inputs, use_cache=False).last_hidden_state
        last = inputs["attention_mask"].sum(1) - 1
        read: torch.Tensor = states[torch.arange(len(states), device=states.device), last]
        return (read.float() @ weight.T + bias)[:, 0]

    return forward
