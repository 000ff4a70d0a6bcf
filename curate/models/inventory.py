"""What models there are to choose from, and which of them lie on this machine already."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from curate.models.catalogue import PACKAGED, Packaged
from curate.models.hub import is_whole
from curate.models.packaged import converted_folder, is_ready
from curate.models.trained import bundled_ranker, rankers_here, use
from curate.models.weights import parameters

LANGUAGE, ENCODER, RANKER = "language model", "encoder", "ranker"
# What to type such a model after.
OPTIONS = {LANGUAGE: "--model", ENCODER: "--encoder", RANKER: "--reward, --ranker"}


@dataclass(frozen=True)
class ModelInfo:
    """A model as `curate models` lists it.

    Attributes:
        name: What to type after the option.
        kind: `language model`, `encoder` (of sentences) or `ranker` (or reward model).
        option: What it is typed after.
        parameters: Size, such as `135M`.
        licence: Short name, or an empty string where only its model card says.
        languages: Two-letter codes its scores can be trusted on; empty when not known.
        ready: Whether it can be used without fetching anything.
        where: Folder it lies in, or what it will be fetched from.
        folder: Of its files; None while it is not here.
        bytes_on_disk: 0 when it is not here.
        note: What to know before choosing it.
    """

    name: str
    kind: str
    option: str
    parameters: str
    licence: str
    languages: tuple[str, ...]
    ready: bool
    where: str
    folder: Path | None
    bytes_on_disk: int
    note: str


def at_hand(here: Path = Path()) -> list[ModelInfo]:
    """Return language models, encoders and rankers: what comes with curate first, then the hub's.

    Nothing is loaded and no network is asked: it takes milliseconds a model.

    Args:
        here: Folder in which trained rankers are looked for, and its `saves`.
    """
    cached = _cached()
    found = [_packaged(model) for model in PACKAGED.values()]
    found += [each for each in cached if each.kind == LANGUAGE]
    encoder, ranker = use(), bundled_ranker()
    found.append(_info(ENCODER, **encoder))
    found += [each for each in cached if each.kind == ENCODER]
    found.append(_info(RANKER, **ranker))
    found += [_info(RANKER, **each) for each in rankers_here(here)]
    return found + [each for each in cached if each.kind == RANKER]


def _info(kind: str, **told: Any) -> ModelInfo:
    folder: Path | None = told["folder"]
    told.setdefault("where", str(folder))
    told["bytes_on_disk"] = _bytes(folder) if folder else 0
    return ModelInfo(kind=kind, option=OPTIONS[kind], **told)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*") if file.is_file())


def _packaged(model: Packaged) -> ModelInfo:
    ready, folder = is_ready(model), converted_folder(model)
    fetched = " ".join(part.requirement for part in model.parts)
    return _info(
        LANGUAGE,
        name=model.name,
        parameters=model.parameters,
        licence=model.licence,
        languages=model.languages,
        ready=ready,
        where=str(folder) if ready else f"pip: {fetched}",
        folder=folder if ready else None,
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
            found.append(_hub_model(repo.repo_id, folder))
    return sorted(found, key=lambda info: info.name)


def _hub_model(name: str, folder: Path) -> ModelInfo:
    whole = is_whole(folder)
    try:
        count = parameters(folder)
    except (ModelError, OSError):
        whole, count = False, 0
    return _info(
        _kind(folder),
        name=name,
        parameters=_short(count) if count else "",
        licence="",
        languages=(),
        ready=whole,
        folder=folder,
        note="from the hub; see its model card" if whole else "not all of it is here",
    )


def _kind(folder: Path) -> str:
    """Return what a hub model is for, as its config names what it is."""
    try:
        told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        made = str((told.get("architectures") or [""])[0])
    except (OSError, ValueError, AttributeError, IndexError):
        made = ""
    if made.endswith("ForSequenceClassification"):
        return RANKER
    causal = made.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")) or not made
    return LANGUAGE if causal and not (folder / "modules.json").is_file() else ENCODER


def _short(count: int) -> str:
    return f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.0f}M"
