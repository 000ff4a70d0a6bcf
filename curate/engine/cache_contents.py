"""What lies in the cache folder, and what of it can go at little cost."""

from __future__ import annotations

import time
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
    """A part of the cache: its files and bytes, and how many of those --clear deletes."""

    name: str
    about: str
    files: int
    size: int
    clears: int


def contents() -> list[Part]:
    parts = []
    for name, (about, _) in _PARTS.items():
        if files := _files(cache_dir() / name):
            size, clears = (sum(f.stat().st_size for f in fs) for fs in (files, _clearable(name)))
            parts.append(Part(name, about, len(files), size, clears))
    return parts


def clear() -> int:
    """Delete what can be made again at little cost; return how many bytes."""
    freed = 0
    for name in _PARTS:
        for file in _clearable(name):
            freed += file.stat().st_size
            file.unlink(missing_ok=True)
        folders = (path for path in (cache_dir() / name).rglob("*") if path.is_dir())
        for folder in sorted(folders, reverse=True) if _PARTS[name][1] else ():
            if not any(folder.iterdir()):
                folder.rmdir()
    return freed


def _clearable(name: str) -> list[Path]:
    if not _PARTS[name][1]:
        return []
    files = _files(cache_dir() / name)
    if name == "scratch":
        return [file for file in files if file.stat().st_mtime < time.time() - _IN_USE]
    if name == "journals":
        return [file for file in files if file.suffix == ".sqlite" and is_finished(file)]
    return files


def _files(folder: Path) -> list[Path]:
    """Return the files of a folder; a link is itself, not what it leads to."""
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.is_symlink()]
