"""From the records of a file to rows as they are kept: what each says, what is counted."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from curate.data.canonical import parse
from curate.data.formats import Format
from curate.data.ids import content_hash
from curate.data.json_values import Record
from curate.data.language import language_of
from curate.data.placeholders import filled, placeholders
from curate.data.schema import STRUCTURAL, Converted, Parsed, Shape
from curate.data.tables import SURPLUS

# A file in which at least one row in so many has a placeholder is a template to be filled in; in
# any other file `{{name}}` is what somebody wrote about, as in code for web pages.
TEMPLATE = 4
# As JSON writes it; a backslash before it is a backslash of the text.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


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
        converted = _converted(filled(value, reading.fill) if names else value, form, shape)
        tally.changes.update(converted.changes)
        if isinstance(converted.row, dict):
            tally.keys.update(key for key in converted.row if key != SURPLUS)
        flaw = converted.flaw
        parsed = Parsed(flaw=flaw) if flaw else parse(converted.row, shape)
        if tally.template and names - reading.fill.keys() and not parsed.flaw:
            parsed = replace(parsed, flaw="unfilled_placeholder")
        yield _line(converted.row, parsed, where)


def _converted(value: Any, form: Format, shape: Shape) -> Converted:
    value = form.keyed(value)
    if not isinstance(value, dict):
        return Converted(value, flaw="not_an_object")
    if isinstance(value.get(SURPLUS), list):
        return Converted(value, flaw="wrong_field_count")
    return form.convert(value, shape)


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
