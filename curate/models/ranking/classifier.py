"""Reward models in the form of Hugging Face's sequence classification with one output.

MoDS (arXiv 2311.15653) uses `OpenAssistant/reward-model-deberta-v3-large-v2`. Where a model brings
a chat template, prompt and response are put into it; else they are a pair of texts, as that model
was trained on. Long pairs are cut to what the model reads, the longer text first; the program
published with MoDS does not cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from curate.errors import ModelError
from curate.models.architecture import max_positions
from curate.models.computing import choose_device
from curate.models.load_causal_lm import load_pretrained
from curate.models.quiet import quiet
from curate.models.ranking.transformer import (
    Encoded,
    Forward,
    TransformerReward,
    conversation,
    fitted,
)
from curate.models.resolve import ModelFiles, fingerprint
from curate.models.text_tokenizer import load_tokenizer
from curate.models.weights import check_whole, loading

if TYPE_CHECKING:
    from torch import Tensor

_COMPUTATION = "classifier 1"
_MOST_TOKENS = 2048


def load_classifier(files: ModelFiles, device: str = "auto") -> TransformerReward:
    """Return a reward model; its weights are loaded by prepare() and not before."""
    check_whole(files.folder, files.name)
    with quiet():
        device = choose_device(device)
        tokenizer = load_tokenizer(files)
        config = _config(files)
    longest = min(max_positions(config.to_dict()) or _MOST_TOKENS, _MOST_TOKENS)
    marks = "|".join((fingerprint(files.folder), device, _COMPUTATION))
    return TransformerReward(
        files,
        partial(_encode, tokenizer, longest),
        partial(_load, files, device),
        fingerprint=hashlib.sha256(marks.encode()).hexdigest(),
        device=device,
        # A causal classifier reads its score before the first padding, which it knows by this id.
        padding=config.pad_token_id,
    )


def _config(files: ModelFiles) -> Any:
    from transformers import AutoConfig

    with loading(f"model '{files.name}'", files.folder):
        config = AutoConfig.from_pretrained(files.folder)
    made = ", ".join(config.architectures or ()) or "an unknown architecture"
    if "ForSequenceClassification" not in made:
        raise ModelError(
            f"model '{files.name}' is {made}, not a reward model. Allowed are models for sequence "
            "classification with one output, a LLaMA-Factory adapter of stage rm, or a folder that "
            "`curate ranker train` wrote"
        )
    if config.num_labels != 1:
        raise ModelError(
            f"model '{files.name}' tells {config.num_labels} classes apart; a reward model has one "
            "output. Give another model"
        )
    return config


def _encode(tokenizer: Any, longest: int, pairs: Sequence[tuple[str, str]]) -> list[Encoded]:
    if getattr(tokenizer, "chat_template", None):
        return [_chat(tokenizer, longest, *pair) for pair in pairs]
    found = tokenizer(
        [prompt for prompt, _ in pairs],
        [response for _, response in pairs],
        truncation="longest_first",
        max_length=longest,
        return_attention_mask=False,
        verbose=False,
    )
    return [{key: found[key][line] for key in found} for line in range(len(pairs))]


def _chat(tokenizer: Any, longest: int, prompt: str, response: str) -> Encoded:
    parts = conversation(tokenizer, prompt, response)
    lead, rest = tokenizer(list(parts), add_special_tokens=False, verbose=False)["input_ids"]
    return {"input_ids": fitted(lead, rest, longest)}


def _load(files: ModelFiles, device: str) -> Forward:
    model = load_pretrained(
        "AutoModelForSequenceClassification",
        files,
        called=f"model '{files.name}'",
        kind="reward model",
        dtype="float32",
        device=device,
    )

    def forward(inputs: dict[str, Tensor]) -> Tensor:
        logits: Tensor = model(**inputs).logits
        return logits[:, 0]

    return forward
