"""Where models are: runs by name, folders made whole or not at all, and what is noted in them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.errors import OutputError
from curate.system import model_folder
from curate.system.manifest import read_manifest, to_json
from curate.system.model_folder import (
    CHAT_TEMPLATE,
    CONFIG,
    TOKENIZER_CONFIG,
    for_older_readers,
    read_json,
)

SAVES = Path("saves")
_MANIFEST = "deploy.manifest.json"


def run_or_folder(typed: Path) -> Path:
    """Return the folder that the user means: as typed, or of that name among the runs."""
    named = SAVES / typed
    return named if not typed.exists() and not typed.is_absolute() and named.is_dir() else typed


def default_output(folder: Path, suffix: str) -> Path:
    """Return where a model made from a folder goes: beside it."""
    whole = folder if folder.name not in ("", "..") else folder.resolve()
    return whole.with_name(f"{whole.name}-{suffix}")


def check_output(output: Path, needed: float) -> None:
    """Raise if a folder of so many bytes cannot be made there, before anything is computed."""
    if output.exists() or output.is_symlink():
        raise OutputError(f"{output} is there already; give another --output, or remove it")
    output.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(output.parent).free
    if free < needed:
        room = f"about {needed / 1e9:.2f} GB, and {output.parent} has {free / 1e9:.2f} GB free"
        raise OutputError(f"{output} takes {room}; make room, or give another --output")


@contextmanager
def unfinished(output: Path) -> Iterator[Path]:
    """Give a folder beside the output; it takes the output's name only if the block succeeds."""
    part = output.with_name(f".{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        if output.exists():
            raise OutputError(f"{output} came into being meanwhile; give another --output")
        os.replace(part, output)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def note(folder: Path, manifest: dict[str, Any]) -> None:
    (folder / _MANIFEST).write_text(to_json(manifest), encoding="utf-8")


def noted(folder: Path) -> dict[str, Any]:
    """Return what `deploy` noted of a model that it made; nothing for any other."""
    return read_manifest(folder / _MANIFEST) or {}


def repair(folder: Path, template: str) -> list[str]:
    """Say names as older readers do, set the chat template; return what was changed."""
    changed = for_older_readers(folder)
    if template != model_folder.chat_template(folder):
        settings, path = folder / TOKENIZER_CONFIG, folder / CHAT_TEMPLATE
        values = read_json(settings)
        if values.pop("chat_template", None) is not None:
            settings.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")
        if template:
            path.write_text(template, encoding="utf-8")
        else:
            path.unlink(missing_ok=True)
        changed.append("chat template: the adapter's own" if template else "chat template: none")
    # Safetensors are written for their owner alone; who may read the config may read them.
    for path in folder.glob("*.safetensors"):
        path.chmod((folder / CONFIG).stat().st_mode)
    return changed
