"""Models of the Hugging Face hub: what lies in its cache, and fetching what does not."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curate.errors import ModelError
from curate.models.packaged import PACKAGED

_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.tiktoken")
_SECONDS = 5.0  # to find out whether the hub can be reached at all


def hub_folder(name: str, with_code: bool = False) -> Path:
    """Return the folder of a hub model, downloading it if it is not in the hub's cache.

    What lies there whole is used as it is, without asking the hub for a newer revision: a run
    that is continued next week should not find other weights.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    patterns = [*_FILES, "*.py"] if with_code else list(_FILES)
    try:
        cached = Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):
        cached = None
    if cached and is_whole(cached) and not with_code:
        return cached
    try:
        _within(_SECONDS, lambda: HfApi().model_info(name, timeout=_SECONDS / 2))
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # noqa: BLE001 - httpx, requests or hub errors, by hub version
        if cached and is_whole(cached):
            return cached
        raise ModelError(f"hub model '{name}' could not be fetched: {_why(error)}") from error


def is_whole(folder: Path) -> bool:
    """Return whether a snapshot has a config and all its safetensors files."""
    if not (folder / "config.json").is_file():
        return False
    for index in folder.glob("*.safetensors.index.json"):
        try:
            shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        except (ValueError, KeyError, AttributeError):
            return False
        return all((folder / shard).is_file() for shard in shards)
    return any(folder.glob("*.safetensors"))


def _within(seconds: float, ask: Callable[[], Any]) -> None:
    """Call ask; TimeoutError if it takes longer, whatever its own time limits add up to.

    A hub behind a silent firewall is tried at each of its dozen addresses in turn.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            ask()
        except BaseException as error:  # noqa: BLE001 - raised again by the caller
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    if raised:
        raise raised[0]


def _why(error: BaseException) -> str:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
    )

    if isinstance(error, GatedRepoError):
        return "its owner wants terms accepted on its page first; then `hf auth login`."
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no such model, or it is private (`hf auth login`)."
    if isinstance(error, HFValidationError):
        return "that is no valid hub id (owner/name)."
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, HfHubHTTPError) and status:
        return f"the hub answered {status}; try again later."
    if isinstance(error, OSError) and error.errno == 28:
        return "the disk is full (HF_HOME names the folder it goes to)."
    return f"the hub cannot be reached. Without it use {', '.join(PACKAGED)} or a directory."
