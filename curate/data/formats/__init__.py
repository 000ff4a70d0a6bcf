"""The formats of rows that are read, one module each; a new module is found by itself.

A module has `NAME`, `KEYS` (the keys that its rows have, for people) and `detect`; it may have
`TITLE` (its name for people), `OPTIONAL` (LLaMA-Factory's column to the key, for columns that a row
may lack) and `convert`, which makes of a row what LLaMA-Factory can read, where no entry in
dataset_info.json could say how.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from curate.data.shape import Converted, Parsed, Shape
from curate.errors import UsageError, did_you_mean

Row = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """How rows of one kind of file are known and read.

    Attributes:
        name: Of its module.
        title: Its name for people.
        keys: The keys that its rows have, for people.
        optional: LLaMA-Factory's column to the key, for the columns that a row may lack.
        detect: From a file's first rows to their shape, None if they are another format's.
        convert: From a row to the row that is kept and emitted, and what was changed; a row that
            does not fit is returned as it is, and its flaw is told there or by parsing.
    """

    name: str
    title: str
    keys: str
    optional: Mapping[str, str]
    detect: Callable[[list[Row]], Shape | None]
    convert: Callable[[Row, Shape], Converted]


@cache
def formats() -> dict[str, Format]:
    """Return every format by name, in the order in which they are tried.

    Example:
        >>> list(formats())
        ['alpaca', 'pretraining', 'sharegpt']
    """
    found = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        module = importlib.import_module(f"{__name__}.{name}")
        optional = getattr(module, "OPTIONAL", {})
        convert = getattr(module, "convert", _unchanged)
        title = getattr(module, "TITLE", module.NAME)
        found[name] = Format(module.NAME, title, module.KEYS, optional, module.detect, convert)
    return found


def format_named(name: str) -> Format:
    """Return the format of a name.

    Args:
        name: As typed.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in formats():
        raise UsageError(
            f"--format {name}: no such format.{did_you_mean(name, formats())} "
            f"Allowed are {', '.join(formats())}; without --format it is told from the rows"
        )
    return formats()[name]


def _unchanged(value: Row, shape: Shape) -> Converted:
    return Converted(value)


def parse(value: Row, shape: Shape) -> Parsed:
    """Return the canonical view of a row; a flawed row is told by its flaw, never raised.

    Args:
        value: The row, converted if its format converts.
        shape: Of its file.
    """
    from curate.data.formats import alpaca, pretraining, sharegpt

    if shape.kind == "pretraining":
        return pretraining.parse(value, shape)
    by = sharegpt.parse if shape.formatting == "sharegpt" else alpaca.parse
    return by(value, shape)
