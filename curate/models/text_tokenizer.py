"""A model's tokenizer: loading it, and the ids of texts and of conversations."""

from __future__ import annotations

from collections.abc import Sequence
from os.path import exists
from typing import Any

from curate.errors import ModelError
from curate.models.protocols import Message
from curate.models.quiet import quiet
from curate.models.resolve import ModelFiles
from curate.models.row_templates import alpaca_prompt
from curate.models.weights import reason
from curate.system.model_folder import TOKENIZER_CONFIG, read_json

# tokenizer.json alone describes these. AutoTokenizer would give the same object, after seconds
# of importing what only forward passes need.
_PLAIN_CLASSES = {"PreTrainedTokenizerFast", "TokenizersBackend"}
_MARK = "mark"


class HFEncoder:
    """The part of a Hugging Face tokenizer that is used; messages call its model so."""

    def __init__(self, tokenizer: Any, name: str) -> None:
        self.tokenizer, self._name = tokenizer, name

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, without special tokens around it."""
        if not texts:
            return []
        how = {"add_special_tokens": False, "return_attention_mask": False, "verbose": False}
        ids: list[list[int]] = self.tokenizer(list(texts), **how)["input_ids"]
        return ids

    @property
    def has_chat_template(self) -> bool:
        return bool(getattr(self.tokenizer, "chat_template", None))

    def render(self, messages: list[dict[str, str]], generation_prompt: bool) -> str:
        if not self.has_chat_template:
            raise ModelError(
                f"{self._name} has no chat template; give --template alpaca or --template none"
            )
        import jinja2

        try:
            text: str = self.tokenizer.apply_chat_template(
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
        token: int | None = self.tokenizer.bos_token_id
        return token

    @property
    def first_token(self) -> int | None:
        """Id that opens every sequence (BOS, or EOS for models trained with that)."""
        token: int | None = self.tokenizer.eos_token_id
        return token if self.bos is None else self.bos


def load_tokenizer(files: ModelFiles, trust_remote_code: bool = False) -> Any:
    try:
        with quiet():
            there = (files.folder / name for name in (TOKENIZER_CONFIG, "tokenizer.json"))
            settings = read_json(files.folder / TOKENIZER_CONFIG) if all(map(exists, there)) else {}
            if settings.get("tokenizer_class") in _PLAIN_CLASSES and "auto_map" not in settings:
                from transformers import PreTrainedTokenizerFast

                return PreTrainedTokenizerFast.from_pretrained(files.folder)
            from transformers import AutoTokenizer

            return AutoTokenizer.from_pretrained(files.folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # noqa: BLE001 - tokenizers raises bare Exception
        raise ModelError(
            f"tokenizer of model '{files.name}': {reason(error, files.folder)}"
        ) from error


def prompt_ids(encoder: HFEncoder, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
    """Return the ids of conversations up to where the answer begins; Alpaca's if no template."""
    texts = [
        encoder.render([dict(message) for message in messages], True)
        if encoder.has_chat_template
        else alpaca_prompt(messages)
        for messages in conversations
    ]
    prompts = zip(texts, encoder.encode(texts), strict=True)
    return [[*first_token(encoder, text), *ids] for text, ids in prompts]


def first_token(encoder: HFEncoder, text: str) -> list[int]:
    """Return BOS where the tokenizer puts it before texts; a chat template says all itself."""
    if encoder.bos is None or encoder.has_chat_template:
        return []
    if text.startswith(str(encoder.tokenizer.bos_token)):
        return []
    return [encoder.bos] if encoder.tokenizer("a")["input_ids"][:1] == [encoder.bos] else []


def ends(encoder: HFEncoder, *configs: Any) -> frozenset[int]:
    """Return the ids that end an answer: those declared, and what the template writes behind it."""
    ids: set[int] = set()
    for declaring in (encoder.tokenizer, *configs):
        declared = getattr(declaring, "eos_token_id", None)
        ids.update([declared] if isinstance(declared, int) else declared or ())
    if encoder.has_chat_template:
        asked = [{"role": "user", "content": _MARK}]
        lead = encoder.render(asked, True)
        whole = encoder.render([*asked, {"role": "assistant", "content": _MARK}], False)
        behind = whole[len(lead) + len(_MARK) :] if whole.startswith(lead + _MARK) else ""
        special = getattr(encoder.tokenizer, "added_tokens_decoder", {})
        ids |= set(encoder.encode([behind])[0][:1]) & set(special)
    return frozenset(ids)
