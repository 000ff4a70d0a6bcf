"""Choose what to fine-tune on.

Everything is loaded when it is first used, so that `import curate` costs nothing.

Example:
    >>> rows = curate.read("huatuo.json")
    >>> cherry = curate.ifd(rows, keep="10%")
    >>> curate.emit(cherry, "data")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.data.read import read
    from curate.data.rows import Row, Rows
    from curate.selection import Selection, emit

__all__ = ["Row", "Rows", "Selection", "emit", "ifd", "read"]

_HOME = {
    "read": "curate.data.read",
    "Row": "curate.data.rows",
    "Rows": "curate.data.rows",
    "Selection": "curate.selection",
    "emit": "curate.selection",
}


def ifd(rows: Rows, **options: Any) -> Selection:
    """Score rows by IFD and choose the highest below 1.

    Args:
        rows: From read().
        **options: Fields of `curate.recipes.ifd.Params`: model, keep, form, template,
            max_length, dtype, keep_above_one, seed, trust_remote_code.

    Raises:
        UsageError: An option that is unknown or does not fit.

    Example:
        >>> curate.ifd(curate.read("huatuo.json"), keep=500).nearest_misses(5)
    """
    from curate.errors import UsageError, did_you_mean
    from curate.recipes import ifd as recipe

    allowed = recipe.Params.__dataclass_fields__
    for option in options:
        if option not in allowed:
            raise UsageError(
                f"ifd has no option {option!r}.{did_you_mean(option, allowed)} "
                f"Allowed are {', '.join(allowed)}"
            )
    return recipe.ifd(rows, recipe.Params(**options))


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOME:
        raise AttributeError(f"module 'curate' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
