"""Which of LLaMA-Factory's templates a model is trained with, so that it is asked as it was taught.

A wrong template fails nowhere: words that the tokenizer does not know are added without weights,
or prompt and response run into each other, and the training learns that.
"""

from __future__ import annotations

from pathlib import Path

from curate.errors import ModelError, UsageError, did_you_mean
from curate.system.model_folder import chat_template, vocabulary
from train.config.keys import recorded
from train.config.model import Model

# Named by the bundled models' own names: their folders lie in a cache.
_BUNDLED = {"smollm2": "chatml", "gemma3-270m": "gemma"}
_BY_KIND = {"bloom": "default", "gemma3_text": "gemma"}
# What a chat template says, and the template that says the same; the first that fits.
_SIGNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("<|im_start|>", "You are Qwen"), "qwen"),
    (("<|im_start|>", "<think>", "tool_response"), "qwen3"),
    (("<|im_start|>",), "chatml"),
    (("<|start_header_id|>", "<|eot_id|>"), "llama3"),
    (("<start_of_turn>", "<end_of_turn>"), "gemma"),
    (("<|end|>", "<|assistant|>", "<|user|>"), "phi"),
)
_OWN = "as LLaMA-Factory takes it apart"


def choose(model: Model, typed: str | None) -> tuple[str | None, str]:
    """Return the template to train a model with, None for the tokenizer's own, and why."""
    known = recorded("templates")
    if typed == "own":
        return None, f"the tokenizer's own, {_OWN}"
    if typed is not None and typed not in known:
        raise UsageError(
            f"--template {typed}: LLaMA-Factory 0.9.5 has none of this name."
            f"{did_you_mean(typed, known)} Allowed are own (the tokenizer's), "
            f"{', '.join(sorted(known))}"
        )
    name, why = (typed, "given") if typed is not None else _of_model(model)
    if name is not None and model.folder is not None:
        _check_words(name, model, model.folder)
    return name, why


def _of_model(model: Model) -> tuple[str | None, str]:
    name = model.base or model.name
    if name in _BUNDLED:
        return _BUNDLED[name], f"that of {name}"
    last = name.rstrip("/").rsplit("/", 1)[-1].lower()
    for template, models in recorded("models").items():
        if last in models:
            return template, "LLaMA-Factory's for a model of this name"
    if model.kind in _BY_KIND:
        return _BY_KIND[model.kind], f"that of models of the kind {model.kind}"
    if model.folder is None:
        raise UsageError(
            f"which template {name} is trained with is not known: nothing of it is on this "
            "machine. Give --template NAME (chatml, qwen, llama3, default …), or a directory"
        )
    chat = chat_template(model.folder)
    if not chat:
        return "default", "the model has no chat template of its own"
    for words, template in _SIGNS:
        if all(word in chat for word in words):
            return template, "by the tokenizer's chat template"
    return None, f"the tokenizer's own chat template, {_OWN}"


def _check_words(name: str, model: Model, folder: Path) -> None:
    words = recorded("templates")[name]
    known = vocabulary(folder) if words else None
    missing = [] if known is None else [word for word in words if word not in known]
    if missing:
        raise ModelError(
            f"template {name} wants the tokens {' and '.join(missing)}, and the tokenizer "
            f"of {model.base or model.name} has not: LLaMA-Factory would add them, without weights "
            "that mean anything. Give another --template; `default` needs no tokens of its own"
        )
