"""How the rows of a file are laid out: told from its first rows, and anew for later ones."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from curate.data.formats import Format, detected, detected_or_questions
from curate.data.naming import Naming, layout_named
from curate.data.row_keys import RENAMED, are_messages
from curate.data.schema import MEDIA, Shape
from curate.errors import CuratrainError

SAMPLES = 200
# Lists that tables have as text.
_LIST_NAMES = (
    "conversations conversation messages dialog dialogue chat history option options choices data "
    "chosen rejected prompt completion images videos audios"
)
_LISTED = frozenset(_LIST_NAMES.split())
_MAY_BE_TEXT = ("chosen", "rejected", "prompt", "completion")
_TOUCHED = _LISTED | RENAMED.keys()
_BRACKETS = re.compile(r"\s*(?:\[.*\]|\{.*\})\s*\Z", re.DOTALL)
_NOTHING: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True)
class Reading:
    """How a file is to be read.

    Attributes:
        format: Its name, '' for any.
        fill: Text for placeholders.
        naming: Which key is which column, and which word which role.
        questions: Whether rows may be questions without answers.
    """

    format: str = ""
    fill: Mapping[str, str] = field(default_factory=dict)
    naming: Naming = field(default_factory=Naming)
    questions: bool = False

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

    @cached_property
    def used(self) -> frozenset[str]:
        """The keys whose text is a part of what a row says."""
        return frozenset(self.shape.columns.values())

    def with_optional(self) -> Layout:
        """Return the layout with all columns that may turn up, as if they were there."""
        optional = self.form.optional
        return replace(self, shape=self.shape.with_columns(optional, optional.values()))

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
    lists = _columns_of_messages(values)
    rows = [with_lists(value, lists)[0] for value in values]
    if reading.naming:
        form, shape = layout_named(name, container, rows, reading.format, reading.naming)
    else:
        tell = detected_or_questions if reading.questions else detected
        form, shape = tell(name, container, rows, reading.format)
    return Layout(form, shape, verdict_type_of(rows, shape), lists)


def verdict_type_of(rows: Sequence[Any], shape: Shape) -> type | None:
    """Return the type of most verdicts of some rows."""
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
        """See the next row of the file."""
        if not self._rows % self._every:
            self.even.append(value)
            if len(self.even) > 2 * SAMPLES:
                del self.even[1::2]
                self._every *= 2
        self._rows += 1
        if self._is_fresh(value) and len(self.late) < SAMPLES:
            self.late.append(value)

    def _is_fresh(self, value: Any) -> bool:
        """Tell whether a row has something under a key under which no earlier one had."""
        if not isinstance(value, dict) or self._filled.issuperset(value):
            return False
        keys = {k for k in value.keys() - self._filled if value[k] not in _NOTHING}
        self._filled |= keys
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


def with_lists(row: Any, lists: frozenset[str] = frozenset()) -> tuple[Any, tuple[str, ...]]:
    """Return a row with lists for texts that hold lists, and what was changed.

    Args:
        row: A value of a file.
        lists: Keys beside the usual ones whose texts may hold messages.
    """
    if not isinstance(row, dict) or (_TOUCHED.isdisjoint(row) and lists.isdisjoint(row)):
        return row, ()
    made: dict[str, Any] = {}
    changes: list[str] = []
    for key, value in row.items():
        if key not in _TOUCHED and key not in lists:
            continue
        if isinstance(value, str) and (key in _LISTED or key in lists) and _BRACKETS.match(value):
            inner = _as_list(value)
            if inner is not None and (key in _LISTED - {*_MAY_BE_TEXT} or are_messages(inner)):
                made[key] = inner
                changes.append(f"the list in the text of '{key}' read")
        elif key in MEDIA and isinstance(value, str):
            made[key] = [value] if value.strip() else []
            changes.append(f"'{key}' made a list")
        elif (name := RENAMED.get(key)) and value and not row.get(name):
            texts = [value] if isinstance(value, str) else value
            if name not in MEDIA or (
                isinstance(texts, list) and all(isinstance(text, str) for text in texts)
            ):
                made |= {key: None, name: texts}
                changes.append(f"'{key}' read as '{name}'")
    if not made:
        return row, ()
    whole = {key: value for key, value in (row | made).items() if made.get(key, 0) is not None}
    return whole, tuple(sorted(changes))


def _as_list(text: str) -> Any:
    """Return a list or an object written as text, as JSON or as Python writes it, else None."""
    for load in (json.loads, ast.literal_eval):
        try:
            value = load(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, list | dict) else None
    return None


def _columns_of_messages(values: Sequence[Any]) -> frozenset[str]:
    """Return the keys with names of their own most of whose texts hold messages."""
    texts: dict[str, list[bool]] = {}
    for value in values:
        for key, cell in value.items() if isinstance(value, dict) else ():
            if isinstance(cell, str) and cell and key not in _TOUCHED:
                holds = cell.lstrip().startswith("[") and are_messages(_as_list(cell))
                texts.setdefault(key, []).append(holds)
    return frozenset(key for key, holds in texts.items() if 2 * sum(holds) > len(holds))
