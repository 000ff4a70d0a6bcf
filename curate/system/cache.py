"""Where curate keeps what it can make again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from curate.system.files import whole_files, write_text, writing_to

_DECIDING = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.py", "*.tiktoken")


def cache_dir() -> Path:
    """Return the cache folder: $CURATRAIN_CACHE, else the user's cache directory.

    Everything in it can be deleted at any time; it is made again when it is needed.
    """
    named = os.environ.get("CURATRAIN_CACHE")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "curatrain"


def fingerprint(folder: Path) -> str:
    """Return the sha256 over everything that decides a model's numbers.

    Reading gigabytes takes a while, so the answer is kept for as long as names, sizes and
    times of the files stay the same.
    """
    files = sorted(p for pattern in _DECIDING for p in folder.glob(pattern) if p.is_file())
    stats = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    key = hashlib.sha256(json.dumps([str(folder.resolve()), stats]).encode()).hexdigest()
    kept = cache_dir() / "fingerprints" / key[:32]
    with suppress(OSError):
        if len(known := kept.read_text(encoding="ascii")) == hashlib.sha256().digest_size * 2:
            return known
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_text(kept, digest.hexdigest(), shared=True)
    return digest.hexdigest()


def kept_bytes(folder: str, what: str, key: object, make: Callable[[], bytes]) -> bytes:
    """Return what was made earlier for the same key; make it now if it is not there, or damaged."""
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    path = cache_dir() / folder / name
    with suppress(OSError):
        known = path.read_bytes()
        if known[:32] == hashlib.sha256(known[32:]).digest():
            return known[32:]
    made = make()
    with writing_to(path.parent, what, "set CURATRAIN_CACHE to another folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_files(path, shared=True) as (part,):
            part.write_bytes(hashlib.sha256(made).digest() + made)
    return made
