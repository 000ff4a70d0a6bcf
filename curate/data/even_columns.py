"""Columns of one type each, so that a program that guesses types from a JSON file guesses right.

pyarrow refuses a file in which one column has two types, down to the keys of an object in a list.
Hugging Face `datasets` guesses from the first 10 MB alone and refuses whatever comes later.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# Characters of the file in which every type has to show itself; well below 10 MB of UTF-8.
HEAD = 2 << 20
# Keys on the way from the row to a value; None is any item of a list.
Place = tuple[str | None, ...]
_GROUPS = {"blank": "text", "str": "text", "int": "number", "float": "number"}


@dataclass
class _Seen:
    """Kinds of the values at one place: in the whole file, and near its beginning."""

    kinds: set[str] = field(default_factory=set)
    early: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Columns:
    """What has to be done to rows so that they make one table.

    Attributes:
        keys: Every key of the rows, in the order in which they turn up.
        rules: Place to `text`, `float` or `no_blank`; all other places stay as they are.
        fills: Place of an object to the keys that get an empty text where it lacks them.
    """

    keys: tuple[str, ...]
    rules: dict[Place, str]
    fills: dict[Place, tuple[str, ...]]

    @property
    def change_nothing(self) -> bool:
        """Whether every value is written as it is."""
        return not self.rules and not self.fills

    def as_text(self) -> list[str]:
        """Return the names of what is written as text, `meta.source` or `tags[]`."""
        return sorted(_name(place) for place, rule in self.rules.items() if rule == "text")

    def even(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row as it is written: with every key, and each value of its column's type."""
        if self.change_nothing:
            return row if len(row) == len(self.keys) else {k: row.get(k) for k in self.keys}
        made: dict[str, Any] = self._value({key: row.get(key) for key in self.keys}, ())
        return made

    def _value(self, value: Any, place: Place) -> Any:
        rule = self.rules.get(place)
        if rule == "text":
            return value if value is None or isinstance(value, str) else _dumps(value)
        if rule == "float" and value is not None:
            return float(value)
        if rule == "no_blank" and value == "":
            return None
        if isinstance(value, list):
            return [self._value(each, (*place, None)) for each in value]
        if isinstance(value, dict):
            made = {key: self._value(each, (*place, key)) for key, each in value.items()}
            for key in self.fills.get(place, ()):
                made[key] = "" if made.get(key) is None else made[key]
            return made
        return value


def columns_of(
    rows: Iterable[dict[str, Any]], registered: Collection[str] = (), head: int = HEAD
) -> Columns:
    """Return what has to be done to rows, in one pass over them."""
    seen: dict[Place, _Seen] = {}
    written = 0
    for row in rows:
        _collect(row, (), seen, written < head)
        if written < head:
            written += len(_dumps(row))
    return _decided(seen, registered)


def columns_ahead(
    beginning: Iterable[dict[str, Any]],
    kinds: Mapping[Place, set[str]],
    registered: Collection[str] = (),
) -> Columns:
    """Return what has to be done to rows of which only the first are looked at."""
    seen: dict[Place, _Seen] = {}
    for row in beginning:
        _collect(row, (), seen, True)
    for place in sorted(kinds, key=len):  # what holds a value comes before the value
        seen.setdefault(place, _Seen()).kinds.update(kinds[place])
    return _decided(seen, registered)


def collect(value: Any, kinds: dict[Place, set[str]], place: Place = ()) -> None:
    """Add the kinds of all values in a row."""
    kind = _kind(value)
    if place in kinds:
        kinds[place].add(kind)
    else:
        kinds[place] = {kind}
    if kind == "list":
        inner = (*place, None)
        for each in value:
            collect(each, kinds, inner)
    elif kind == "dict":
        for key, each in value.items():
            collect(each, kinds, (*place, key))


def _decided(seen: dict[Place, _Seen], registered: Collection[str]) -> Columns:
    rules: dict[Place, str] = {}
    fills: dict[Place, tuple[str, ...]] = {}
    for place, found in seen.items():
        if place and not _inside_text(place, rules):
            _decide(place, found, registered, rules, fills)
    return Columns(tuple(str(place[0]) for place in seen if len(place) == 1), rules, fills)


def _collect(value: Any, place: Place, seen: dict[Place, _Seen], early: bool) -> None:
    found = seen.setdefault(place, _Seen())
    kind = _kind(value)
    found.kinds.add(kind)
    if early:
        found.early.add(kind)
    if kind == "list":
        for each in value:
            _collect(each, (*place, None), seen, early)
    elif kind == "dict":
        for key, each in value.items():
            _collect(each, (*place, key), seen, early)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        # JSON has no word for NaN and Infinity; Python's own reader takes them all the same.
        return "float" if math.isfinite(value) else "odd"
    if isinstance(value, str):
        return "str" if value else "blank"
    return type(value).__name__


def _inside_text(place: Place, rules: dict[Place, str]) -> bool:
    return any(rules.get(place[:end]) == "text" for end in range(1, len(place)))


def _decide(
    place: Place,
    found: _Seen,
    registered: Collection[str],
    rules: dict[Place, str],
    fills: dict[Place, tuple[str, ...]],
) -> None:
    kinds, early = found.kinds - {"null"}, found.early - {"null"}
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
        return
    if groups != {"text"}:
        if len(place) == 1 and key in registered:
            return
        rules[place] = "text"
    fills[parent] = (*fills.get(parent, ()), key)


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _name(place: Place) -> str:
    return ".".join("[]" if key is None else key for key in place).replace(".[]", "[]")
