"""One file's rows as an Arrow file in the cache folder, made once for the same bytes."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
from filelock import FileLock

from curate.data.encoding import Sniffed, sniff
from curate.data.file_kinds import raw_rows
from curate.data.formats import ONE_TEXT, detected, format_named
from curate.data.ingest import Line, Reading, Tally, is_template, lines
from curate.data.schema import Shape, Source
from curate.errors import DataError
from curate.system.cache import cache_dir
from curate.system.files import whole_files, write_text, writing_to

# Part of the key: a changed reader never takes what an older one wrote.
READER = "7"
SAMPLES = 200
BATCH = 1000
DEFAULT = Reading()
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


@dataclass(frozen=True)
class Stored:
    """A file that has been read: what is known of it, and its table, memory-mapped."""

    source: Source
    shape: Shape
    table: pa.Table


def stored(path: Path, name: str, reading: Reading = DEFAULT) -> Stored:
    """Return the rows of a file, parsing it if no earlier run has."""
    try:
        sniffed = sniff(path)
    except OSError as error:
        raise DataError(f"'{name}' cannot be read: {error.strerror or error}") from error
    key = hashlib.sha256(f"{READER}|{sniffed.sha256}|{reading.key()}".encode()).hexdigest()[:32]
    folder = cache_dir() / "rows"
    card = folder / f"{key}.json"
    instead = f"set CURATRAIN_CACHE to another folder (about {sniffed.size / 1e6:,.0f} MB)"
    with writing_to(folder, "rows", instead):
        if known := _open(card, name):
            return known
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{card}.lock"):
            return _open(card, name) or _ingest(path, name, sniffed, card, reading)


def _open(card: Path, name: str) -> Stored | None:
    """Return the rows of an earlier run; None if there are none, or they are damaged."""
    try:
        known = json.loads(card.read_text(encoding="utf-8"))
        # What tells where the rows lie stands at the end: a file that was cut does not open.
        rows = pa.ipc.open_file(pa.memory_map(str(card.with_suffix(".arrow")))).read_all()
        return Stored(Source(**{**known["source"], "name": name}), Shape(**known["shape"]), rows)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ingest(path: Path, name: str, sniffed: Sniffed, card: Path, reading: Reading) -> Stored:
    """Parse a file into KEY.arrow, then write KEY.json: its being there means all is done."""
    plain = bool(reading.format) and format_named(reading.format).rank == ONE_TEXT
    container, stream = raw_rows(path, sniffed, plain)
    head = list(itertools.islice(stream, SAMPLES))
    form, shape = detected(name, container, [record.value for record in head], reading.format)
    # A column may turn up late in the file: rows are parsed as if it were there from the first.
    whole_shape = shape.with_columns(form.optional, form.optional.values())
    tally = Tally(is_template(head))
    rows = card.with_suffix(".arrow")
    with whole_files(rows) as (part,):
        everything = itertools.chain(head, stream)
        total = _write(part, lines(everything, form, whole_shape, reading, tally))
    shape = shape.with_columns(form.optional, tally.keys)
    source = Source(
        name=name,
        sha256=sniffed.sha256,
        format=form.name,
        container=container,
        encoding=sniffed.encoding,
        rows=total,
        changes=dict(sorted(tally.changes.items())),
        fill={key: text for key, text in reading.fill.items() if tally.placeholders[key]},
        unfilled=tally.unfilled(reading.fill),
    )
    known = {"source": asdict(source), "shape": shape.as_dict()}
    write_text(card, json.dumps(known, ensure_ascii=False))
    return Stored(source, shape, pa.ipc.open_file(pa.memory_map(str(rows))).read_all())


def _write(path: Path, rows: Iterator[Line]) -> int:
    """Write rows to an Arrow file; return how many."""
    total = 0
    with path.open("wb") as out, pa.ipc.new_file(out, _SCHEMA) as writer:
        while batch := list(itertools.islice(rows, BATCH)):
            columns = [list(column) for column in zip(*batch, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
            total += len(batch)
    return total
