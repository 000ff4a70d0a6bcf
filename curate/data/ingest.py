"""From the records of a file to rows: which format they have, what each says, what is counted."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from curate.data.file_kinds import Container
from curate.data.formats import Format, format_named, formats, parse
from curate.data.ids import content_hash
from curate.data.json_values import Record
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
# Formats that an error names with their keys, and keys of the file that it names.
_NEAREST, _KEYS = 3, 12
_LONGEST_KEY = 30


@dataclass(frozen=True)
class Reading:
    """How a file is to be read: name of its format, '' for any, and text for placeholders."""

    format: str = ""
    fill: Mapping[str, str] = field(default_factory=dict)

    def key(self) -> str:
        """Return it as a part of a cache key."""
        return json.dumps([self.format, sorted(self.fill.items())])


@dataclass
class Tally:
    """What is counted while rows pass by."""

    template: bool = False  # whether the file is one that has to be filled in
    keys: set[str] = field(default_factory=set)  # of rows as they are kept
    changes: Counter[str] = field(default_factory=Counter)  # what conversion did, to rows
    placeholders: Counter[str] = field(default_factory=Counter)  # to the rows that had them

    def unfilled(self, fill: Mapping[str, str]) -> dict[str, int]:
        """Return the placeholders of a template that got no text, to rows."""
        left = {name: rows for name, rows in self.placeholders.items() if name not in fill}
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
    # How much of a row a format explains: the larger, the better it knows what it reads.
    fits: dict[tuple[int, int], list[tuple[Format, Shape]]] = {}
    for form in tried:
        rows = [row for record in head if isinstance(row := _row(record.value, form), dict)]
        if shape := form.detect(rows):
            fits.setdefault((form.rank, len(shape.columns)), []).append((form, shape))
    if not fits:
        raise DataError(_unknown(name, container, head, tried))
    first, *others = fits[max(fits)]
    if others:
        names = " and as ".join(form.name for form, _ in (first, *others))
        raise DataError(
            f"{name} ({container}) has rows that can be read as {names}; say which with --format, "
            f"for example --format {first[0].name}"
        )
    return first


def _row(value: Any, form: Format) -> Any:
    """Return a bare list under its key, where the format has such rows."""
    return {form.listed: value} if form.listed and isinstance(value, list) else value


def _unknown(name: str, container: Container, head: list[Record], tried: list[Format]) -> str:
    """Return that rows have no known format, the formats that are nearest, and what to do."""
    objects = [record.value for record in head if isinstance(record.value, dict)]
    keys = sorted({_shown(key) for row in objects for key in row})[:_KEYS]
    has = f"rows with the keys {', '.join(keys)}" if keys else "values that are no objects"
    near = sorted(tried, key=lambda form: -_likeness(keys, form))[: _NEAREST if keys else 0]
    known = "; ".join(f"{form.name} ({form.keys})" for form in near)
    others = ", ".join(form.name for form in tried if form not in near)
    if len(tried) == 1:
        problem = f"not what --format says, {tried[0].name} ({tried[0].keys})"
    elif near:
        problem = f"no format that is read. Nearest are {known}; others are {others}"
    else:
        problem = f"no format that is read. Formats are {others}"
    return f"{name} ({container}) has {has}: {problem}. {_way_out(container, head)}"


def _likeness(keys: list[str], form: Format) -> float:
    """Return how much the keys of a file are like those of a format, the largest is the nearest."""
    words = re.findall(r"\w+", form.keys)
    ratios = ([difflib.SequenceMatcher(None, word, key).ratio() for key in keys] for word in words)
    return sum(max(row, default=0.0) for row in ratios) / len(words)


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
        names = placeholders(value) if tally.template or reading.fill else set()
        tally.placeholders.update(names)
        value = _row(filled(value, reading.fill) if names else value, form)
        if not isinstance(value, dict):
            converted, parsed = Converted(value), Parsed(flaw="not_an_object")
        elif isinstance(value.get(SURPLUS), list):
            converted, parsed = Converted(value), Parsed(flaw="wrong_field_count")
        else:
            converted = form.convert(value, shape)
            flaw = converted.flaw
            parsed = Parsed(flaw=flaw) if flaw else parse(converted.row, shape)
        tally.changes.update(converted.changes)
        if tally.template and names - reading.fill.keys() and not parsed.flaw:
            parsed = replace(parsed, flaw="unfilled_placeholder")
        if isinstance(converted.row, dict):
            tally.keys.update(key for key in converted.row if key != SURPLUS)
        yield _line(converted.row, parsed, where)


def _line(value: Any, parsed: Parsed, where: str) -> Line:
    raw = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    flaw = ""
    try:
        raw.encode("utf-8")
        if "\\u0000" in raw and _NUL.search(raw):
            flaw = "nul_character"
    except UnicodeEncodeError:
        # Half of a pair of escapes, as cut texts have: no tokenizer and no file takes it.
        raw = json.dumps(value, separators=(",", ":"))
        flaw = "lone_surrogate"
    if flaw and parsed.flaw not in STRUCTURAL:
        parsed = replace(parsed, flaw=flaw)
    prompt, response = parsed.prompt, parsed.response
    return Line(
        raw=raw,
        hash=content_hash(parsed, value),
        flaw=parsed.flaw,
        where=where,
        responses=parsed.responses,
        language=language_of(prompt + response),
        prompt_characters=len(prompt),
        response_characters=len(response),
    )
