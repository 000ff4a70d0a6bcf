"""What models there are to choose from, and which of them lie on this machine already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curate.errors import ModelError
from curate.models.catalogue import PACKAGED, Packaged
from curate.models.hub import is_whole
from curate.models.packaged import converted_folder, is_ready
from curate.models.weights import parameters


@dataclass(frozen=True)
class ModelInfo:
    """A model as `curate models` lists it.

    Attributes:
        name: What to type after --model.
        parameters: Size, such as `135M`.
        licence: Short name, or an empty string where only its model card says.
        languages: Two-letter codes its scores can be trusted on; empty when not known.
        ready: Whether it can be used without fetching anything.
        where: Folder it lies in, or what it will be fetched from.
        bytes_on_disk: 0 when it is not here.
        note: What to know before choosing it.
    """

    name: str
    parameters: str
    licence: str
    languages: tuple[str, ...]
    ready: bool
    where: str
    bytes_on_disk: int
    note: str


def at_hand() -> list[ModelInfo]:
    """Return the packaged models, then the causal models in the hub's cache, by name.

    Nothing is loaded and no network is asked: it takes milliseconds a model.
    """
    return [_packaged(model) for model in PACKAGED.values()] + _cached()


def _packaged(model: Packaged) -> ModelInfo:
    ready, folder = is_ready(model), converted_folder(model)
    fetched = " ".join(part.requirement for part in model.parts)
    return ModelInfo(
        name=model.name,
        parameters=model.parameters,
        licence=model.licence,
        languages=model.languages,
        ready=ready,
        where=str(folder) if ready else f"pip: {fetched}",
        bytes_on_disk=sum(f.stat().st_size for f in folder.glob("*")) if ready else 0,
        note=model.note,
    )


def _cached() -> list[ModelInfo]:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    found = []
    for repo in repos:
        newest = max(repo.revisions, key=lambda r: r.last_modified, default=None)
        if repo.repo_type != "model" or newest is None:
            continue
        folder = Path(newest.snapshot_path)
        if any(folder.glob("*.safetensors")):
            found.append(_hub_model(repo.repo_id, folder, int(repo.size_on_disk)))
    return sorted(found, key=lambda info: info.name)


def _hub_model(name: str, folder: Path, size: int) -> ModelInfo:
    whole = is_whole(folder)
    try:
        count = parameters(folder)
    except (ModelError, OSError):
        whole, count = False, 0
    return ModelInfo(
        name=name,
        parameters=_short(count) if count else "",
        licence="",
        languages=(),
        ready=whole,
        where=str(folder),
        bytes_on_disk=size,
        note="from the hub; see its model card" if whole else "not all of it is here",
    )


def _short(count: int) -> str:
    return f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.0f}M"
