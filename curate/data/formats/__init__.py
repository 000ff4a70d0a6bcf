"""The formats of rows that are read, one module each; a new module is found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol, cast

from curate.data.shape import Parsed, Shape


class Format(Protocol):
    """What a module of this package offers."""

    NAME: str
    """The module's name."""
    KEYS: str
    """The keys that its rows have, for people."""
    OPTIONAL: Mapping[str, str]
    """LLaMA-Factory's column to the key, for the columns that a row may lack."""

    def detect(self, samples: list[dict[str, Any]]) -> Shape | None:
        """Return the shape of the file whose first rows these are, None if it is another's."""

    def parse(self, value: dict[str, Any], shape: Shape) -> Parsed:
        """Return the canonical view of a row; a flawed row is told by its flaw, never raised."""


@cache
def formats() -> dict[str, Format]:
    """Return every format by name, in the order in which they are tried.

    Example:
        >>> list(formats())
        ['alpaca', 'sharegpt']
    """
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = (cast(Format, importlib.import_module(f"{__name__}.{name}")) for name in names)
    return {each.NAME: each for each in found}
