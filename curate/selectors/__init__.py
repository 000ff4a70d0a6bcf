"""What is kept, given scores, embeddings or clusters: a file with NAME and NEEDS is a selector.

Its select(candidates, params) returns the Choice: of the Candidates it takes the arrays that NEEDS
names, and params is what PARAMS makes. A field `k` of it is the number of rows to keep, a field
`seed` draws.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from curate.errors import UsageError


def selectors() -> dict[str, Any]:
    """Return the modules of all selectors by name: select(), NAME, NEEDS and PARAMS."""
    modules = (
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    )
    return {module.NAME: module for module in modules if hasattr(module, "NEEDS")}


def at_least(least: int, selector: str, **numbers: int) -> None:
    """Raise a UsageError unless every number of a selector is allowed.

    Args:
        least: Number that is allowed.
        selector: Its name.
        numbers: By the names of their parameters.
    """
    for name, number in numbers.items():
        if number < least:
            raise UsageError(f"{selector} {name}={number}: allowed are {least} and more")
