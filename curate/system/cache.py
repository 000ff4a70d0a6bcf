"""Where curate keeps what it can make again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from curate.system.files import at_home, sha256_of, whole_files, writing_to

_DECIDING = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.py", "*.tiktoken")


def cache_dir() -> Path:
    """Return the cache folder: $CURATRAIN_CACHE, else the user's cache directory.

    Everything in it can be deleted at any time; it is made again when it is needed.
    """
    named = os.environ.get("CURATRAIN_CACHE")
    if named:
        return at_home(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (at_home(base) if base else Path.home() / ".cache") / "curatrain"


def scratch_dir() -> Path:
    """Return the folder of what a command needs while it runs, made if need be."""
    folder = cache_dir() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fingerprint(folder: Path) -> str:
    """Return the sha256 over everything that decides a model's numbers.

    Reading gigabytes takes a while, so the answer is kept for as long as names, sizes and
    times of the files stay the same.
    """

    def read() -> bytes:
        digest = hashlib.sha256()
        for path in files:
            digest.update(path.name.encode())
            digest.update(bytes.fromhex(sha256_of(path)))
        return digest.hexdigest().encode()

    files = sorted(p for pattern in _DECIDING for p in folder.glob(pattern) if p.is_file())
    stats = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    key = [str(folder.resolve()), stats]
    return kept_bytes("fingerprints", "a model's sha256", key, read).decode()


def kept_bytes(folder: str, what: str, key: object, make: Callable[[], bytes]) -> bytes:
    """Return what was made earlier for the same key; make it now if it is not there, or damaged.

    What is made as nothing, b"", is not kept.
    """
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    path = cache_dir() / folder / name
    with suppress(OSError):
        known = path.read_bytes()
        if known[:32] == hashlib.sha256(known[32:]).digest():
            return known[32:]
    if not (content := make()):
        return content
    with writing_to(path.parent, what, "set CURATRAIN_CACHE to another folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_files(path, shared=True) as (part,):
            part.write_bytes(hashlib.sha256(content).digest() + content)
    return content
