"""Encoders of sentence-transformers: a directory's modules as that library runs them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import ModelError
from curate.models.architecture import max_positions
from curate.models.computing import LoadedOnce, choose_device, one_core, workers
from curate.models.load_causal_lm import load_pretrained
from curate.models.quiet import quiet
from curate.models.recipe import ModelRecipe
from curate.models.resolve import ModelFiles, fingerprint
from curate.models.text_tokenizer import load_tokenizer
from curate.models.weights import check_whole, loading

_COMPUTATION = "2"
_MOST_TOKENS = 512
_CPU_BATCH_TOKENS = 2048
_GPU_BATCH_TOKENS = 32768
_MODULES = "sentence_transformers."
_ENCODER_ONLY = ("T5EncoderModel", "MT5EncoderModel")  # AutoModel would look for a decoder, too


class SentenceEncoder:
    """A sentence-transformers directory, or a transformer, behind the EmbeddingModel protocol.

    Computed in float32. Only safetensors are loaded, and no code that comes with the model is run.

    Args:
        files: The model's.
        device: `cpu`, `cuda` or `auto`.

    Raises:
        ModelError: Incomplete, or with modules that are not that library's own.
    """

    recipe: ModelRecipe
    threads = 1

    def __init__(self, files: ModelFiles, device: str = "auto") -> None:
        folders = _module_folders(files)
        check_whole(files.folder, files.name)
        with quiet():
            import torch

            self._tokenizer = load_tokenizer(files)
        self.device = choose_device(device)
        marks = [fingerprint(files.folder), *map(fingerprint, folders), _COMPUTATION]
        self.name, self._files = files.name, files
        # Devices round differently: what one has begun, another does not go on with.
        self.fingerprint, self.origin = _signed(*marks, self.device), _signed(*marks)
        on_cpu = self.device == "cpu"
        self.batch_tokens = _CPU_BATCH_TOKENS if on_cpu else _GPU_BATCH_TOKENS
        self._cores = torch.get_num_threads()
        self.workers = workers(self.device)
        self._longest = _longest(files)
        self._model = LoadedOnce(partial(_loaded, files, self.device))

    @cached_property
    def dimensions(self) -> int:
        """Numbers of a vector; they are known from the weights, so those are loaded."""
        here = self.device == choose_device()  # else a worker elsewhere has the device
        model = self._model.get() if here else _loaded(self._files, "cpu")
        return int(model.get_embedding_dimension())

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text that are read."""
        ids = self._tokenizer(
            list(texts), truncation=True, max_length=self._longest, return_attention_mask=False
        )["input_ids"]
        return [max(1, len(each)) for each in ids]

    def prepare(self) -> None:
        """Load the weights, once, whoever calls and how often."""
        self._model.get()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of some texts, (texts, dimensions)."""
        vectors: NDArray[np.float32] = self._model.ready.encode(
            list(texts), batch_size=max(1, len(texts)), show_progress_bar=False
        )
        return vectors

    def worker(self) -> AbstractContextManager[None]:
        """Return a context in which one worker thread computes, on a core of its own."""
        return one_core(self.device, self._cores)


def _loaded(files: ModelFiles, device: str) -> Any:
    # The library goes on with random numbers where weights are missing: looked for first.
    architecture = (_json(files, "config.json").get("architectures") or [""])[0]
    load_pretrained(
        architecture if architecture in _ENCODER_ONLY else "AutoModel",
        files,
        called=f"encoder '{files.name}'",
        kind="encoder",
        dtype="float32",
        device=device,
        unused="pooler.",  # a head over the states, which are read without it
    )
    with loading(f"encoder '{files.name}'", files.folder):
        import torch
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(
            str(files.folder),
            device=device,
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "dtype": torch.float32},
        )
        model.encode(["."])  # sets its tokenizer up, which threads cannot do at once
    return model


def _module_folders(files: ModelFiles) -> list[Path]:
    """Return the folders of an encoder's modules beside the transformer's own."""
    modules = _json(files, "modules.json") or []
    root = files.folder.resolve()
    folders = []
    for module in modules:
        kind, inner = str(module.get("type", "")), files.folder / str(module.get("path", ""))
        if not kind.startswith(_MODULES):
            raise ModelError(
                f"encoder '{files.name}' has a module that is not of sentence-transformers "
                f"({kind}), and code that comes with a model is not run. Take another encoder"
            )
        if inner.resolve() == root:
            continue
        if inner.resolve().parent != root:
            raise ModelError(
                f"encoder '{files.name}' names a module outside its folder ({module['path']})"
            )
        if any(inner.rglob("*.bin")) and not any(inner.rglob("*.safetensors")):
            raise ModelError(
                f"encoder '{files.name}': {inner.name} has no model.safetensors; .bin files are "
                "not loaded, since they can run code. Save it again with a newer "
                "sentence-transformers"
            )
        _json(files, f"{inner.name}/config.json")
        folders.append(inner)
    return folders


def _longest(files: ModelFiles) -> int:
    """Return how many tokens are read: what the encoder says, else what its tokenizer says."""
    positions = max_positions(_json(files, "config.json")) or _MOST_TOKENS
    own = _json(files, "sentence_bert_config.json").get("max_seq_length")
    wanted = own or _json(files, "tokenizer_config.json").get("model_max_length") or positions
    return max(8, min(int(wanted), positions))


def _signed(*marks: str) -> str:
    return hashlib.sha256("|".join(marks).encode()).hexdigest()


def _json(files: ModelFiles, name: str) -> Any:
    path = files.folder / name
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"encoder '{files.name}': {name} is not JSON ({error})") from error
