"""How the rows of a file are laid out: told from its first rows, and anew for later ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from curate.data.canonical import canonical_row, parse, read_verdict
from curate.data.formats import Format, best_fits, detected, detected_or_questions
from curate.data.lists_in_rows import TOUCHED_TEXTS, columns_of_messages, with_lists
from curate.data.naming import Naming, layout_named
from curate.data.row_keys import (
    have_others,
    holds_text,
    thoughts_among,
    unused_keys,
)
from curate.data.schema import MEDIA, STRUCTURAL, Converted, Parsed, Shape
from curate.data.tables import SURPLUS
from curate.errors import CuratrainError

SAMPLES = 200
_TEXTS = ("prompt", "query", "response", "system")
_NOTHING: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True)
class Reading:
    format: str = ""  # its name, '' for any
    fill: Mapping[str, str] = field(default_factory=dict)  # placeholder to text
    naming: Naming = field(default_factory=Naming)
    questions: bool = False  # whether rows may be questions without answers

    def key(self) -> str:
        """Return it as a part of a cache key."""
        named = (self.fill, self.naming.columns, self.naming.roles)
        return json.dumps([self.format, *(sorted(n.items()) for n in named), self.questions])


@dataclass(frozen=True)
class Layout:
    """How the rows of a file are read: its format and shape, and what its verdicts are."""

    form: Format
    shape: Shape
    verdict_type: type | None = None  # of most verdicts; others are no verdict there
    lists: frozenset[str] = frozenset()  # keys of its own whose texts hold messages
    # Of rows of other layouts: what was told of earlier ones with such keys.
    others: dict[tuple[str, ...], list[tuple[Format, Shape]]] = field(default_factory=dict)
    plain: dict[tuple[str, ...], tuple[str, str, str, str] | None] = field(default_factory=dict)

    @cached_property
    def used(self) -> frozenset[str]:
        """The keys whose text is a part of what a row says."""
        return frozenset(self.shape.columns.values())

    @cached_property
    def media(self) -> list[str]:
        return [key for column, key in self.shape.columns.items() if column in MEDIA]

    def with_optional(self) -> Layout:
        """Return the layout with all columns that may turn up, as if they were there."""
        optional = self.form.optional
        shape = self.shape.with_columns(optional, optional.values())
        return replace(self, shape=shape, plain={})

    def texts(self, keys: tuple[str, ...]) -> tuple[str, str, str, str] | None:
        """Return the keys of prompt, query, response and system of rows that are texts alone."""
        if keys not in self.plain:
            columns = {name: key for name, key in self.shape.columns.items() if key in keys}
            same = self.form.as_is and not self.shape.ranking and not thoughts_among(keys)
            own = (TOUCHED_TEXTS | self.lists | {SURPLUS}).isdisjoint(keys)
            known = {"prompt", "response"} <= columns.keys() <= {*_TEXTS}
            fits = same and own and known and not have_others(keys, self.used)
            fits = fits and "kto_tag" not in self.shape.columns
            names = [columns.get(name, "") for name in _TEXTS]
            self.plain[keys] = (names[0], names[1], names[2], names[3]) if fits else None
        return self.plain[keys]

    def gains(self, other: Layout) -> bool:
        """Tell whether another layout says the same of the rows, and more."""
        own, more = self.shape, other.shape
        same = (own.formatting, own.ranking) == (more.formatting, more.ranking) and all(
            own.tags.get(tag) == more.tags.get(tag)
            for tag in ("role_tag", "content_tag", "user_tag", "assistant_tag")
        )
        kept = own.columns.items() <= more.columns.items() and self.lists <= other.lists
        known = self.with_optional().shape.columns.items()
        first_verdicts = self.verdict_type is None and other.verdict_type is not None
        grown = more.columns.items() - known or other.lists - self.lists or first_verdicts
        return same and kept and bool(grown)


def layout_of(name: str, container: str, values: Sequence[Any], reading: Reading) -> Layout:
    """Return the layout of a file of which some rows are given."""
    lists = columns_of_messages(values)
    rows = [with_lists(value, lists)[0] for value in values]
    if reading.naming:
        form, shape = layout_named(name, container, rows, reading.format, reading.naming)
    else:
        tell = detected_or_questions if reading.questions else detected
        form, shape = tell(name, container, rows, reading.format)
    return Layout(form, shape, verdict_type_of(rows, shape), lists)


def verdict_type_of(rows: Sequence[Any], shape: Shape) -> type | None:
    key = shape.columns.get("kto_tag")
    verdicts = [row.get(key) for row in rows if isinstance(row, dict)] if key else []
    types = Counter(type(verdict) for verdict in verdicts if verdict is not None)
    return types.most_common(1)[0][0] if types else None


class Spread:
    """Rows that stand for a whole file: some from all over it, and those with keys of their own."""

    def __init__(self, head: Sequence[Any]) -> None:
        self.even: list[Any] = []
        self.late: list[Any] = []
        self._every, self._rows = 1, 0
        self._filled: set[str] = set()
        for value in head:
            self._is_fresh(value)

    def add(self, value: Any) -> None:
        if not self._rows % self._every:
            self.even.append(value)
            if len(self.even) > 2 * SAMPLES:
                del self.even[1::2]
                self._every *= 2
        self._rows += 1
        if self._is_fresh(value) and len(self.late) < SAMPLES:
            self.late.append(value)

    def _is_fresh(self, value: Any) -> bool:
        if not isinstance(value, dict) or self._filled.issuperset(value):
            return False
        keys = [k for k in value if k not in self._filled and value[k] not in _NOTHING]
        self._filled.update(keys)
        return bool(keys)

    def revised(self, layout: Layout, tell: Callable[[list[Any]], Layout]) -> Layout | None:
        """Return the layout with what only later rows have, None if they have nothing to add."""
        if not self.late:
            return None
        try:
            anew = tell([*self.even, *self.late])
        except CuratrainError:
            return None  # what the first rows say stands
        return anew if layout.gains(anew) else None


# Keys that are told of a row that has others than its file.
_KEYS = 6


def read_row(value: Any, layout: Layout) -> tuple[Converted, Parsed]:
    """Return a row as it is kept, and what it says."""
    converted = _converted(value, layout)
    parsed = _parsed(converted, layout.shape)
    if not parsed.flaw or parsed.flaw == "wrong_field_count":
        return converted, parsed
    if parsed.flaw != "unknown_role" and isinstance(value, dict):
        if not _missing(value, layout.shape, (None, "", [])):
            return converted, parsed
    elif not isinstance(value, dict | list):
        return converted, parsed
    if own := _by_own_layout(value, layout):
        return own
    if parsed.flaw == "unknown_role":
        return converted, parsed
    texts = [k for k, v in value.items() if holds_text(v)] if isinstance(value, dict) else []
    if not texts or {*texts} & layout.used or not _missing(converted.row, layout.shape, (None,)):
        return converted, parsed
    change = f"rows with other keys: {', '.join(texts[:_KEYS])}"
    return Converted(value, (change,)), Parsed(flaw="other_keys")


def _parsed(converted: Converted, shape: Shape) -> Parsed:
    if converted.flaw in STRUCTURAL:
        return Parsed(flaw=converted.flaw)
    parsed = parse(converted.row, shape)
    return parsed._replace(flaw=parsed.flaw or converted.flaw) if converted.flaw else parsed


def _converted(value: Any, layout: Layout) -> Converted:
    row, unpacking = with_lists(layout.form.keyed(value), layout.lists)
    if not isinstance(row, dict):
        return Converted(row, flaw="not_an_object")
    if isinstance(row.get(SURPLUS), list):
        return Converted(row, flaw="wrong_field_count")
    converted = layout.form.convert(row, layout.shape)
    key = layout.shape.columns.get("kto_tag", "")
    if key and not isinstance(verdict := converted.row.get(key), bool):
        read = read_verdict(verdict) if type(verdict) is layout.verdict_type else None
        if read is not None:
            changes = (*converted.changes, f"'{key}' written as true or false")
            converted = converted._replace(row=converted.row | {key: read}, changes=changes)
    if layout.media and (files := _paths(converted.row, layout.media)):
        changes = (*converted.changes, "files named by an object named by their path")
        converted = converted._replace(row=converted.row | files, changes=changes)
    return converted._replace(changes=(*unpacking, *converted.changes)) if unpacking else converted


def _paths(row: dict[str, Any], media: Sequence[str]) -> dict[str, Any]:
    """Return lists of pictures in which an object stood for a path: a column has one type."""
    lists = {key: row[key] for key in media if isinstance(row.get(key), list)}
    paths = {key: list(map(_path, items)) for key, items in lists.items()}
    return {key: items for key, items in paths.items() if items != lists[key]}


def _path(item: Any) -> Any:
    names = isinstance(item, dict) and isinstance(item.get("path"), str) and not item.get("bytes")
    return item["path"] if names else item


def _missing(row: Any, shape: Shape, nothing: tuple[Any, ...]) -> bool:
    needed = ("messages", "prompt", "response", "chosen")
    return any(row.get(shape.columns[name]) in nothing for name in needed if name in shape.columns)


def _by_own_layout(value: Any, layout: Layout) -> tuple[Converted, Parsed] | None:
    """Return a row of another layout written in the file's shape, None if it has no such place."""
    shape = layout.shape
    row, _ = with_lists(value, layout.lists)
    same = layout.form.detect([row]) if isinstance(row, dict) else None
    if same and same.tags == shape.tags and {*same.columns.values()} <= layout.used:
        return None  # a row of this layout, with a flaw of its own
    if isinstance(row, dict):
        row = {key: inner for key, inner in row.items() if inner not in (None, "", [], {})}
    items = sorted(row.items()) if isinstance(row, dict) else ()
    keys = tuple(f"{key} {type(inner).__name__}" for key, inner in items)
    if keys not in layout.others:
        layout.others[keys] = best_fits([row])
    if not layout.others[keys]:
        return None
    form, own = layout.others[keys][0]
    converted = _converted(row, Layout(form, own, verdict_type_of([row], own)))
    parsed = _parsed(converted, own)
    if parsed.flaw or own.kind != shape.kind:
        return None
    try:
        written = canonical_row(parsed, converted.row, shape, own)
    except ValueError:
        return None
    written = {key: part for key, part in written.items() if part not in ("", None, [])}
    again = parse(written, shape)
    if again.turns != parsed.turns or again.flaw:
        return None
    unused = unused_keys(converted.row, own.columns.values(), parsed)
    change = f"rows of another layout ({form.name}) written like the others"
    return Converted(written, (change,), unused=(*converted.unused, *unused)), again
