"""From what the user typed to a folder of model files, safetensors only."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from curate.errors import ModelError, did_you_mean
from curate.models.hub import hub_folder
from curate.models.packaged import PACKAGED, ensure
from curate.system.cache import fingerprint as fingerprint

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


@dataclass(frozen=True)
class ModelFiles:
    """A model on this machine.

    Attributes:
        name: What the user called it; a directory keeps only its last part.
        folder: Where its files lie.
        licence: As far as it is known here.
        languages: Two-letter codes its scores can be trusted on; empty when not known.
    """

    name: str
    folder: Path
    licence: str = "not known here; see its model card"
    languages: tuple[str, ...] = ()


def resolve(name: str, trust_remote_code: bool = False) -> ModelFiles:
    """Return the local files of a model, fetching them the first time.

    Args:
        name: `smollm2`, `gemma3-270m`, a directory, or a hub id such as `Qwen/Qwen2.5-0.5B`.
        trust_remote_code: The user lets Python files that come with the model run.

    Raises:
        ModelError: Unknown, incomplete, not to be had, or it comes with code and is not trusted.

    Example:
        >>> resolve("smolm2")
        Traceback (most recent call last):
        curate.errors.ModelError: no model 'smolm2'. Did you mean 'smollm2'? ...
    """
    known = PACKAGED.get(name)
    if known:
        return ModelFiles(name, ensure(known), known.licence, known.languages)
    path = Path(name).expanduser()
    if path.is_dir():
        return ModelFiles(path.resolve().name, _checked(path, trust_remote_code))
    if path.is_file():
        raise ModelError(f"'{name}' is a file; give the directory with config.json and weights.")
    if HUB_ID.fullmatch(name) and not path.parent.is_dir():
        folder = hub_folder(name, with_code=trust_remote_code)
        return ModelFiles(name, _checked(folder, trust_remote_code, f"hub model '{name}'"))
    raise ModelError(
        f"no model '{name}'.{did_you_mean(name, PACKAGED)} Known are {', '.join(PACKAGED)}; "
        "a directory with config.json and safetensors, or a hub id (owner/name), will do too."
    )


def _checked(folder: Path, trusted: bool, called: str = "") -> Path:
    here = called or f"model directory '{folder.resolve().name}'"
    if (folder / "adapter_config.json").is_file():
        raise ModelError(
            f"{here} holds an adapter, not a whole model; merge it into its base first."
        )
    if not (folder / "config.json").is_file():
        raise ModelError(f"{here} has no config.json; give the folder that save_pretrained wrote.")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{here} has no *.safetensors; .bin and .pt files are not loaded, since they can run "
            "code. Save it again with save_pretrained(folder)."
        )
    if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        raise ModelError(
            f"{here} has no tokenizer (one of {', '.join(_TOKENIZER_FILES)}); copy it there from "
            "the base model: AutoTokenizer.from_pretrained(BASE).save_pretrained(folder)."
        )
    if not trusted and _brings_code(folder, here):
        raise ModelError(
            f"{here} comes with Python files of its own, and they are not run unasked. "
            "--trust-remote-code runs them: give it only if you trust whoever wrote them."
        )
    return folder


def _brings_code(folder: Path, here: str) -> bool:
    """Return whether config or tokenizer name classes in Python files that lie there."""
    wanted = False
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file():
            try:
                told = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ModelError(f"{here}: {name} is not JSON ({error}).") from error
            wanted = wanted or (isinstance(told, dict) and bool(told.get("auto_map")))
    return wanted and any(folder.glob("*.py"))
