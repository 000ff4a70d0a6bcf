"""One file's rows as an Arrow file in the cache folder, made once for the same bytes."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock

from curate.data.cache import cache_dir
from curate.data.containers import Container, Record, container_of, records
from curate.data.formats import Format, formats, parse
from curate.data.ids import content_hash
from curate.data.shape import Parsed, Shape, Source
from curate.data.tabular import SURPLUS
from curate.data.text import Sniffed, sniff
from curate.errors import DataError, OutputError

# Part of the key: a changed reader never takes what an older one wrote.
READER = "4"
SAMPLES = 200
BATCH = 1000
_SCHEMA = pa.schema(
    [
        ("raw", pa.large_string()),
        ("hash", pa.uint64()),
        ("flaw", pa.string()),
        ("where", pa.string()),
    ]
)


@dataclass(frozen=True)
class Stored:
    """A file that has been read.

    Attributes:
        source: What is known of the file.
        shape: Of its rows.
        table: Columns `raw`, `hash`, `flaw` and `where`, memory-mapped.
    """

    source: Source
    shape: Shape
    table: pa.Table


def stored(path: Path, name: str) -> Stored:
    """Return the rows of a file, parsing it if no earlier run has.

    Args:
        path: A file.
        name: What to call it.

    Raises:
        DataError: It is empty, broken, or in no known format.
        OutputError: The cache folder cannot be written.
    """
    try:
        sniffed = sniff(path)
    except OSError as error:
        raise DataError(f"'{name}' cannot be read: {error.strerror or error}") from error
    key = hashlib.sha256(f"{READER}|{sniffed.sha256}".encode()).hexdigest()[:32]
    folder = cache_dir() / "rows"
    card = folder / f"{key}.json"
    try:
        found = _open(card, name)
        if not found:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{card}.lock"):
                found = _open(card, name) or _ingest(path, name, sniffed, card)
        return found
    except OSError as error:
        raise OutputError(
            f"rows cannot be written to {folder}: {error.strerror or error}; make room there "
            f"(about {sniffed.size / 1e6:,.0f} MB), or set CURATRAIN_CACHE to another folder"
        ) from error


def _open(card: Path, name: str) -> Stored | None:
    """Return the rows of an earlier run; None if there are none, or they are damaged."""
    try:
        known = json.loads(card.read_text(encoding="utf-8"))
        # What tells where the rows lie stands at the end: a file that was cut does not open.
        rows = pa.ipc.open_file(pa.memory_map(str(card.with_suffix(".arrow")))).read_all()
        return Stored(Source(**{**known["source"], "name": name}), Shape(**known["shape"]), rows)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ingest(path: Path, name: str, sniffed: Sniffed, card: Path) -> Stored:
    """Parse a file into KEY.arrow, then write KEY.json: its being there means all is done."""
    container = container_of(path, sniffed)
    stream = records(path, sniffed, container)
    head = list(itertools.islice(stream, SAMPLES))
    form, shape = _detect(name, container, head)
    keys: set[str] = set()
    # A column may turn up late in the file: rows are parsed as if it were there from the first.
    whole_shape = shape.with_columns(form.optional, form.optional.values())
    # Always of the same name, so that what a killed run left is written over.
    unfinished, whole = card.with_suffix(".arrow.part"), card.with_suffix(".arrow")
    try:
        total = _write(unfinished, _lines(itertools.chain(head, stream), form, whole_shape, keys))
        os.replace(unfinished, whole)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    full = shape.with_columns(form.optional, keys)
    source = Source(name, sniffed.sha256, form.name, container, sniffed.encoding, total)
    known = {"source": asdict(source), "shape": full.as_dict()}
    last = card.with_suffix(".json.part")
    last.write_text(json.dumps(known, ensure_ascii=False), encoding="utf-8")
    os.replace(last, card)
    return Stored(source, full, pa.ipc.open_file(pa.memory_map(str(whole))).read_all())


def _write(path: Path, lines: Iterator[tuple[str, int, str, str]]) -> int:
    """Write rows to an Arrow file; return how many."""
    total = 0
    with path.open("wb") as out, pa.ipc.new_file(out, _SCHEMA) as writer:
        while batch := list(itertools.islice(lines, BATCH)):
            columns = [list(column) for column in zip(*batch, strict=True)]
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
            total += len(batch)
    return total


def _detect(name: str, container: Container, head: list[Record]) -> tuple[Format, Shape]:
    if not head:
        raise DataError(f"{name} holds no rows; fetch it again or leave it out")
    samples = [record.value for record in head if isinstance(record.value, dict)]
    for form in formats().values():
        if shape := form.detect(samples):
            return form, shape
    keys = sorted({str(key) for sample in samples for key in sample})
    has = f"rows with the keys {', '.join(keys[:12])}" if keys else "values that are no objects"
    known = "; ".join(f"{each.name} ({each.keys})" for each in formats().values())
    raise DataError(
        f"{name} ({container}) has {has}: no format that is read. Known are {known}. "
        f"{_way_out(container, head)}"
    )


def _way_out(container: Container, head: list[Record]) -> str:
    """Return what to do about rows in no known format, as far as the rows tell."""
    only = head[0].value if len(head) == 1 else None
    for key, inner in only.items() if isinstance(only, dict) else ():
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            return f"One object wraps the rows under {key!r}: save that list alone"
    if container == "csv":
        return "The first line has to name the columns; put one there, or rename the columns"
    return "Rename the keys"


def _lines(
    stream: Iterator[Record], form: Format, shape: Shape, keys: set[str]
) -> Iterator[tuple[str, int, str, str]]:
    """Yield (raw, hash, flaw, where) of every row, and collect the keys that occur."""
    for value, where in stream:
        if isinstance(value, dict) and SURPLUS not in value:
            value = form.convert(value, shape)
        parsed = _parsed(value, shape)
        raw = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if not _is_unicode(raw):
            # Half of a pair of escapes, as cut texts have: no tokenizer and no file takes it.
            raw = json.dumps(value, separators=(",", ":"))
            parsed = replace(parsed, flaw="lone_surrogate")
        if isinstance(value, dict):
            keys.update(key for key in value if key != SURPLUS)
        yield raw, content_hash(parsed, value), parsed.flaw, where


def _parsed(value: Any, shape: Shape) -> Parsed:
    if not isinstance(value, dict):
        return Parsed(flaw="not_an_object")
    if isinstance(value.get(SURPLUS), list):
        return Parsed(flaw="wrong_field_count")
    return parse(value, shape)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
