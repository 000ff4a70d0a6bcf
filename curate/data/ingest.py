"""From the records of a file to rows: which format they have, what each says, what is counted."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from curate.data.file_kinds import Container, Record
from curate.data.formats import Format, format_named, formats, parse
from curate.data.ids import content_hash
from curate.data.language import language_of
from curate.data.placeholders import filled, placeholders
from curate.data.schema import STRUCTURAL, Converted, Parsed, Shape
from curate.data.tables import SURPLUS
from curate.errors import DataError

# A file in which at least one row in so many has a placeholder is a template to be filled in; in
# any other file `{{name}}` is what somebody wrote about, as in code for web pages.
TEMPLATE = 4
# As JSON writes it; a backslash before it is a backslash of the text.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# Formats that an error names with their keys.
_NEAREST = 3
_LONGEST_KEY = 30


@dataclass(frozen=True)
class Reading:
    """How a file is to be read.

    Attributes:
        format: Name of the format; '' leaves it to the rows.
        fill: Placeholder to the text that goes there.
    """

    format: str = ""
    fill: Mapping[str, str] = field(default_factory=dict)

    def key(self) -> str:
        """Return it as a part of a cache key."""
        return json.dumps([self.format, sorted(self.fill.items())])


@dataclass
class Tally:
    """What is counted while rows pass by.

    Attributes:
        keys: That occur in rows as they are kept.
        changes: What conversion did, to rows.
        found: Placeholder to the rows that had it.
        template: Whether the file is one that has to be filled in.
    """

    template: bool = False
    keys: set[str] = field(default_factory=set)
    changes: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)

    def unfilled(self, fill: Mapping[str, str]) -> dict[str, int]:
        """Return the placeholders of a template that got no text, to rows."""
        left = {name: rows for name, rows in self.found.items() if name not in fill}
        return dict(sorted(left.items())) if self.template else {}


class Line(NamedTuple):
    """A row as it is kept: its JSON, hash, flaw and place, and what describes it."""

    raw: str
    hash: int
    flaw: str
    where: str
    responses: int
    language: str
    prompt_characters: int
    response_characters: int


def detected(
    name: str, container: Container, head: list[Record], reading: Reading
) -> tuple[Format, Shape]:
    """Return the format of a file and the shape of its rows."""
    if not head:
        raise DataError(f"{name} holds no rows; fetch it again or leave it out")
    tried = [format_named(reading.format)] if reading.format else list(formats().values())
    values = [record.value for record in head]
    fits = [(form, shape) for form in tried if (shape := form.detect(_samples(values, form)))]
    if not fits:
        raise DataError(_unknown(name, container, head, tried))
    best = max(_specific(*each) for each in fits)
    first, *others = (each for each in fits if _specific(*each) == best)
    if others:
        names = " and as ".join(form.name for form, _ in (first, *others))
        raise DataError(
            f"{name} ({container}) has rows that can be read as {names}; say which with --format, "
            f"for example --format {first[0].name}"
        )
    return first


def _samples(values: list[Any], form: Format) -> list[dict[str, Any]]:
    rows = (_row(value, form) for value in values)
    return [row for row in rows if isinstance(row, dict)]


def _row(value: Any, form: Format) -> Any:
    """Return a bare list under its key, where the format has such rows."""
    return {form.listed: value} if form.listed and isinstance(value, list) else value


def _specific(form: Format, shape: Shape) -> tuple[int, int]:
    """Return how much of a row a format explains: the larger, the better it knows what it reads."""
    return form.rank, len(shape.columns)


def _unknown(name: str, container: Container, head: list[Record], tried: list[Format]) -> str:
    keys = sorted({_shown(key) for each in head if isinstance(each.value, dict) for key in each[0]})
    has = f"rows with the keys {', '.join(keys[:12])}" if keys else "values that are no objects"
    near = sorted(tried, key=lambda form: -_likeness(keys, form))[: _NEAREST if keys else 0]
    known = "; ".join(f"{each.name} ({each.keys})" for each in near)
    others = ", ".join(each.name for each in tried if each not in near)
    if len(tried) == 1:
        told = f"not what --format says, {tried[0].name} ({tried[0].keys})"
    elif near:
        told = f"no format that is read. Nearest are {known}; others are {others}"
    else:
        told = f"no format that is read. Formats are {others}"
    return f"{name} ({container}) has {has}: {told}. {_way_out(container, head)}"


def _likeness(keys: list[str], form: Format) -> float:
    """Return how much the keys of a file are like those of a format, the largest is the nearest."""
    words = re.findall(r"\w+", form.keys)
    return sum(
        max((difflib.SequenceMatcher(None, word, key).ratio() for key in keys[:12]), default=0.0)
        for word in words
    ) / len(words)


def _shown(key: object) -> str:
    text = str(key).encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= _LONGEST_KEY else f"{text[:_LONGEST_KEY]}…"


def _way_out(container: Container, head: list[Record]) -> str:
    """Return what to do about rows in no known format, as far as the rows tell."""
    only = head[0].value if len(head) == 1 else None
    for key, inner in only.items() if isinstance(only, dict) else ():
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            return f"One object wraps the rows under {key!r}: save that list alone"
    if container == "csv":
        return (
            "The first line of a table has to name the columns; put one there, or rename them. "
            "Plain text is read with --format pretraining, a row a line"
        )
    if not any(isinstance(record.value, dict) for record in head):
        return "A row has to be an object, or a list of texts that begin 病人： and 医生："
    return "Rename the keys"


def is_template(head: list[Record]) -> bool:
    """Tell whether rows have to be filled in before they can be used."""
    having = sum(bool(placeholders(record.value)) for record in head)
    return having > 0 and having * TEMPLATE >= len(head)


def lines(
    stream: Iterator[Record], form: Format, shape: Shape, reading: Reading, tally: Tally
) -> Iterator[Line]:
    """Yield every row as it is kept."""
    for value, where in stream:
        found = placeholders(value) if tally.template or reading.fill else set()
        tally.found.update(found)
        given = filled(value, reading.fill) if found else value
        kept, parsed = _read(_row(given, form), form, shape)
        tally.changes.update(kept.changes)
        if tally.template and found - reading.fill.keys() and not parsed.flaw:
            parsed = replace(parsed, flaw="unfilled_placeholder")
        yield _line(kept.row, parsed, where, tally)


def _line(value: Any, parsed: Parsed, where: str, tally: Tally) -> Line:
    raw = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    flaw = ""
    if not _is_unicode(raw):
        # Half of a pair of escapes, as cut texts have: no tokenizer and no file takes it.
        raw = json.dumps(value, separators=(",", ":"))
        flaw = "lone_surrogate"
    elif "\\u0000" in raw and _NUL.search(raw):
        flaw = "nul_character"
    if flaw and parsed.flaw not in STRUCTURAL:
        parsed = replace(parsed, flaw=flaw)
    if isinstance(value, dict):
        tally.keys.update(key for key in value if key != SURPLUS)
    prompt, response = parsed.prompt, parsed.response
    return Line(
        raw,
        content_hash(parsed, value),
        parsed.flaw,
        where,
        parsed.responses,
        language_of(prompt + response),
        len(prompt),
        len(response),
    )


def _read(value: Any, form: Format, shape: Shape) -> tuple[Converted, Parsed]:
    """Return a row as it is kept, and what it says."""
    if not isinstance(value, dict):
        return Converted(value), Parsed(flaw="not_an_object")
    if isinstance(value.get(SURPLUS), list):
        return Converted(value), Parsed(flaw="wrong_field_count")
    made = form.convert(value, shape)
    return made, Parsed(flaw=made.flaw) if made.flaw else parse(made.row, shape)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
