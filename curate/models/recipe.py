"""How a model is loaded: once in a process, onto a device, and by a recipe in every worker."""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from curate.errors import ModelError
from curate.models.packaged_models import BUNDLED
from curate.models.protocols import Model
from curate.system.files import at_home
from curate.system.manifest import versions

# Python threads share one interpreter lock.
_MOST_WORKERS = 32
T = TypeVar("T")
M = TypeVar("M", bound=Model)

# Kind to the function that loads it; what that takes besides the name is named as in a recipe.
_LOADERS = {
    "causal_lm": "causal_lm.load_causal_lm",
    "generator": "generate.load_generator",
    "encoder": "embedding.load_encoder",
    "states": "hidden_states.load_hidden_states",
    "features": "ranking.features.load_features",
    "reward": "ranking.reward_models.load_reward",
}
# What decides a model's numbers besides its files, and what hands it the rows.
_COMPARED = ("curatrain", "torch", "transformers")


@dataclass(frozen=True)
class ModelRecipe:
    """All that a worker needs to load a model; it pickles."""

    kind: str  # of _LOADERS
    name: str  # what the user gave; a directory by its whole path
    dtype: str = "auto"
    device: str = "auto"  # an engine whose workers are elsewhere fills in theirs
    trust_remote_code: bool = False
    batch_tokens: int | None = None  # of a generator; None where the device's room is seen
    fingerprint: str = ""  # that the model has to have; '' for any
    versions: tuple[tuple[str, str], ...] = ()  # (package, version) that a worker has to have

    def load(self) -> Any:
        """Return the model, its weights not loaded; ModelError if it is another one here."""
        here = dict(compared_versions())
        other = [(package, needed) for package, needed in self.versions if here[package] != needed]
        if other:
            raise ModelError(
                f"model '{self.name}': this worker has "
                f"{', '.join(f'{package} {here[package]}' for package, _ in other)}, and the run "
                f"was started with {', '.join(map(' '.join, other))}, which computes other "
                "numbers; install the same versions here, or start the run with this worker's"
            )
        module, _, function = _LOADERS[self.kind].rpartition(".")
        loader = getattr(importlib.import_module(f"curate.models.{module}"), function)
        options = list(inspect.signature(loader).parameters)[1:]
        model = loader(self.name, **{option: getattr(self, option) for option in options})
        if self.fingerprint and model.fingerprint != self.fingerprint:
            raise ModelError(
                f"model '{self.name}' is another one here (fingerprint {model.fingerprint[:12]}) "
                f"than where the run was started ({self.fingerprint[:12]}): copy the same files "
                "here, and see that both have the same version of curatrain"
            )
        return model


def compared_versions() -> tuple[tuple[str, str], ...]:
    here = versions()
    return tuple((package, here.get(package, "none")) for package in _COMPARED)


def whole_path(name: str) -> str:
    """Return a directory by its whole path, any other name as it is."""
    path = at_home(name)
    return str(path.resolve()) if name not in BUNDLED and path.is_dir() else name


def with_recipe(model: M, kind: str, name: str, **more: Any) -> M:
    """Return a model with what loads it once more, that was loaded by that name."""
    model.recipe = ModelRecipe(
        kind=kind,
        name=whole_path(name),
        dtype=getattr(model, "dtype", "auto"),
        device=model.device,
        fingerprint=model.fingerprint,
        versions=compared_versions(),
        **more,
    )
    return model


def choose_device(device: str = "auto") -> str:
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


class LoadedOnce(Generic[T]):
    """What load() gives, made by whoever asks first."""

    def __init__(self, load: Callable[[], T]) -> None:
        self._load, self._lock = load, threading.Lock()
        self._loaded: T | None = None

    def get(self) -> T:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
        return self._loaded

    @property
    def ready(self) -> T:
        if self._loaded is None:
            raise RuntimeError("prepare() comes before anything is computed")
        return self._loaded

    def __bool__(self) -> bool:
        return self._loaded is not None


class TorchOnce(LoadedOnce[T]):
    """What torch loads once, and how many threads compute with it side by side, on a core each."""

    def __init__(self, load: Callable[[], T], device: str) -> None:
        import torch

        super().__init__(load)
        self._device, self._cores = device, torch.get_num_threads()
        self.workers = min(self._cores, _MOST_WORKERS) if device == "cpu" else 1

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Let the calling thread compute on one core, and leave the setting as it was."""
        import torch  # whose sums of bfloat16 are others on two cores, by up to 0.5 nats a sentence

        if self._device == "cpu":
            torch.get_num_threads()  # a thread's first call takes over whatever was set last
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if self._device == "cpu":
                torch.set_num_threads(self._cores)
