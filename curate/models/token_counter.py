"""How many tokens texts have: by any model's tokenizer, without its weights.

Where nobody names a model they are counted by the bundled encoder's vocabulary, 128,000 pieces of
16 languages, which is always there: 0.8 tokens a character of Chinese medical text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from curate.errors import ModelError
from curate.models.embedding import DEFAULT_ENCODER, use_folder
from curate.models.packaged_models import PACKAGED, ensure
from curate.models.protocols import Message, TokenCounter
from curate.models.resolve import TOKENIZER_FILES, ModelFiles, base_of, has_tokenizer
from curate.models.text_tokenizer import HFEncoder, load_tokenizer, prompt_ids
from curate.system.files import sha256_of
from curate.system.hub import HUBS, MODEL, model_address, why_not
from curate.system.model_folder import TOKENIZER_CONFIG, is_adapter

_FETCHED = (*TOKENIZER_FILES, TOKENIZER_CONFIG, "merges.txt", "special_tokens_map.json")


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
    from tokenizers import Tokenizer

    folder = _folder(name)
    called = folder.resolve().name if Path(name).expanduser().is_dir() else name
    files = [folder / file for file in (*TOKENIZER_FILES, TOKENIZER_CONFIG)]
    digests = [f"{file.name} {sha256_of(file)}" for file in files if file.is_file()]
    mark = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    if (folder / "tokenizer.json").is_file():
        try:
            fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
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
    folder = Path(name).expanduser()
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
            reason = why_not(error, MODEL, wanted, "or give a folder")
            raise ModelError(f"the tokenizer of '{name}' could not be fetched: {reason}") from error
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
