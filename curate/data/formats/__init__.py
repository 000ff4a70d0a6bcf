"""The formats of rows that are read, one module each; a new module is found by itself.

A module has `NAME`, `KEYS` (the keys that its rows have, for people), `RANK` (how much of a row it
looks at) and `detect`; it may have `TITLE` (its name for people), `OPTIONAL` (LLaMA-Factory's
column to the key, for columns that a row may lack), `LISTED` and `convert`, which makes of a row
what LLaMA-Factory can read, where no entry in dataset_info.json could say how. A module of several
formats has `FORMATS` instead.

Where several formats take a file, the one wins that looks deeper into its rows (`RANK`), and of
those the one that gives a meaning to more of their keys. Where even that is equal, the user is
asked. The order of names plays no part.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from curate.data.schema import Converted, Parsed, Shape
from curate.errors import UsageError, did_you_mean

Row = dict[str, Any]
# How much of a row a format looks at: one text; keys that many people use for many things; the
# keys that LLaMA-Factory itself proposes, or keys of one publisher; what stands in a list; what
# stands in the items of a list.
ONE_TEXT, KEYS_ALONE, OWN_KEYS, LISTS, ITEMS = range(5)


@dataclass(frozen=True)
class Format:
    """How rows of one kind of file are known and read.

    Attributes:
        name: For --format.
        title: Its name for people.
        keys: The keys that its rows have, for people.
        optional: LLaMA-Factory's column to the key, for the columns that a row may lack.
        detect: From a file's first rows to their shape, None if they are another format's.
        convert: From a row to the row that is kept and emitted, and what was changed; a row that
            does not fit is returned as it is, and its flaw is told there or by parsing.
        rank: How much of a row it looks at, from ONE_TEXT to ITEMS.
        listed: The key under which a row is put that is a bare list; '' where none is.
    """

    name: str
    title: str
    keys: str
    optional: Mapping[str, str]
    detect: Callable[[list[Row]], Shape | None]
    convert: Callable[[Row, Shape], Converted]
    rank: int
    listed: str = ""


@cache
def formats() -> dict[str, Format]:
    """Return every format by name.

    Example:
        >>> "alpaca" in formats()
        True
    """
    found = {}
    for module in pkgutil.iter_modules(__path__):
        for each in _formats_of(importlib.import_module(f"{__name__}.{module.name}")):
            found[each.name] = each
    return dict(sorted(found.items()))


def _formats_of(module: Any) -> tuple[Format, ...]:
    several: tuple[Format, ...] | None = getattr(module, "FORMATS", None)
    if several is not None:
        return several
    return (
        Format(
            module.NAME,
            getattr(module, "TITLE", module.NAME),
            module.KEYS,
            getattr(module, "OPTIONAL", {}),
            module.detect,
            getattr(module, "convert", _unchanged),
            module.RANK,
            getattr(module, "LISTED", ""),
        ),
    )


def format_named(name: str) -> Format:
    """Return the format of a name."""
    if name not in formats():
        raise UsageError(
            f"--format {name}: no such format.{did_you_mean(name, formats())} "
            f"Allowed are {', '.join(formats())}; without --format it is told from the rows"
        )
    return formats()[name]


def _unchanged(value: Row, shape: Shape) -> Converted:
    return Converted(value)


def parse(value: Row, shape: Shape) -> Parsed:
    """Return the canonical view of a row; a flawed row is told by its flaw, never raised."""
    from curate.data.formats import alpaca, pretraining, sharegpt

    if shape.kind == "pretraining":
        return pretraining.parse(value, shape)
    by = sharegpt.parse if shape.formatting == "sharegpt" else alpaca.parse
    return by(value, shape)
