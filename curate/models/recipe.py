"""How a model is loaded once more, where nothing of the first one can be reached."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from curate.models.protocols import Model
from curate.system.manifest import versions

# Kind to the module and function that load it, and what these take besides the name.
_LOADERS = {
    "causal_lm": ("load_causal_lm", "load_causal_lm", ("dtype", "trust_remote_code", "device")),
    "generator": (
        *("generate", "load_generator"),
        ("dtype", "trust_remote_code", "concurrency", "device", "batch_tokens"),
    ),
    "encoder": ("embedding", "load_encoder", ("device",)),
    "features": ("ranking.features", "load_features", ("device",)),
    "reward": ("ranking.reward_models", "load_reward", ("encoder", "device")),
}


# What decides a model's numbers besides its files, and what hands it the rows.
_COMPARED = ("curatrain", "torch", "transformers")


@dataclass(frozen=True)
class ModelRecipe:
    """All that a worker needs to load a model; it pickles and weighs nothing.

    Attributes:
        kind: `causal_lm`, `generator`, `encoder`, `features` or `reward`.
        name: What the user gave; a directory by its whole path.
        dtype: `auto`, `float32` or `bfloat16`.
        device: `auto`, `cpu` or `cuda`; an engine whose workers are elsewhere fills in theirs.
        trust_remote_code: Run Python files that come with the model.
        encoder: Of a trained ranker, where its encoder lies.
        concurrency: Requests that a server is sent at once.
        batch_tokens: Of a generator, what its device has room for; None where that is seen.
        fingerprint: That the model has to have; '' for any.
        versions: `(package, version)` that a worker has to have; () for any.
    """

    kind: str
    name: str
    dtype: str = "auto"
    device: str = "auto"
    trust_remote_code: bool = False
    encoder: str | None = None
    concurrency: int = 8
    batch_tokens: int | None = None
    fingerprint: str = ""
    versions: tuple[tuple[str, str], ...] = ()

    def load(self) -> Any:
        """Return the model, its weights not loaded.

        Raises:
            ModelError: Not to be had here, under other versions than it has to have, or with
                another fingerprint.
        """
        self._refuse_other_versions()
        module, function, options = _LOADERS[self.kind]
        loader = getattr(importlib.import_module(f"curate.models.{module}"), function)
        model = loader(self.name, **{option: getattr(self, option) for option in options})
        if self.fingerprint and model.fingerprint != self.fingerprint:
            raise ModelError(
                f"model '{self.name}' is another one here (fingerprint {model.fingerprint[:12]}) "
                f"than where the run was started ({self.fingerprint[:12]}): copy the same files "
                "here, and see that both have the same version of curatrain"
            )
        return model

    def _refuse_other_versions(self) -> None:
        here = dict(compared_versions())
        other = [(name, needed) for name, needed in self.versions if here[name] != needed]
        if other:
            raise ModelError(
                f"model '{self.name}': this worker has "
                f"{', '.join(f'{name} {here[name]}' for name, _ in other)}, and the run was "
                f"started with {', '.join(map(' '.join, other))}, which computes other numbers; "
                "install the same versions here, or start the run with this worker's"
            )


def compared_versions() -> tuple[tuple[str, str], ...]:
    """Return the versions here of what decides a model's numbers; `none` for what is not here."""
    here = versions()
    return tuple((name, here.get(name, "none")) for name in _COMPARED)


def whole_path(name: str) -> str:
    """Return a directory by its whole path, any other name as it is."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.is_dir() else name


def recipe_of(kind: str, name: str, model: Model, **more: Any) -> ModelRecipe:
    """Return what loads a model once more that was loaded by that name."""
    return ModelRecipe(
        kind=kind,
        name=whole_path(name),
        device=model.device,
        fingerprint=model.fingerprint,
        versions=compared_versions(),
        **more,
    )
