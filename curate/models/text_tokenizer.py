"""A model's tokenizer: loading it, the ids of texts and of conversations, how many there are.

Where nobody names a model they are counted by the bundled encoder's vocabulary, 128,000 pieces of
16 languages, which is always there: 0.8 tokens a character of Chinese medical text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from os.path import exists
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import ModelError
from curate.models.packaged_models import DEFAULT_ENCODER, PACKAGED, ensure, use_folder
from curate.models.protocols import Message, TokenCounter
from curate.models.quiet import quiet
from curate.models.resolve import TOKENIZER_FILES, ModelFiles, base_of, has_tokenizer
from curate.models.row_templates import alpaca_prompt
from curate.models.weights import reason
from curate.system.files import at_home, sha256_of
from curate.system.hub import HUBS, MODEL, model_address, why_not
from curate.system.model_folder import TOKENIZER_CONFIG, is_adapter, read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# tokenizer.json alone describes these. AutoTokenizer would give the same object, after seconds
# of importing what only forward passes need.
_PLAIN_CLASSES = {"PreTrainedTokenizerFast", "TokenizersBackend"}
_MARK = "mark"
_FETCHED = (*TOKENIZER_FILES, TOKENIZER_CONFIG, "merges.txt", "special_tokens_map.json")


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


def fast_tokenizer(folder: Path) -> Tokenizer:
    """Return that of a folder's tokenizer.json, at once, where transformers takes seconds."""
    from tokenizers import Tokenizer

    fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # Files may hold the settings of the last batch that was encoded before they were saved.
    fast.no_truncation()
    fast.no_padding()
    return fast


def token_counter(name: str = DEFAULT_ENCODER) -> TokenCounter:
    """Return the tokenizer of a model: `use`, a bundled one, a folder, or a hub's.

    Raises:
        ModelError: There is none.

    Example:
        >>> token_counter().count(["Aspirin thins the blood."])
        [7]
    """
    if name == DEFAULT_ENCODER:
        return _of_the_encoder()
    folder, typed = _folder(name), at_home(name)
    called = typed.resolve().name if name not in PACKAGED and typed.is_dir() else name
    files = [folder / file for file in (*TOKENIZER_FILES, TOKENIZER_CONFIG)]
    digests = [f"{file.name} {sha256_of(file)}" for file in files if file.is_file()]
    mark = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    if (folder / "tokenizer.json").is_file():
        try:
            fast = fast_tokenizer(folder)
        except Exception as error:  # noqa: BLE001 - tokenizers raises bare Exception
            raise ModelError(f"tokenizer of model '{called}': {error}") from error
        encode = partial(fast.encode_batch_fast, add_special_tokens=False)
        return TokenCounter(called, mark, encode)
    slow = load_tokenizer(ModelFiles(called, folder))
    return TokenCounter(called, mark, HFEncoder(slow, called).encode)


def prompt_counter(name: str) -> Callable[[Sequence[Message]], int]:
    """Return what counts the tokens of messages in a model's chat template."""
    encoder = HFEncoder(load_tokenizer(ModelFiles(name, _folder(name))), name)
    return lambda messages: len(prompt_ids(encoder, [messages])[0])


def _folder(name: str) -> Path:
    if packaged := PACKAGED.get(name):
        return ensure(packaged)
    folder = at_home(name)
    wanted = None if folder.is_dir() else model_address(name)
    if wanted:
        hub = HUBS[wanted.hub]
        cached = hub.cached(MODEL, wanted)
        if cached and has_tokenizer(cached):
            return cached
        try:
            there = hub.files(MODEL, wanted)
            files = {file: there[file] for file in there if file in _FETCHED}
            folder = hub.fetch(MODEL, wanted, files) if files else folder
        except Exception as error:  # noqa: BLE001 - httpx, requests or hub errors, by hub and version
            why = why_not(error, MODEL, wanted, "or give a folder")
            raise ModelError(f"the tokenizer of '{name}' could not be fetched: {why}") from error
    if folder.is_dir() and is_adapter(folder) and not has_tokenizer(folder):
        return base_of(ModelFiles(name, folder)).folder
    if has_tokenizer(folder):
        return folder
    raise ModelError(
        f"--tokenizer {name}: no tokenizer there; allowed are {', '.join(PACKAGED)}, "
        f"{DEFAULT_ENCODER}, a folder that has one of {', '.join(TOKENIZER_FILES)}, or a hub id "
        "(owner/name or ms://owner/name)"
    )


@cache
def _of_the_encoder() -> TokenCounter:
    from sentencepiece import SentencePieceProcessor

    folder = use_folder()
    source = folder and folder / "sp.model"
    if source is None or not source.is_file():
        raise ModelError("the bundled encoder is not installed; install curatrain anew")
    processor = SentencePieceProcessor(model_file=str(source))
    return TokenCounter(DEFAULT_ENCODER, f"sentencepiece {sha256_of(source)}", processor.encode)
