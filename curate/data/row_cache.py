"""One file's rows as an Arrow file in the cache folder, made once for the same bytes."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from filelock import FileLock

from curate.data.answer_lists import spread_out
from curate.data.describe import language_of
from curate.data.encoding import BINARY, sniff
from curate.data.file_kinds import raw_rows
from curate.data.formats import ONE_TEXT, format_named
from curate.data.formats.ranked import TREES, as_pairs, told
from curate.data.ids import content_hash
from curate.data.json_values import Record
from curate.data.layout import SAMPLES, Layout, Reading, Spread, layout_of
from curate.data.packed import Unpacked, unpacked
from curate.data.placeholders import filled, placeholders
from curate.data.row_keys import unused_keys
from curate.data.row_reading import read_row
from curate.data.schema import STRUCTURAL, Parsed, Shape, Source
from curate.data.tables import SURPLUS
from curate.data.wrapped import laid_out
from curate.errors import DataError
from curate.system.cache import cache_dir
from curate.system.files import whole_files, write_text, writing_to

# Part of the key: a changed reader never takes what an older one wrote.
READER = "16"
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
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


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
    rows = card.with_suffix(".arrow")
    layout: Layout | None = None
    while True:
        container, head, stream, changes = _head_and_rest(whole, reading)
        ranked: Counter[str] = Counter()
        if not reading.naming and reading.format in ("", TREES):
            head, stream, ranked = as_pairs(head, stream, reading.format == TREES)
        if not reading.naming:
            head, stream = spread_out(head, stream, changes)
        values = [record.value for record in head]
        again, spread = layout is not None, Spread(values)
        layout = layout or layout_of(name, container, values, reading)
        tally = Tally(_is_template(values), changes=Counter(changes))
        kept = lines(itertools.chain(head, stream), layout.with_optional(), reading, tally, spread)
        total = _write(rows, kept)
        tell = partial(layout_of, name, container, reading=reading)
        # A column may turn up late in a file: it is read again, and as if it had been there.
        if again or not (revised := spread.revised(layout, tell)):
            break
        layout = revised
    shape = layout.shape.with_columns(layout.form.optional, tally.keys)
    source = Source(
        name=name,
        sha256=sha256,
        format=layout.form.name,
        container=whole.container or container,
        encoding=BINARY if whole.container else whole.sniffed.encoding,
        rows=total,
        changes={**told(ranked), **dict(sorted({**changes, **tally.changes}.items()))},
        unused=dict(tally.unused.most_common()),
        fill={key: text for key, text in reading.fill.items() if tally.placeholders[key]},
        unfilled=tally.unfilled(reading.fill),
        columns=reading.naming.in_use(shape),
        roles={role: word for role, word in reading.naming.roles.items() if shape.tags},
    )
    known = {"source": asdict(source), "shape": shape.as_dict()}
    write_text(card, json.dumps(known, ensure_ascii=False))
    return Stored(source, shape, pa.ipc.open_file(pa.memory_map(str(rows))).read_all())


def _head_and_rest(
    whole: Unpacked, reading: Reading
) -> tuple[str, list[Record], Iterator[Record], dict[str, int]]:
    """Return the container of a file, its first rows, the others, what was done to get at them."""
    plain = bool(reading.format) and format_named(reading.format).rank == ONE_TEXT
    container, stream = raw_rows(whole.path, whole.sniffed, plain)
    head = list(itertools.islice(stream, SAMPLES))
    changes = {f"left aside: {', '.join(whole.aside)}": 0} if whole.aside else {}
    if not reading.naming.is_of(head[0].value if len(head) == 1 else None):
        head, stream, inside = laid_out(head, stream)
        changes |= inside
    return container, head, stream, changes


def _is_template(head: list[Any]) -> bool:
    """Tell whether rows have to be filled in before they can be used."""
    having = sum(bool(placeholders(value)) for value in head)
    return having > 0 and having * TEMPLATE >= len(head)


def _write(path: Path, rows: Iterator[Line]) -> int:
    """Write rows to an Arrow file; return how many."""
    total = 0
    with (
        whole_files(path) as (part,),
        part.open("wb") as out,
        pa.ipc.new_file(out, _SCHEMA) as writer,
    ):
        while batch := list(itertools.islice(rows, BATCH)):
            columns = [list(column) for column in zip(*batch, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
            total += len(batch)
    return total


def lines(
    stream: Iterator[Record], layout: Layout, reading: Reading, tally: Tally, spread: Spread
) -> Iterator[Line]:
    """Yield every row as it is kept."""
    used = layout.used
    for record in stream:
        value, where, changes = record
        if changes:
            tally.read(record)
        spread.add(value)
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
