"""What made an output: recipe, parameters, inputs, counts, versions."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

_NAMED = ("curatrain", "numpy", "pyarrow", "torch", "transformers", "tokenizers")


def versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _NAMED:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def to_json(manifest: dict[str, Any]) -> str:
    """Return a manifest as text, real Chinese and a line for each entry."""
    return json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"


def read_manifest(path: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None
