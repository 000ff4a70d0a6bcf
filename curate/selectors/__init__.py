"""What is kept, given scores, embeddings or clusters: a file with NAME and NEEDS is a selector.

Its select(candidates, params) returns the Choice: of the Candidates it takes the arrays that NEEDS
names, and params is what PARAMS makes. A field `k` of it is the number of rows to keep, a field
`seed` draws.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, get_type_hints

from curate.errors import UsageError, did_you_mean


def selectors() -> dict[str, Any]:
    """Return the modules of all selectors by name: select(), NAME, NEEDS and PARAMS."""
    modules = (
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    )
    return {module.NAME: module for module in modules if hasattr(module, "NEEDS")}


def at_least(least: int, selector: str, **numbers: int) -> None:
    """Raise a UsageError unless every number of a selector is allowed."""
    for name, number in numbers.items():
        if number < least:
            raise UsageError(f"{selector} {name}={number}: allowed are {least} and more")


def takes_number(name: str) -> bool:
    """Tell whether a selector keeps a number of rows, that is, has a parameter `k`."""
    return "k" in {field.name for field in fields(selectors()[name].PARAMS)}


def by_vectors() -> list[str]:
    """Return the names of the selectors that go by what an encoder says of rows."""
    return [name for name, each in selectors().items() if {"vectors", "clusters"} & set(each.NEEDS)]


def params_from_text(name: str, settings: Sequence[str], k: int, seed: int) -> Any:
    """Return the parameters of a selector."""
    params = selectors()[name].PARAMS
    names, types = [field.name for field in fields(params)], get_type_hints(params)
    values: dict[str, Any] = {key: v for key, v in (("k", k), ("seed", seed)) if key in names}
    allowed = [key for key in names if key not in values]
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in allowed:
            hint = did_you_mean(key, allowed) if key not in allowed else ""
            raise UsageError(
                f"--set {setting}: --recipe {name} takes KEY=VALUE of "
                f"{', '.join(allowed) or 'none'}.{hint}"
            )
        try:
            values[key] = types[key](text)
        except ValueError as error:
            raise UsageError(
                f"--set {setting}: {key} is of type {types[key].__name__}; give such a value"
            ) from error
    # Both are MISSING where there is none.
    needed = [each for each in fields(params) if each.default is each.default_factory]
    if missing := [field.name for field in needed if field.name not in values]:
        raise UsageError(f"--recipe {name}: give --set {missing[0]}=VALUE")
    return params(**values)
