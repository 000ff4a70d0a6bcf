"""Folders that are made whole or not at all, and what is noted in them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.errors import OutputError
from curate.system.manifest import read_manifest
from curate.system.model_folder import CHAT_TEMPLATE

MANIFEST = "deploy.manifest.json"
_GB = 1e9


def default_output(folder: Path, suffix: str) -> Path:
    """Return where a model made from a folder goes: beside it.

    Example:
        >>> default_output(Path("saves/medical"), "merged")
        PosixPath('saves/medical-merged')
    """
    whole = folder if folder.name not in ("", "..") else folder.resolve()
    return whole.with_name(f"{whole.name}-{suffix}")


def check_output(output: Path, needed: float) -> None:
    """Raise if a folder cannot be made there, before anything is computed."""
    if output.exists() or output.is_symlink():
        raise OutputError(
            f"{output} is there already and is not replaced; give another --output, or remove it"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(output.parent).free
    if free < needed:
        raise OutputError(
            f"{output} takes about {needed / _GB:.2f} GB, and {output.parent} has "
            f"{free / _GB:.2f} GB free; make room, or name a place that has it with --output"
        )


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


def made(folder: Path) -> dict[str, Any]:
    """Return what `deploy` noted of a model that it made; nothing for any other."""
    return read_manifest(folder / MANIFEST) or {}


def set_chat_template(folder: Path, template: str) -> None:
    """Give a tokenizer a chat template, or take it away."""
    settings, path = folder / "tokenizer_config.json", folder / CHAT_TEMPLATE
    told = json.loads(settings.read_text(encoding="utf-8"))
    if told.pop("chat_template", None) is not None:
        settings.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")
    if not template:
        path.unlink(missing_ok=True)
    else:
        path.write_text(template, encoding="utf-8")
