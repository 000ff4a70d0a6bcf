"""What is kept, given scores, embeddings or clusters: a file with NAME and NEEDS is a selector."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def selectors() -> dict[str, Any]:
    """Return the modules of all selectors by name: select(), NAME, NEEDS and PARAMS.

    NEEDS names the arrays of Candidates that select() takes, PARAMS its dataclass of parameters;
    a field `k` of it is the number of rows to keep, a field `seed` draws.
    """
    modules = (
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    )
    return {module.NAME: module for module in modules if hasattr(module, "NEEDS")}
