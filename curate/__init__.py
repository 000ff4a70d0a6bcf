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
    "Selection": "curate.choices.selection",
    "advise": "curate.recipes.advise",
    "car": "curate.api",
    "compare": "curate.choices.comparison",
    "control": "curate.recipes.controls",
    "dedup": "curate.api",
    "distill_answer": "curate.distill.making",
    "distill_dialogue": "curate.distill.making",
    "distill_document": "curate.distill.making",
    "distill_instruct": "curate.distill.making",
    "distill_prefer": "curate.distill.making",
    "distill_rewrite": "curate.distill.making",
    "distill_score": "curate.distill.making",
    "doctor": "curate.api",
    "emit": "curate.choices.emitting",
    "ifd": "curate.api",
    "mix": "curate.api",
    "mods": "curate.api",
    "prove": "curate.api",
    "read": "curate.data.read",
    "report": "curate.api",
    "score": "curate.api",
    "select": "curate.api",
    "using": "curate.api",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOME:
        raise AttributeError(f"module 'curate' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    if not isinstance(value, type):
        from curate.parameters.kinds import checked

        value = checked(value)
    return globals().setdefault(name, value)


def __dir__() -> list[str]:
    return __all__
