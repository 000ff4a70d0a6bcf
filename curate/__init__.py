"""Choose what to fine-tune on.

Everything is loaded when it is first used, so that `import curate` costs nothing.

Example:
    >>> rows = curate.read("huatuo.json")
    >>> cherry = curate.ifd(rows, keep="10%")
    >>> curate.emit(cherry, "data")
"""

from __future__ import annotations

from typing import Any

_HOME = {
    "Mixed": "curate.mixture.mixed",
    "Row": "curate.data.rows",
    "Rows": "curate.data.rows",
    "Selection": "curate.selection",
    "advise": "curate.recipes.advise",
    "car": "curate.api",
    "control": "curate.recipes.controls",
    "dedup": "curate.api",
    "doctor": "curate.api",
    "emit": "curate.selection",
    "ifd": "curate.api",
    "mix": "curate.api",
    "mods": "curate.api",
    "read": "curate.data.read",
    "score": "curate.api",
    "select": "curate.api",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOME:
        raise AttributeError(f"module 'curate' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
