"""Rows of a file as they are kept, and what is counted while they pass by."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from json.encoder import encode_basestring as quoted
from operator import add
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from curate.data.describe import language_of
from curate.data.ids import content_hash, hash_of_quoted
from curate.data.json_values import Record, json_array, json_lines
from curate.data.layout import Layout, Reading, Spread, layout_of, read_row
from curate.data.pieces import Piece
from curate.data.placeholders import filled, placeholders
from curate.data.row_keys import SAYS_NOTHING, unused_keys
from curate.data.schema import STRUCTURAL, Parsed, is_blank
from curate.data.tables import SURPLUS
from curate.errors import DataError

BATCH = 1000
SCHEMA = pa.schema(
    [
        ("raw", pa.large_string()),
        ("hash", pa.uint64()),
        ("flaw", pa.string()),
        ("where", pa.string()),
        ("responses", pa.int32()),
        ("language", pa.string()),
        ("prompt_characters", pa.int32()),
        ("response_characters", pa.int32()),
    ]
)
# A file in which at least one row in so many has a placeholder is a template to be filled in; in
# any other file `{{name}}` is what somebody wrote about, as in code for web pages.
TEMPLATE = 4
# As JSON writes it; a backslash before it is a backslash of the text.
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


@dataclass
class Tally:
    template: bool = False  # whether the file is one that has to be filled in
    keys: set[str] = field(default_factory=set)  # of rows as they are kept
    changes: Counter[str] = field(default_factory=Counter)  # what conversion did, to rows
    unused: Counter[str] = field(default_factory=Counter)  # keys whose text is not used, to rows
    placeholders: Counter[str] = field(default_factory=Counter)  # to the rows that had them
    first: dict[str, str] = field(default_factory=dict)  # what reading did, and to which row first

    @classmethod
    def of(cls, values: Sequence[Any]) -> Tally:
        """Return the beginning of a count: from the first rows, whether they are a template."""
        having = sum(bool(placeholders(value)) for value in values)
        return cls(0 < len(values) <= having * TEMPLATE)

    def add(self, other: Tally) -> None:
        self.keys |= other.keys
        for name in ("changes", "unused", "placeholders"):
            getattr(self, name).update(getattr(other, name))

    def read(self, record: Record) -> None:
        for change in record.changes:
            self.changes[self.first.setdefault(change, f"{change} (first {record.where})")] += 1

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


def batches(rows: Iterator[Line]) -> Iterator[pa.RecordBatch]:
    """Yield rows as a thousand lines of a table at a time."""
    while batch := list(itertools.islice(rows, BATCH)):
        columns = [list(column) for column in zip(*batch, strict=True)]
        yield pa.record_batch(columns, schema=SCHEMA)


def as_table(rows: Iterable[tuple[Any, Parsed, str]]) -> pa.Table:
    """Return the table of rows: of each its value, what it says, and its place in its file."""
    return pa.Table.from_pylist([_line(*row)._asdict() for row in rows], SCHEMA)


def lines(
    stream: Iterator[Record], layout: Layout, reading: Reading, tally: Tally, spread: Spread
) -> Iterator[Line]:
    """Yield every row as it is kept."""
    used, asked = layout.used, tally.template or bool(reading.fill)
    for record in stream:
        value, where, changes = record
        if changes:
            tally.read(record)
        spread.add(value)
        keys = layout.texts(tuple(value)) if not asked and isinstance(value, dict) else None
        if keys and (line := _plain_line(value, keys, where)):
            if not tally.keys.issuperset(value):
                tally.keys.update(value)
            yield line
            continue
        names: set[str] = set()
        if asked:
            names = placeholders(value)
            tally.placeholders.update(names)
            value = filled(value, reading.fill) if names else value
        converted, parsed = read_row(value, layout)
        if converted.changes:
            tally.changes.update(converted.changes)
        row = converted.row
        if isinstance(row, dict):
            if not tally.keys.issuperset(row):
                tally.keys.update(key for key in row if key != SURPLUS)
            if parsed.flaw not in STRUCTURAL:
                unused = (*converted.unused, *unused_keys(row, used, parsed))
                if unused:
                    tally.unused.update(unused)
        if tally.template and names - reading.fill.keys() and not parsed.flaw:
            parsed = parsed._replace(flaw="unfilled_placeholder")
        yield _line(row, parsed, where)


def _plain_line(value: dict[str, Any], keys: tuple[str, str, str, str], where: str) -> Line | None:
    """Return a row of a text in each column as it is kept: as read_row() has it, and sooner."""
    texts = [value.get(key, "") for key in keys]
    for text in texts:
        if type(text) is not str or text in SAYS_NOTHING:
            return None
    prompt, query, response, _ = texts
    # Each text is quoted once, for the row and for its hash: that is most of the work of a row.
    written = {
        key: quoted(text) if type(text) is str else _compact(text) for key, text in value.items()
    }
    own = [written.get(key, '""') for key in keys]
    asked = own[0]
    if query:
        asked = f"{asked[:-1]}\\n{own[1][1:]}" if prompt else own[1]
        prompt = f"{prompt}\n{query}" if prompt else query
    whole = ",".join(map(add, _named(tuple(written)), written.values()))
    raw, flaw = _checked(f"{{{whole}}}", value)
    if not flaw and is_blank(response):
        flaw = "empty_response"
    elif not flaw and is_blank(prompt):
        flaw = "empty_prompt"
    hashed = hash_of_quoted(own[3], f'["user",{asked}],["assistant",{own[2]}]')
    language = language_of(prompt + response)
    line = (raw, hashed, flaw, where, 1, language, len(prompt), len(response))
    return tuple.__new__(Line, line)  # the class itself takes three times as long


@lru_cache(maxsize=64)
def _named(keys: tuple[Any, ...]) -> list[str]:
    """Return keys as JSON has them before their values."""
    return [_compact({key: ""})[1:-3] for key in keys]


def _checked(raw: str, value: Any) -> tuple[str, str]:
    """Return a row as JSON, and the flaw that only its characters have."""
    try:
        raw.encode("utf-8")
    except UnicodeEncodeError:
        # Half of a pair of escapes, as cut texts have: no tokenizer and no file takes it.
        return json.dumps(value, separators=(",", ":")), "lone_surrogate"
    return raw, "nul_character" if "\\u0000" in raw and _NUL.search(raw) else ""


def _line(value: Any, parsed: Parsed, where: str) -> Line:
    raw, flaw = _checked(_compact(value), value)
    if flaw and parsed.flaw not in STRUCTURAL:
        parsed = parsed._replace(flaw=flaw)
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


class Part(NamedTuple):
    """The rows of a piece of a file, as an Arrow stream, and what was counted."""

    rows: bytes
    tally: Tally


def piece_reader(
    path: Path, container: str, name: str, values: Sequence[Any], reading: Reading
) -> Callable[[Piece], Part | None]:
    """Return what reads pieces of a file whose first rows hold some values.

    It returns None for a piece whose rows are not all read as those are, or not without a word:
    then the whole file has to be seen.
    """
    layout = layout_of(name, container, values, reading).with_optional()

    def read(piece: Piece) -> Part | None:
        with path.open("rb") as file:
            file.seek(piece.start)
            text = file.read(piece.size)
        whole, newline = (b"[%b]" % text, "") if container == "json" else (text, "\n")
        stream = io.TextIOWrapper(io.BytesIO(whole), "utf-8", newline=newline)
        records = (json_array if container == "json" else json_lines)(stream, name, line=piece.line)
        tally, spread = Tally.of(values), Spread(values)
        sink = io.BytesIO()
        try:
            with pa.ipc.new_stream(sink, SCHEMA) as out:
                for batch in batches(lines(records, layout, reading, tally, spread)):
                    out.write_batch(batch)
        except DataError:
            return None
        return None if spread.late or layout.others or tally.first else Part(sink.getvalue(), tally)

    return read


def joined(parts: Iterator[Part], tally: Tally, numbered: bool) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all pieces, with their numbers in the file where they are named by them."""
    rows = 0
    for part in parts:
        tally.add(part.tally)
        for batch in pa.ipc.open_stream(part.rows):
            if numbered:
                place = SCHEMA.get_field_index("where")
                line = pc.extract_regex(batch.column(place), r"(?P<line> \(line \d+\))").field(0)
                numbers = pa.array(range(rows + 1, rows + 1 + len(batch))).cast(pa.string())
                where = pc.binary_join_element_wise("row ", numbers, line, "")
                batch = batch.set_column(place, SCHEMA.field(place), where)
            rows += len(batch)
            yield batch
