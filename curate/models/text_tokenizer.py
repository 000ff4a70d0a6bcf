"""A model's tokenizer: loading it, and what templates and scorers use of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from curate.models.resolve import ModelFiles
from curate.models.weights import reason


class HFEncoder:
    """A Hugging Face tokenizer behind the TextEncoder protocol.

    Args:
        tokenizer: A loaded tokenizer.
        name: The model's name, for messages.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self._tokenizer = tokenizer
        self._name = name

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, without special tokens around it."""
        if not texts:
            return []
        ids: list[list[int]] = self._tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        return ids

    @property
    def has_chat_template(self) -> bool:
        """Whether the tokenizer brings a chat template."""
        return bool(getattr(self._tokenizer, "chat_template", None))

    def render(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
        """Return the chat template's text for the messages."""
        if not self.has_chat_template:
            raise ModelError(
                f"{self._name} has no chat template; give --template alpaca or --template none"
            )
        import jinja2

        try:
            text: str = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=generation_prompt
            )
        except (jinja2.TemplateError, TypeError) as error:
            roles = ", ".join(message["role"] for message in messages)
            raise ModelError(
                f"the chat template of {self._name} refuses the turns ({roles}): {error}; "
                "give --template alpaca or --template none"
            ) from error
        return text

    @property
    def bos(self) -> int | None:
        """Id that the tokenizer declares as its BOS, or None if it declares none."""
        return _whole(self._tokenizer.bos_token_id)

    @property
    def first_token(self) -> int | None:
        """Id that opens every sequence: BOS, or EOS where the model has no BOS."""
        return self.bos if self.bos is not None else _whole(self._tokenizer.eos_token_id)


def _whole(token: Any) -> int | None:
    return None if token is None else int(token)


# tokenizer.json alone describes these. AutoTokenizer would give the same object, after seconds
# of importing what only forward passes need.
_PLAIN_CLASSES = {"PreTrainedTokenizerFast", "TokenizersBackend"}


def load_tokenizer(files: ModelFiles, trust_remote_code: bool = False) -> Any:
    """Return a transformers tokenizer."""
    try:
        if _is_plain(files.folder):
            from transformers import PreTrainedTokenizerFast

            return PreTrainedTokenizerFast.from_pretrained(files.folder)
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(files.folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # noqa: BLE001 - tokenizers raises bare Exception
        raise ModelError(
            f"tokenizer of model '{files.name}': {reason(error, files.folder)}"
        ) from error


def _is_plain(folder: Path) -> bool:
    settings = folder / "tokenizer_config.json"
    if not settings.is_file() or not (folder / "tokenizer.json").is_file():
        return False
    told = json.loads(settings.read_text(encoding="utf-8"))
    return told.get("tokenizer_class") in _PLAIN_CLASSES and "auto_map" not in told
