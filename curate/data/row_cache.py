"""One file's rows as an Arrow file in the cache folder, made once for the same bytes."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock

from curate.data import pieces
from curate.data.encoding import BINARY, sniff
from curate.data.file_kinds import raw_rows
from curate.data.formats import ONE_TEXT, format_named
from curate.data.formats.several_answers import TREES, as_pairs, spread_out
from curate.data.json_values import Record
from curate.data.layout import SAMPLES, Layout, Reading, Spread, layout_of
from curate.data.packed import Unpacked, unpacked
from curate.data.row_lines import SCHEMA, Part, Tally, batches, joined, lines, piece_reader
from curate.data.schema import Shape, Source
from curate.data.wrapped import laid_out
from curate.errors import DataError
from curate.system.cache import cache_dir
from curate.system.files import whole_files, write_text, writing_to
from curate.system.processes import Pool, cores

# Part of the key: a changed reader never takes what an older one wrote.
READER = "25"
PROCESSES = 8  # at most, for one file
# From the first values of a file, all its records and what is told, to other records; None: as is.
Step = Callable[[list[Any], Iterator[Record], dict[str, int]], Iterator[Record] | None]


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


def read_before(source: Source) -> Iterator[Stored]:
    """Yield what earlier runs have read of a file, known by its sha256, as it was read."""
    same = ("sha256", "format", "fill", "columns", "roles")
    for card in sorted((cache_dir() / "rows").glob("*.json")):
        try:  # another process may clear the cache meanwhile
            same_file = source.sha256.encode() in card.read_bytes()
        except OSError:
            continue
        known = _open(card, source.name) if same_file else None
        if known and all(getattr(known.source, key) == getattr(source, key) for key in same):
            yield known


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
        plain = bool(reading.format) and format_named(reading.format).rank == ONE_TEXT
        container, untouched = raw_rows(whole.path, whole.sniffed, plain)
        stream, head = untouched, list(itertools.islice(untouched, SAMPLES))
        changes = {f"left aside: {', '.join(whole.aside)}": 0} if whole.aside else {}
        values = [record.value for record in head]
        for step in _steps(reading, values):
            records = step(values, itertools.chain(head, stream), changes)
            if records is not None:
                stream, head = records, list(itertools.islice(records, SAMPLES))
                values = [record.value for record in head]
        again, spread = layout is not None, Spread(values)
        layout = layout or layout_of(name, container, values, reading)
        tally = Tally.of(values)
        if not again and stream is untouched:
            counted = _in_pieces(rows, whole, container, values, reading, tally)
            if counted is not None:
                total = counted
                break
            tally = Tally.of(values)
        every = itertools.chain(head, stream)
        kept = lines(every, layout.with_optional(), reading, tally, spread)
        total = _write(rows, batches(kept))
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
        changes={**changes, **dict(sorted(tally.changes.items()))},
        unused=dict(tally.unused.most_common()),
        fill={key: text for key, text in reading.fill.items() if tally.placeholders[key]},
        unfilled=tally.unfilled(reading.fill),
        columns=reading.naming.in_use(shape),
        roles={role: word for role, word in reading.naming.roles.items() if shape.tags},
    )
    known = {"source": asdict(source), "shape": shape.as_dict()}
    write_text(card, json.dumps(known, ensure_ascii=False))
    return Stored(source, shape, pa.ipc.open_file(pa.memory_map(str(rows))).read_all())


def _steps(reading: Reading, values: list[Any]) -> Iterator[Step]:
    """Yield what makes rows of the values of a file, one after the other."""
    if not any(map(reading.naming.is_of, values)):
        yield laid_out
    if not reading.naming and reading.format in ("", TREES):
        yield partial(as_pairs, trees=reading.format == TREES)
    if not reading.naming:
        yield spread_out


def _write(path: Path, rows: Iterator[pa.RecordBatch]) -> int:
    total = 0
    with (
        whole_files(path) as (part,),
        part.open("wb") as out,
        pa.ipc.new_file(out, SCHEMA) as writer,
    ):
        for batch in rows:
            writer.write_batch(batch)
            total += len(batch)
    return total


def _in_pieces(
    rows: Path, whole: Unpacked, container: str, head: Sequence[Any], reading: Reading, tally: Tally
) -> int | None:
    """Write the rows of a long file, read by several processes; None if one has to read it."""
    path, processes = whole.path, min(cores(), PROCESSES)
    fit = container in ("json", "jsonl") and whole.sniffed.encoding.startswith("utf-8")
    if processes < 2 or whole.sniffed.size < pieces.LEAST or not fit:
        return None
    start = partial(piece_reader, path, container, path.name, head, reading)
    coming = pieces.pieces_of(path, container)
    with Pool(start, processes) as pool:

        def sound() -> Iterator[Part]:
            for part in pool.map(coming):
                if part is None:
                    raise pieces.NotInPiecesError
                yield part

        try:
            return _write(rows, joined(sound(), tally, numbered=container == "json"))
        except pieces.NotInPiecesError:
            return None
