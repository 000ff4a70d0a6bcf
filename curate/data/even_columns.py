"""Columns of one type each, so that a program that guesses types from a JSON file guesses right.

pyarrow refuses a file in which one column has two types, down to the keys of an object in a list.
Hugging Face `datasets` guesses from the first 10 MB alone and refuses whatever comes later.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curate.data.row_cache import READER
from curate.system.cache import kept_bytes

if TYPE_CHECKING:
    from curate.data.rows import Rows

# Characters of the file in which every type has to show itself; well below 10 MB of UTF-8.
HEAD = 2 << 20
# Keys on the way from the row to a value; None is any item of a list.
Place = tuple[str | None, ...]
Kinds = dict[Place, set[str]]
_GROUPS = {"blank": "text", "str": "text", "int": "number", "float": "number"}
# Part of the key of kept kinds: a changed way of looking never takes an older answer.
_LOOKING = "2"
_BLOCK = 16 << 20


@dataclass(frozen=True)
class Columns:
    """What has to be done to rows so that they make one table."""

    keys: tuple[str, ...]  # every key of the rows, in the order in which they turn up
    rules: dict[Place, str]  # to text, float or no_blank; all other places stay as they are
    fills: dict[Place, tuple[str, ...]]  # to the keys of an object that get an empty text
    # Numbers of the rows to write first, as they show the type of a list that is read by name; -1
    # for one that has not been looked for.
    first: tuple[int, ...] = ()

    @property
    def change_nothing(self) -> bool:
        """Whether every value is written as it is."""
        return not self.rules and not self.fills

    def as_text(self) -> list[str]:
        """Return the names of what is written as text, `meta.source` or `tags[]`."""
        return sorted(
            ".".join("[]" if key is None else key for key in place).replace(".[]", "[]")
            for place, rule in self.rules.items()
            if rule == "text"
        )

    def even(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row as it is written: with every key, and each value of its column's type."""
        if self.change_nothing and len(row) == len(self.keys):
            return row
        whole = {key: row.get(key) for key in self.keys}
        return whole if self.change_nothing else self._value(whole, ())

    def _value(self, value: Any, place: Place) -> Any:
        rule = self.rules.get(place)
        if rule == "text":
            return value if value is None or isinstance(value, str) else _dumps(value)
        if rule == "float" and value is not None:
            return float(value)
        if rule == "no_blank" and value == "":
            return None
        if isinstance(value, list):
            return [self._value(item, (*place, None)) for item in value]
        if isinstance(value, dict):
            even = {key: self._value(inner, (*place, key)) for key, inner in value.items()}
            for key in self.fills.get(place, ()):
                even[key] = "" if even.get(key) is None else even[key]
            return even
        return value


def columns_of(
    rows: Iterable[dict[str, Any]], registered: Collection[str] = (), head: int = HEAD
) -> Columns:
    """Return what has to be done to rows, in one pass over them."""
    kinds: Kinds = {}
    early: Kinds = {}
    first: list[int] = []
    unseen, written = set(registered), 0
    for number, row in enumerate(rows):
        collect(row, kinds)
        new = [key for key in unseen if isinstance(row.get(key), list) and row[key]]
        unseen.difference_update(new)
        if written < head:
            collect(row, early)
            written += len(_dumps(row))
        elif new:
            collect(row, early)
            first.append(number)
    return replace(_columns(kinds, early, registered), first=tuple(first))


def columns_ahead(
    beginning: Iterable[dict[str, Any]], kinds: Kinds, registered: Collection[str] = ()
) -> Columns:
    """Return what has to be done to rows of which only the first are looked at."""
    early: Kinds = {}
    for row in beginning:
        collect(row, early)
    # What holds a value comes before the value.
    places = (*early, *sorted(kinds, key=len))
    every = {place: early.get(place, set()) | kinds.get(place, set()) for place in places}
    late = any((key, None) in every and (key, None) not in early for key in registered)
    return replace(_columns(every, early, registered), first=(-1,) if late else ())


def collect(value: Any, kinds: Kinds, place: Place = ()) -> None:
    if value is None:
        kind = "null"
    elif isinstance(value, float):
        # JSON has no word for NaN and Infinity; Python's own reader takes them all the same.
        kind = "float" if math.isfinite(value) else "odd"
    elif isinstance(value, str):
        kind = "str" if value else "blank"
    else:
        kind = type(value).__name__
    if place in kinds:
        kinds[place].add(kind)
    else:
        kinds[place] = {kind}
    if kind == "list":
        inside = (*place, None)
        for item in value:
            collect(item, kinds, inside)
    elif kind == "dict":
        for key, inner in value.items():
            collect(inner, kinds, (*place, key))


def _columns(kinds: Kinds, early: Kinds, registered: Collection[str]) -> Columns:
    keys = tuple(str(place[0]) for place in kinds if len(place) == 1)
    columns = Columns(keys=keys, rules={}, fills={})
    for place in kinds:
        above = (place[:end] for end in range(1, len(place)))
        if place and not any(columns.rules.get(outer) == "text" for outer in above):
            near = early.get(place, set()) - {"null"}
            _decide(place, kinds[place] - {"null"}, near, registered, columns)
    return columns


def _decide(
    place: Place, kinds: set[str], early: set[str], registered: Collection[str], columns: Columns
) -> None:
    rules, fills = columns.rules, columns.fills
    groups = {_GROUPS.get(kind, kind) for kind in kinds}
    if len(groups) == 2 and groups & {"list", "dict"} and "blank" in kinds and "str" not in kinds:
        rules[place] = "no_blank"  # what an empty cell of a CSV was
        return
    if len(groups) > 1 or "odd" in kinds:
        rules[place] = "text"
    elif kinds == {"int", "float"} and early == {"int"}:
        rules[place] = "float"
    if not kinds or early:
        return
    parent, key = place[:-1], place[-1]
    if key is None:
        if parent[0] not in registered:  # a list that was empty so far has no type either
            rules.pop(place, None)
            rules[parent] = "text"
    elif groups == {"text"} or len(place) > 1 or key not in registered:
        if groups != {"text"}:
            rules[place] = "text"
        fills[parent] = (*fills.get(parent, ()), key)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@dataclass
class ValueKinds:
    """What is known of some rows. With it, rows can be copied as text: no value has to change."""

    rows: int = 0
    keys: Counter[str] = field(default_factory=Counter)  # to the rows that have them
    kinds: Kinds = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        self.rows += 1
        self.keys.update(row.keys())
        collect(row, self.kinds)

    def join(self, other: ValueKinds) -> None:
        self.rows += other.rows
        self.keys.update(other.keys)
        for place, kinds in other.kinds.items():
            self.kinds.setdefault(place, set()).update(kinds)

    def same_keys(self) -> bool:
        return all(count == self.rows for count in self.keys.values())


def kinds_of(rows: Rows) -> ValueKinds:
    """Return what is known of a file's rows without a flaw; the second time, nothing is parsed."""

    def look() -> bytes:
        seen = ValueKinds()
        for block in blocks(rows.table.select(["raw", "flaw"])):
            columns = (block.column(name).to_pylist() for name in ("raw", "flaw"))
            for raw, flaw in zip(*columns, strict=True):
                if not flaw:
                    seen.add(json.loads(raw))
        kinds = [[place, sorted(kinds)] for place, kinds in seen.kinds.items()]
        return json.dumps([seen.rows, seen.keys, kinds]).encode()

    source = rows.sources[0]
    read = [READER, source.sha256, source.part, source.format, source.fill]
    key = [_LOOKING, *read, source.rows, len(rows)]
    count, keys, kinds = json.loads(kept_bytes("value_kinds", "kinds of values", key, look))
    return ValueKinds(count, Counter(keys), {tuple(place): set(seen) for place, seen in kinds})


def blocks(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Yield all rows of a memory-mapped table in order, some megabytes at a time."""
    batches: list[pa.RecordBatch] = []
    size = 0
    for batch in table.to_batches():
        batches.append(batch)
        size += batch.nbytes
        if size >= _BLOCK:
            yield pa.concat_batches(batches)
            batches, size = [], 0
    if batches:
        yield pa.concat_batches(batches)
