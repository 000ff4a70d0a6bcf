"""LoRA adapters: a folder that holds what was learned, and names the model that it is added to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from curate.models.resolve import ModelFiles, fingerprint, resolve
from curate.models.weights import refuse_missing
from curate.system.files import sha256_of
from curate.system.model_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CHAT_TEMPLATE,
    TOKENIZER_CONFIG,
    adapter_base,
    is_adapter,
    read_json,
)

_DECIDING = (ADAPTER_WEIGHTS, "tokenizer.json", TOKENIZER_CONFIG, CHAT_TEMPLATE)


def files_of(name: str, trust_remote_code: bool = False) -> ModelFiles:
    """Return the files of a model, or those of an adapter, whose base is found by base_of()."""
    folder = Path(name).expanduser()
    if folder.is_dir() and is_adapter(folder):
        return ModelFiles(folder.resolve().name, folder)
    return resolve(name, trust_remote_code)


def base_of(files: ModelFiles, trust_remote_code: bool = False) -> ModelFiles:
    """Return the model that an adapter is added to."""
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
    """Return the sha256 over what an adapter adds to its base's numbers.

    The trainer's own records lie in the same folder and do not count; neither does the place
    where the base lay, which has a fingerprint of its own.
    """
    digest = hashlib.sha256()
    config = read_json(folder / ADAPTER_CONFIG)
    config.pop("base_model_name_or_path", None)
    digest.update(json.dumps(config, sort_keys=True).encode())
    for name in _DECIDING:
        if (folder / name).is_file():
            digest.update(name.encode() + bytes.fromhex(sha256_of(folder / name)))
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
