"""LoRA adapters: a folder that holds what was learned, and names the model that it is added to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from curate.models.resolve import ModelFiles, fingerprint, resolve
from curate.models.weights import refuse_missing

ADAPTER = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
RUN = "run.json"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter."""
    return (folder / ADAPTER).is_file()


def files_of(name: str, trust_remote_code: bool = False) -> ModelFiles:
    """Return the files of a model, or those of an adapter, whose base is found by base_of()."""
    folder = Path(name).expanduser()
    if folder.is_dir() and is_adapter(folder):
        return ModelFiles(folder.resolve().name, folder)
    return resolve(name, trust_remote_code)


def base_of(files: ModelFiles, trust_remote_code: bool = False) -> ModelFiles:
    """Return the model that an adapter is added to.

    The adapter itself names it, often by where it lay in training; where nothing lies there any
    more, the name that the user gave to `train` is taken from the run's own record.
    """
    if not (files.folder / WEIGHTS).is_file():
        raise ModelError(
            f"'{files.name}' has no {WEIGHTS}; copy it there (.bin files are not loaded, since "
            "they can run code)."
        )
    try:
        told = json.loads((files.folder / ADAPTER).read_text(encoding="utf-8"))
        name = str(told["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"'{files.name}': {ADAPTER} cannot be read; copy it again.") from error
    try:
        return resolve(name, trust_remote_code)
    except ModelError as error:
        if trained := _trained_from(files.folder):
            return resolve(trained, trust_remote_code)
        raise ModelError(
            f"the base model of adapter '{files.name}' is not to be had: {error} It is named in "
            f"base_model_name_or_path of {ADAPTER}."
        ) from error


def adapter_fingerprint(folder: Path) -> str:
    """Return the sha256 over what an adapter adds to its base's numbers.

    The trainer's own records lie in the same folder and do not count; neither does the place
    where the base lay, which has a fingerprint of its own.
    """
    digest = hashlib.sha256()
    told = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
    told.pop("base_model_name_or_path", None)
    digest.update(json.dumps(told, sort_keys=True).encode())
    for name in (WEIGHTS, *_TOKENIZER):
        if (folder / name).is_file():
            with (folder / name).open("rb") as stream:
                digest.update(name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def fingerprint_of(files: ModelFiles) -> str:
    """Return the sha256 of a model's files; of an adapter, with its base's."""
    if not is_adapter(files.folder):
        return fingerprint(files.folder)
    parts = fingerprint(base_of(files).folder) + adapter_fingerprint(files.folder)
    return hashlib.sha256(parts.encode()).hexdigest()


def with_adapter(model: Any, files: ModelFiles) -> Any:
    """Return peft's model: the adapter's weights are computed beside the base's."""
    try:
        import peft
    except ImportError as error:
        raise ModelError(
            f"'{files.name}' is an adapter, which peft loads: pip install 'peft>=0.18,<0.19'"
        ) from error
    renamed = getattr(model, "_checkpoint_conversion_mapping", None)
    config = peft.PeftConfig.from_pretrained(str(files.folder))
    config.inference_mode = True
    tuned = peft.get_peft_model(model, config)
    held = peft.utils.load_peft_weights(str(files.folder), device="cpu", key_mapping=renamed)
    state_of: Any = peft.get_peft_model_state_dict
    expected = state_of(tuned, save_embedding_layers=False)
    refuse_missing(f"adapter '{files.name}' is not whole", expected.keys() - held.keys())
    if foreign := sorted(held.keys() - expected.keys() - tuned.state_dict().keys()):
        raise ModelError(
            f"adapter '{files.name}': {len(foreign)} of its weights belong to no part of the base "
            f"({foreign[0]} …); it was trained on another model."
        )
    peft.set_peft_model_state_dict(tuned, held)
    return tuned


def _trained_from(folder: Path) -> str:
    try:
        told = json.loads((folder / RUN).read_text(encoding="utf-8"))
        return str(told.get("model") or "")
    except (OSError, ValueError, AttributeError):
        return ""
