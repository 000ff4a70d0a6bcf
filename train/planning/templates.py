"""Which of LLaMA-Factory's templates a model is trained with, so that it is asked as it was taught.

A wrong template fails nowhere: words that the tokenizer does not know are added without weights,
or prompt and response run into each other, and the training learns that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curate.errors import ModelError, UsageError, did_you_mean
from curate.system.model_folder import chat_template
from train.planning.models import read_json
from train.planning.recorded import template_of, templates

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
_WITHOUT_CHAT = "default"


@dataclass(frozen=True)
class Choice:
    """A template and how it was found.

    Attributes:
        name: LLaMA-Factory's; None where it takes the tokenizer's own apart.
        why: For people.
    """

    name: str | None
    why: str


def choose(model: str, folder: Path | None, kind: str, given: str | None) -> Choice:
    """Return the template to train a model with.

    Example:
        >>> choose("smollm2", None, "llama", None).name
        'chatml'
    """
    if given is not None:
        choice = _given(given)
    else:
        choice = _by_name(model, kind) or _by_tokenizer(model, folder)
    if choice.name is not None and folder is not None:
        _check_words(model, folder, choice)
    return choice


def _given(name: str) -> Choice:
    if name == "own":
        return Choice(None, "the tokenizer's own, as LLaMA-Factory takes it apart")
    if name not in templates():
        raise UsageError(
            f"--template {name}: LLaMA-Factory 0.9.5 has none of this name."
            f"{did_you_mean(name, templates())} Allowed are own (the tokenizer's), "
            f"{', '.join(sorted(templates()))}"
        )
    return Choice(name, "given")


def _by_name(model: str, kind: str) -> Choice | None:
    if model in _BUNDLED:
        return Choice(_BUNDLED[model], f"that of {model}")
    last = model.rstrip("/").rsplit("/", 1)[-1].lower()
    if last in template_of():
        return Choice(template_of()[last], "LLaMA-Factory's for a model of this name")
    if kind in _BY_KIND:
        return Choice(_BY_KIND[kind], f"that of models of the kind {kind}")
    return None


def _by_tokenizer(model: str, folder: Path | None) -> Choice:
    if folder is None:
        raise UsageError(
            f"which template {model} is trained with is not known: nothing of it is on this "
            "machine. Give --template NAME (chatml, qwen, llama3, default …), or a directory"
        )
    chat = chat_template(folder)
    if not chat:
        return Choice(_WITHOUT_CHAT, "the model has no chat template of its own")
    for words, name in _SIGNS:
        if all(word in chat for word in words):
            return Choice(name, "by the tokenizer's chat template")
    return Choice(None, "the tokenizer's own chat template, as LLaMA-Factory takes it apart")


def _check_words(model: str, folder: Path, choice: Choice) -> None:
    words = templates()[choice.name or _WITHOUT_CHAT]
    known = vocabulary(folder) if words else None
    missing = [] if known is None else [word for word in words if word not in known]
    if missing:
        raise ModelError(
            f"template {choice.name} wants the tokens {' and '.join(missing)}, and the tokenizer "
            f"of {model} has not: LLaMA-Factory would add them, without weights that mean "
            "anything. Give another --template; `default` needs no tokens of its own"
        )


def vocabulary(folder: Path) -> frozenset[str] | None:
    """Return the tokens of a model by name; None where its tokenizer has no tokenizer.json."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    told = read_json(path)
    words = {each["content"] for each in told.get("added_tokens", [])}
    inner = told.get("model", {}).get("vocab", {})
    if isinstance(inner, dict):
        return frozenset(words | set(inner))
    return frozenset(words | {each[0] for each in inner})  # unigram: pairs of token and score
