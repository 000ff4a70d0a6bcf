"""From what the user typed to a model's config, without loading or fetching a model."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from curate.errors import ModelError, UsageError, did_you_mean
from train.memory.catalogue import KNOWN, TYPICAL
from train.memory.shape import ModelShape, shape_of

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_SUFFIXES = re.compile(r"[-_](instruct|chat|hf|base|it|v\d+(\.\d+)?|mt|sft|meta)$")
_COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmbt]?)", re.IGNORECASE)
_TIMES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


def config_of(model: str) -> dict[str, Any]:
    """Return the config of a model: its own file, or the shape that is known by its name.

    Example:
        >>> config_of("bloomz-7b1")["vocab_size"]
        250880
    """
    path = Path(model).expanduser()
    if path.is_dir():
        path = path / "config.json"
    if path.is_file():
        return _read(path)
    known = known_name(model)
    cached = _cached(model) if _HUB_ID.fullmatch(model) else None
    if cached:
        return _read(cached)
    if known:
        return KNOWN[known]
    if path.name == "config.json":
        raise ModelError(_without_config(path.parent))
    hint = did_you_mean(model.lower(), KNOWN)
    raise ModelError(
        f"nothing is known of the shape of '{model}'.{hint} Give a directory with config.json, a "
        f"hub id whose files are in the hub's cache, a known name ({_families()}), or --params 7.1B"
    )


def known_name(model: str) -> str | None:
    """Return the catalogue's name of a model, whatever stands before or after it.

    Example:
        >>> known_name("meta-llama/Llama-2-7b-chat-hf")
        'llama-2-7b'
    """
    name = model.rsplit("/", 1)[-1].lower().removeprefix("meta-")
    while name not in KNOWN:
        shorter = _SUFFIXES.sub("", name)
        if shorter == name:
            return None
        name = shorter
    return name


def count_of(text: str) -> int:
    """Read a number of parameters.

    Example:
        >>> count_of("7.1B")
        7100000000
    """
    found = _COUNT.fullmatch(text.strip())
    count = float(found[1]) * _TIMES[found[2].lower()] if found else 0.0
    if not 1e5 <= count <= 1e14:
        raise UsageError(
            f"--params {text}: allowed is a number of parameters such as 7.1B, 135M or 7069016064"
        )
    return round(count)


def typical(parameters: int) -> tuple[ModelShape, str]:
    """Return a shape for a bare number of parameters, and the model it is taken from.

    Example:
        >>> typical(7_100_000_000)[1]
        'llama-2-7b'
    """
    shapes = {name: shape_of(KNOWN[name], name) for name in TYPICAL}
    sizes = {
        name: max(shape.parameters / parameters, parameters / shape.parameters)
        for name, shape in shapes.items()
    }
    like = min(sizes, key=lambda name: sizes[name])
    return replace(shapes[like], name=f"{parameters:,} parameters", parameters=parameters), like


def _read(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(told, dict):
        raise ModelError(f"{path} holds no JSON object; give a model's own config.json")
    return told


def _cached(model: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json")
    return Path(found) if isinstance(found, str) else None


def _families() -> str:
    """Return the families of the known names with their sizes: yi-6b, -34b."""
    sizes: dict[str, list[str]] = {}
    for name in KNOWN:
        family, _, size = name.rpartition("-")
        sizes.setdefault(family or name, []).extend([f"-{size}"] if family else [])
    return "; ".join(f"{family}{', '.join(each)}" for family, each in sizes.items())


def _without_config(folder: Path) -> str:
    try:
        base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{folder} has no config.json; give the folder that save_pretrained wrote"
    named = base.get("base_model_name_or_path") if isinstance(base, dict) else None
    return f"{folder} holds an adapter; give its base{f', {named}' if named else ''}"
