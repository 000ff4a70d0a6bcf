"""One file's rows as an Arrow file in the cache folder, made once for the same bytes."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from filelock import FileLock

from curate.data.describe import language_of
from curate.data.encoding import BINARY, sniff
from curate.data.file_kinds import raw_rows
from curate.data.formats import ONE_TEXT, detected, format_named
from curate.data.ids import content_hash
from curate.data.json_values import Record
from curate.data.naming import Naming, detected_or_questions, layout_named
from curate.data.packed import Unpacked, unpacked
from curate.data.placeholders import filled, placeholders
from curate.data.row_keys import unused_keys
from curate.data.row_reading import Layout, read_row, verdict_type_of
from curate.data.schema import STRUCTURAL, Parsed, Shape, Source
from curate.data.tables import SURPLUS
from curate.data.wrapped import laid_out
from curate.errors import DataError
from curate.system.cache import cache_dir
from curate.system.files import whole_files, write_text, writing_to

# Part of the key: a changed reader never takes what an older one wrote.
READER = "13"
SAMPLES = 200
BATCH = 1000
_SCHEMA = pa.schema(
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
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


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
        named = (self.fill, self.naming.columns, self.naming.roles)
        return json.dumps([self.format, *(sorted(n.items()) for n in named), self.questions])


@dataclass
class Tally:
    """What is counted while rows pass by."""

    template: bool = False  # whether the file is one that has to be filled in
    keys: set[str] = field(default_factory=set)  # of rows as they are kept
    changes: Counter[str] = field(default_factory=Counter)  # what conversion did, to rows
    unused: Counter[str] = field(default_factory=Counter)  # keys whose text is not used, to rows
    placeholders: Counter[str] = field(default_factory=Counter)  # to the rows that had them
    first: dict[str, str] = field(default_factory=dict)  # what reading did, and to which row first

    def read(self, record: Record) -> None:
        """Count what was done to read a row."""
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


@dataclass(frozen=True)
class Stored:
    """A file that has been read: what is known of it, and its table, memory-mapped."""

    source: Source
    shape: Shape
    table: pa.Table


def stored(path: Path, name: str, reading: Reading, part: str = "") -> Stored:
    """Return the rows of a file, or of a part of it, parsing it if no earlier run has."""
    try:
        sniffed = sniff(path)
    except OSError as error:
        raise DataError(f"'{name}' cannot be read: {error.strerror or error}") from error
    key_of = f"{READER}|{sniffed.sha256}|{part}|{reading.key()}"
    key = hashlib.sha256(key_of.encode()).hexdigest()[:32]
    folder = cache_dir() / "rows"
    card = folder / f"{key}.json"
    instead = f"set CURATRAIN_CACHE to another folder (about {sniffed.size / 1e6:,.0f} MB)"
    with writing_to(folder, "rows", instead):
        if known := _open(card, name):
            return known
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{card}.lock"):
            if known := _open(card, name):
                return known
            with unpacked(path, sniffed, part) as whole:
                return _ingest(whole, name, sniffed.sha256, card, reading)


def _open(card: Path, name: str) -> Stored | None:
    """Return the rows of an earlier run; None if there are none, or they are damaged."""
    try:
        known = json.loads(card.read_text(encoding="utf-8"))
        # What tells where the rows lie stands at the end: a file that was cut does not open.
        rows = pa.ipc.open_file(pa.memory_map(str(card.with_suffix(".arrow")))).read_all()
        return Stored(Source(**{**known["source"], "name": name}), Shape(**known["shape"]), rows)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ingest(whole: Unpacked, name: str, sha256: str, card: Path, reading: Reading) -> Stored:
    """Parse a file into KEY.arrow, then write KEY.json: its being there means all is done."""
    plain = bool(reading.format) and format_named(reading.format).rank == ONE_TEXT
    container, stream = raw_rows(whole.path, whole.sniffed, plain)
    head = list(itertools.islice(stream, SAMPLES))
    changes: dict[str, int] = {}
    if not reading.naming.is_of(head[0].value if len(head) == 1 else None):
        head, stream, changes = laid_out(head, stream)
    values = [record.value for record in head]
    if reading.naming:
        form, shape = layout_named(name, container, values, reading.format, reading.naming)
    else:
        tell = detected_or_questions if reading.questions else detected
        form, shape = tell(name, container, values, reading.format)
    # A column may turn up late in the file: rows are parsed as if it were there from the first.
    whole_shape = shape.with_columns(form.optional, form.optional.values())
    templates = sum(bool(placeholders(record.value)) for record in head)
    template = templates * TEMPLATE >= len(head) and templates > 0
    tally = Tally(template, changes=Counter(changes))
    layout = Layout(form, whole_shape, verdict_type_of(head, shape))
    if whole.aside:
        tally.changes[f"left aside: {', '.join(whole.aside)}"] = 0
    rows, total = card.with_suffix(".arrow"), 0
    kept = lines(itertools.chain(head, stream), layout, reading, tally)
    with (
        whole_files(rows) as (part,),
        part.open("wb") as out,
        pa.ipc.new_file(out, _SCHEMA) as writer,
    ):
        while batch := list(itertools.islice(kept, BATCH)):
            columns = [list(column) for column in zip(*batch, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
            total += len(batch)
    shape = shape.with_columns(form.optional, tally.keys)
    source = Source(
        name=name,
        sha256=sha256,
        format=form.name,
        container=whole.container or container,
        encoding=BINARY if whole.container else whole.sniffed.encoding,
        rows=total,
        changes=dict(sorted(tally.changes.items())),
        unused=dict(tally.unused.most_common()),
        fill={key: text for key, text in reading.fill.items() if tally.placeholders[key]},
        unfilled=tally.unfilled(reading.fill),
        columns=reading.naming.in_use(shape),
        roles={role: word for role, word in reading.naming.roles.items() if shape.tags},
    )
    known = {"source": asdict(source), "shape": shape.as_dict()}
    write_text(card, json.dumps(known, ensure_ascii=False))
    return Stored(source, shape, pa.ipc.open_file(pa.memory_map(str(rows))).read_all())


def lines(
    stream: Iterator[Record], layout: Layout, reading: Reading, tally: Tally
) -> Iterator[Line]:
    """Yield every row as it is kept."""
    used = frozenset(layout.shape.columns.values())
    for record in stream:
        value, where, _ = record
        tally.read(record)
        names: set[str] = set()
        if tally.template or reading.fill:
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
            parsed = replace(parsed, flaw="unfilled_placeholder")
        yield _line(row, parsed, where)


def _line(value: Any, parsed: Parsed, where: str) -> Line:
    raw = _compact(value)
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
