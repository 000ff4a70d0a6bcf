"""The formats of rows that are read: each module has some in `FORMATS`, and is found by itself.

Where several formats take a file, the one wins that looks deeper into its rows (`rank`), and of
those the one that gives a meaning to more of their keys. Where even that is equal, the user is
asked. The order of names plays no part.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from curate.data.schema import Converted, Shape
from curate.errors import DataError, UsageError, did_you_mean

Row = dict[str, Any]
# How much of a row a format looks at: one text; keys that many people use for many things; the
# keys that LLaMA-Factory itself proposes, or keys of one publisher; what stands in a list; what
# stands in the items of a list.
ONE_TEXT, KEYS_ALONE, OWN_KEYS, LISTS, ITEMS = range(5)
# Formats that an error names with their keys, and keys of the file that it names.
_NEAREST, _KEYS = 3, 12
_LONGEST_KEY = 30


@dataclass(frozen=True)
class Format:
    """How rows of one kind of file are known and read."""

    name: str  # for --format
    keys: str  # that its rows have, for people
    rank: int  # how much of a row it looks at, from ONE_TEXT to ITEMS
    # From a file's first rows to their shape, None if they are another format's.
    detect: Callable[[list[Row]], Shape | None]
    # From a row to the row that is kept and emitted: for what no entry in dataset_info.json could
    # say. A row that does not fit is returned as it is; its flaw is told there or by parsing.
    convert: Callable[[Row, Shape], Converted]
    optional: Mapping[str, str] = field(
        default_factory=dict
    )  # column to key, where a row may lack it
    title: str = ""  # its name for people
    listed: str = ""  # the key under which a row is put that is a bare list

    def keyed(self, value: Any) -> Any:
        """Return a bare list under its key, where the format has such rows."""
        return {self.listed: value} if self.listed and isinstance(value, list) else value


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


def mostly(samples: list[Row], *keys: str) -> bool:
    """Tell whether at least half of the rows have all of the keys."""
    having = sum(all(key in row for key in keys) for row in samples)
    return having > 0 and 2 * having >= len(samples)


def kto_column(samples: list[Row]) -> dict[str, str]:
    """Return the column of KTO's verdict, if rows have one: true, false, here and there nothing.

    A `label` that is a word is something else.
    """
    for key in ("kto_tag", "label"):
        kinds = {type(row.get(key)) for row in samples}
        if mostly(samples, key) and bool in kinds and kinds <= {bool, type(None)}:
            return {"kto_tag": key}
    return {}


def detected(
    name: str, container: str, head: Sequence[Any], format_name: str = ""
) -> tuple[Format, Shape]:
    """Return the format of a file and the shape of its rows, of which `head` are the first.

    `format_name` is the one that the user gave, '' where it is to be told from the rows.
    """
    if not head:
        raise DataError(f"{name} holds no rows; fetch it again or leave it out")
    tried = [format_named(format_name)] if format_name else list(formats().values())
    # How much of a row a format explains: the larger, the better it knows what it reads.
    fits: dict[tuple[int, int], list[tuple[Format, Shape]]] = {}
    for form in tried:
        if shape := form.detect([row for row in map(form.keyed, head) if isinstance(row, dict)]):
            fits.setdefault((form.rank, len(shape.columns)), []).append((form, shape))
    if not fits:
        raise DataError(f"{name} ({container}) {_unknown(container, head, tried)}")
    best, *others = fits[max(fits)]
    if others:
        names = " and as ".join(form.name for form, _ in (best, *others))
        raise DataError(
            f"{name} ({container}) has rows that can be read as {names}; say which with --format, "
            f"for example --format {best[0].name}"
        )
    return best


def _unknown(container: str, head: Sequence[Any], tried: list[Format]) -> str:
    """Return that rows have no known format, the formats that are nearest, and what to do."""
    keys = sorted({_shortened(key) for row in head if isinstance(row, dict) for key in row})[:_KEYS]
    has = f"has rows with the keys {', '.join(keys)}" if keys else "has values that are no objects"
    near = sorted(tried, key=lambda form: -_likeness(keys, form))[: _NEAREST if keys else 0]
    known = "; ".join(f"{form.name} ({form.keys})" for form in near)
    others = ", ".join(form.name for form in tried if form not in near)
    if len(tried) == 1:
        problem = f"not what --format says, {tried[0].name} ({tried[0].keys})"
    elif near:
        problem = f"no format that is read. Nearest are {known}; others are {others}"
    else:
        problem = f"no format that is read. Formats are {others}"
    return f"{has}: {problem}. {_way_out(container, head)}"


def _likeness(keys: list[str], form: Format) -> float:
    """Return how much the keys of a file are like those of a format, the largest is the nearest."""
    words = re.findall(r"\w+", form.keys)
    ratios = ([difflib.SequenceMatcher(None, word, key).ratio() for key in keys] for word in words)
    return sum(max(row, default=0.0) for row in ratios) / len(words)


def _shortened(key: object) -> str:
    text = str(key).encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= _LONGEST_KEY else f"{text[:_LONGEST_KEY]}…"


def _way_out(container: str, head: Sequence[Any]) -> str:
    """Return what to do about rows in no known format, as far as the rows tell."""
    only = head[0] if len(head) == 1 else None
    for key, inner in only.items() if isinstance(only, dict) else ():
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            return f"One object wraps the rows under {key!r}: save that list alone"
    if container == "csv":
        return (
            "The first line of a table has to name the columns; put one there, or rename them. "
            "Plain text is read with --format pretraining, a row a line"
        )
    if not any(isinstance(value, dict) for value in head):
        return "A row has to be an object, or a list of texts that begin 病人： and 医生："
    return "Rename the keys"
