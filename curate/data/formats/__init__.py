"""The formats of rows that are read: each module has some in `FORMATS`, and is found by itself.

Where several formats take a file, the one wins that looks deeper into its rows (`rank`), and of
those the one that gives a meaning to more of their keys. Where even that is equal, the user is
asked. The order of names plays no part.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from curate.data.schema import Converted, Parsed, Shape
from curate.errors import UsageError, did_you_mean

Row = dict[str, Any]
# How much of a row a format looks at: one text; keys that many people use for many things; the
# keys that LLaMA-Factory itself proposes, or keys of one publisher; what stands in a list; what
# stands in the items of a list.
ONE_TEXT, KEYS_ALONE, OWN_KEYS, LISTS, ITEMS = range(5)


def unchanged(value: Row, shape: Shape) -> Converted:
    """Return a row as it is."""
    return Converted(value)


@dataclass(frozen=True)
class Format:
    """How rows of one kind of file are known and read.

    Attributes:
        name: For --format.
        keys: The keys that its rows have, for people.
        rank: How much of a row it looks at, from ONE_TEXT to ITEMS.
        detect: From a file's first rows to their shape, None if they are another format's.
        convert: From a row to the row that is kept and emitted, and what was changed: for what
            no entry in dataset_info.json could say. A row that does not fit is returned as it
            is, and its flaw is told there or by parsing.
        optional: LLaMA-Factory's column to the key, for the columns that a row may lack.
        title: Its name for people.
        listed: The key under which a row is put that is a bare list; '' where none is.
    """

    name: str
    keys: str
    rank: int
    detect: Callable[[list[Row]], Shape | None]
    convert: Callable[[Row, Shape], Converted] = unchanged
    optional: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    listed: str = ""


@cache
def formats() -> dict[str, Format]:
    """Return every format by name."""
    modules = (m.name for m in pkgutil.iter_modules(__path__, prefix=f"{__name__}."))
    every = [form for module in modules for form in importlib.import_module(module).FORMATS]
    return {form.name: form for form in sorted(every, key=lambda form: form.name)}


def format_named(name: str) -> Format:
    """Return the format of a name."""
    if name not in formats():
        raise UsageError(
            f"--format {name}: no such format.{did_you_mean(name, formats())} "
            f"Allowed are {', '.join(formats())}; without --format it is told from the rows"
        )
    return formats()[name]


def parse(value: Row, shape: Shape) -> Parsed:
    """Return the canonical view of a row; a flawed row is told by its flaw, never raised."""
    from curate.data.formats import alpaca, pretraining, sharegpt

    if shape.kind == "pretraining":
        return pretraining.parse(value, shape)
    by = sharegpt.parse if shape.formatting == "sharegpt" else alpaca.parse
    return by(value, shape)
