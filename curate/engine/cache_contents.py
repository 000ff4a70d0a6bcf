"""What lies in the cache folder, and what of it can go at little cost."""

from __future__ import annotations

import math
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from curate.engine.journal import is_finished
from curate.system.cache import cache_dir

# Each part with what it is, and whether it stays. What is not named here is left alone.
_STAY, _GO = False, True
_PARTS: dict[str, tuple[str, bool]] = {
    "rows": ("files that were read", _GO),
    "tokens": ("rows as tokens", _GO),
    "embeddings": ("rows as vectors", _GO),
    "journals": ("scores; of runs that have not ended they stay", _GO),
    "scratch": ("what running commands need for now", _GO),
    "fingerprints": ("sha256 of models", _GO),
    "routes": ("which way to likelihoods is right for a model", _GO),
    "profiles": ("lengths and languages of files", _GO),
    "value_kinds": ("kinds of values in columns", _GO),
    "precision": ("what was measured for training", _GO),
    "logs": ("what training and servers said", _GO),
    "models": ("models unpacked or fetched", _STAY),
    "environments": ("what `train setup` and `deploy setup` installed", _STAY),
    "answers": ("answers that `deploy compare` asked for", _STAY),
}
# A command that runs may need what was written since.
_IN_USE = 24 * 3600.0


@dataclass(frozen=True)
class Part:
    """A part of the cache, its files and bytes."""

    name: str
    about: str
    files: int
    size: int


def contents() -> list[Part]:
    parts = []
    for name, (about, _) in _PARTS.items():
        if sizes := _sizes(name):
            parts.append(Part(name, about, len(sizes), sum(sizes.values())))
    return parts


def clear() -> int:
    """Delete what can be made again at little cost; return how many bytes."""
    freed = 0
    for name, (_, goes) in _PARTS.items():
        for file, size in _clearable(name).items():
            file.unlink(missing_ok=True)
            freed += size
        folders = [path for path in (cache_dir() / name).rglob("*") if path.is_dir()]
        for folder in sorted(folders, reverse=True) if goes else ():
            with suppress(OSError):  # it holds something
                folder.rmdir()
    return freed


def _clearable(name: str) -> dict[Path, int]:
    sizes = _sizes(name, older_than=_IN_USE if name == "scratch" else -math.inf)
    if name == "journals":
        # What a killed run leaves beside its journal goes with it.
        whole = {file for file in sizes if file.suffix == ".sqlite" and is_finished(file)}
        return {f: sizes[f] for f in sizes if f.with_suffix(".sqlite") in whole}
    return sizes if _PARTS[name][1] else {}


def _sizes(name: str, older_than: float = -math.inf) -> dict[Path, int]:
    """Return the bytes of a part's files; a link is itself, not what it leads to."""
    sizes = {}
    for path in sorted((cache_dir() / name).rglob("*")):
        with suppress(FileNotFoundError):  # a command that runs has deleted it meanwhile
            state = path.lstat()
            if stat.S_ISREG(state.st_mode) and state.st_mtime <= time.time() - older_than:
                sizes[path] = state.st_size
    return sizes
