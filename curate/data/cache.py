"""Where curate keeps what it can make again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the cache folder: $CURATRAIN_CACHE, else the user's cache directory.

    Everything in it can be deleted at any time; it is made again when it is needed.
    """
    named = os.environ.get("CURATRAIN_CACHE")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "curatrain"
