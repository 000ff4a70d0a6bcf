"""What can be told from safetensors files without loading them: whole, how large, does it fit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.errors import ModelError
from curate.models.architecture import BYTES
from curate.models.quiet import quiet
from curate.system.hardware import free_memory
from curate.system.model_folder import missing_shards, parameters, shards


def check_whole(folder: Path, name: str) -> None:
    """Raise if a weight file is missing or cut short."""
    try:
        absent = missing_shards(folder)
        parameters(folder)
    except ModelError as error:
        raise ModelError(f"model '{name}': {reason(error, folder)}") from error
    if absent:
        raise ModelError(
            f"model '{name}': {len(absent)} of {len(shards(folder))} weight files are missing "
            f"({absent[0]} …); fetch or copy them again."
        )


def refuse_missing(what: str, missing: Iterable[str]) -> None:
    """Raise if weights are not in the files: other libraries draw them at random and go on."""
    if names := sorted(missing):
        raise ModelError(
            f"{what}: {len(names)} of its weights are not in the files ({names[0]} …), and made-up "
            "ones would give made-up numbers; fetch or copy it again."
        )


def check_memory(folder: Path, name: str, dtype: str, device: str) -> None:
    """Raise if the weights cannot fit, before the machine runs out of memory over them."""
    need, room = parameters(folder) * BYTES[dtype], _free_memory(device)
    if room is None or need < room:
        return
    smaller = "--dtype bfloat16 halves it; otherwise " if dtype == "float32" else ""
    raise ModelError(
        f"model '{name}' needs {need / 1e9:.1f} GB in {dtype}, and {room / 1e9:.1f} GB of memory "
        f"are free; {smaller}take a smaller model."
    )


def _free_memory(device: str) -> int | None:
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    return free_memory()


@contextmanager
def loading(called: str, folder: Path) -> Iterator[None]:
    """Keep other libraries quiet while they load, and say in one line why they cannot."""
    with quiet():
        from safetensors import SafetensorError

        try:
            yield
        except (
            *(OSError, ValueError, KeyError, TypeError, AttributeError),
            *(RuntimeError, ImportError, MemoryError, SafetensorError),
        ) as error:
            raise ModelError(f"{called}: {reason(error, folder)}") from error


def reason(error: BaseException, folder: Path) -> str:
    """Return one line of another library's error, without the folder's path."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if text.endswith(":"):
        text = " ".join(lines[:2])
    if "trust_remote_code" in str(error):
        return (
            "it needs Python files that come with it, and they are not run unasked; if you trust "
            "them, give --trust-remote-code"
        )
    if isinstance(error, ImportError) and "GPTQ" in text:
        return (
            "it is a GPTQ model, which loads in no environment but its own (`deploy setup gptq`); "
            "serve it with `deploy serve`, and give the server's address (http://127.0.0.1:8000/v1)"
        )
    for path in {str(folder), str(folder.resolve())}:
        text = text.replace(path + os.sep, "").replace(path, f"'{folder.name}'")
    return text
