"""Rows out of tables: CSV and TSV with the standard reader, parquet and arrow files."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from curate.data.json_values import LIMIT, Record, plain, without_nulls
from curate.errors import DataError

BATCH = 1000
_NAME = 40  # characters of a column's name
# Key of the fields that have no column. Where it is a list, the row has a wrong number of fields;
# where it is a text, it is a column without a name, which pandas gives to its index.
SURPLUS = ""
# Excel's line about the columns' separator; a name of one column.
_SEPARATOR = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_WORDS = re.compile(r"[\w\s./()（）\-]+")
TITLE = "a line above the columns' names"
_AGAIN = "the columns' names again between rows, left out"
# A last line of our own: the csv module takes an unclosed quote for a field in silence.
_END = "\x00end\x00"


def csv_rows(stream: TextIO, name: str) -> Iterator[Record]:
    """Yield the rows of a CSV or TSV text as dicts, the first row naming the columns."""
    csv.field_size_limit(max(csv.field_size_limit(), LIMIT))
    lines = ((place, line) for place, line in enumerate(stream) if line.strip())
    blank, first = next(lines, (0, ""))
    delimiter = _delimiter(first)
    left: tuple[str, ...] = ()
    title: list[str] = []  # a first line that may be one
    if separator := _SEPARATOR.fullmatch(first.strip()):
        delimiter, (blank, first) = separator[1], next(lines, (0, ""))
    # The header may itself be quoted over several lines, so it is read again with the rest.
    reader = csv.reader(itertools.chain([first], stream, [_END]), delimiter=delimiter)
    header: list[str] = []
    line = blank + 1
    try:
        for fields in reader:
            if fields == [_END]:
                return
            if fields and fields[-1].endswith(_END):
                break
            if not header and not title and is_title(fields):
                title, line = fields, blank + reader.line_num + 1
                continue
            if not header:
                above = title if sum(map(bool, fields)) > 1 else []
                left = (f"{TITLE} left out: {above[0]}",) if above else ()
                header = _header(fields if above or not title else title, name)
            if header is fields:
                pass
            elif fields and [fields[0].lstrip("\ufeff"), *fields[1:]] == header:
                left = (_AGAIN,)
            elif fields:
                while len(fields) > len(header) and not fields[-1]:
                    fields.pop()
                row: dict[str, Any] = dict(zip(header, fields, strict=False))
                if len(header) != len(fields):
                    own = [row[SURPLUS]] if SURPLUS in row else []
                    row[SURPLUS] = own + fields[len(header) :]
                yield Record(row, f"line {line}", left)
                left = ()
            line = blank + reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{name}, row starting on line {line}: {error}; look for a quote that is not closed"
        ) from None
    raise DataError(
        f'{name}: a quote (") that opens in the row starting on line {line} is never closed; '
        "close it (a quote inside a field is written twice), or fetch the file again"
    )


def check_header(header: Sequence[str], name: str, line: str = "line") -> None:
    """Refuse a table whose first line, or first row of a sheet, names a column twice."""
    for column in header:
        if (column or line == "line") and header.count(column) > 1:
            raise DataError(
                f"{name}: its first {line} names the column {column!r} twice; rename one of them, "
                f"or, if that {line} is data already, put a {line} with the columns' names above it"
            )


def _header(fields: list[str], name: str) -> list[str]:
    """Return the names of columns without the empty ones at the end, of which Excel writes many."""
    while fields.count("") > 1 and not fields[-1]:
        fields.pop()
    check_header(fields, name)
    return fields


def is_title(cells: Sequence[str]) -> bool:
    """Tell whether the first line of a table is its title or a comment: one cell of several."""
    alone = len(cells) > 1 and bool(cells[0].strip()) and not any(cells[1:])
    return alone or (len(cells) == 1 and cells[0].startswith("#"))


def _delimiter(header: str) -> str:
    fields = {mark: len(next(csv.reader([header], delimiter=mark))) for mark in ",\t;|"}
    most = max(",\t;", key=lambda mark: fields[mark])
    return "|" if fields[most] == 1 < fields["|"] and not header.startswith("|") else most


def names_column(header: str, column: str) -> bool:
    return column in next(csv.reader([header], delimiter=_delimiter(header)), [])


def looks_like_table(head: str, whole: bool, of_cells: bool = False) -> bool:
    """Tell whether a text, of which `head` is the beginning or the whole, is a table."""
    first, _, below = head.partition("\n")
    if _SEPARATOR.fullmatch(first.strip()) or (first.startswith("#") and is_title([first.strip()])):
        head, first = below, below.partition("\n")[0]
    try:
        records = [row for row in csv.reader(io.StringIO(head), delimiter=_delimiter(first)) if row]
    except csv.Error:
        records = []
    header, rows = (records[0], records[1:] if whole else records[1:-1]) if records else ([], [])
    fitting = sum(len(row) == len(header) for row in rows)
    if of_cells:
        several = any("\n" in cell for row in rows for cell in row)
        return several and len(header) > 1 and fitting == len(rows)
    named = len(set(header)) == len(header) and all(
        name == name.strip() and len(name) <= _NAME and not name.endswith((".", "。", "!", "?"))
        for name in header
    )
    if len(header) == 1 and not _WORDS.fullmatch(header[0]):
        return False
    return named or (len(header) > 1 and 2 * fitting > len(rows))


def parquet_rows(path: Path) -> Iterator[Record]:
    with _readable(path, "parquet"), pq.ParquetFile(path, pre_buffer=False) as file:
        _check_schema(file.schema_arrow, path.name)
        yield from _dicts(file.iter_batches(batch_size=BATCH), file.schema_arrow)


def arrow_rows(path: Path) -> Iterator[Record]:
    """Yield the rows of an arrow file or stream (what Hugging Face `datasets` saves) as dicts."""
    with _readable(path, "arrow"), pa.memory_map(str(path)) as source:
        if source.read(6) == b"ARROW1":
            file = pa.ipc.open_file(source)
            batches = map(file.get_batch, range(file.num_record_batches))
        else:
            source.seek(0)
            file = pa.ipc.open_stream(source)
            batches = iter(file)
        _check_schema(file.schema, path.name)
        yield from _dicts(batches, file.schema)


@contextmanager
def _readable(path: Path, what: str) -> Iterator[None]:
    """Tell of damage in our words; pyarrow tells of some as OSError, of bad text as ValueError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(
            f"{path.name} begins like {what} but cannot be read ({reason}); fetch it again"
        ) from None


def _dicts(batches: Iterable[Any], schema: Any) -> Iterator[Record]:
    nested = [column.name for column in schema if "struct<" in str(column.type)]
    rows = (
        row
        for batch in batches
        for start in range(0, batch.num_rows, BATCH)
        for row in batch.slice(start, BATCH).to_pylist()
    )
    for number, row in enumerate(rows, 1):
        value = plain(row)
        for name in nested:
            value[name] = without_nulls(value[name])
        yield Record(value, f"row {number}")


def _check_schema(schema: Any, name: str) -> None:
    for column in schema:
        if schema.names.count(column.name) > 1:
            raise DataError(
                f"{name} has two columns named {column.name!r}; save it again with one renamed"
            )
        if _has_bytes(column.type):
            raise DataError(
                f"{name}: column {column.name!r} holds bytes ({column.type}), rows hold text; "
                "save the file again with that column as a string or without it"
            )


def _has_bytes(kind: Any) -> bool:
    if "binary" in str(kind) and not kind.num_fields:
        return True
    return any(_has_bytes(kind.field(number).type) for number in range(kind.num_fields))


# Characters from which blocks are told.
HEAD = 1 << 16
_ID = re.compile(r"id\s*=\s*(\d+)")
_HEADINGS = ("Doctor faculty", "Description", "Dialogue", "Diagnosis and suggestions")
_FAR = re.compile(r"(?<![ \t\r])(?:[ \t\r]*\n){3,}")
Blocks = Literal["dialogue-text", "qa-text"]


def blocks_of(head: str) -> Blocks | None:
    """Tell which blocks a text is made of, None if it is made of none."""
    if _is_id(head.partition("\n")[0]):
        return "dialogue-text"
    parts = [part.strip().split("\n") for part in _FAR.split(head) if part.strip()]
    if len(head) >= HEAD and len(parts) > 1:
        parts.pop()  # it goes on
    # A CSV has its columns' names above, and no empty lines after each row.
    if len(parts) > 1 and all(len(part) > 1 and "," in part[0] for part in parts):
        return "qa-text"
    return None


def dialogue_blocks(stream: TextIO, name: str) -> Iterator[Record]:
    """Yield MedDialog's consultations, each from `id=1` after an empty line on."""
    blocks = _blocks(stream, lambda line, empty: empty > 0 and _is_id(line))
    return (Record(_dialogue(block), f"line {start}") for start, block in blocks)


def _is_id(line: str) -> bool:
    return _ID.fullmatch(line.strip()) is not None


def _dialogue(block: list[str]) -> dict[str, Any]:
    """Return `id`, `url`, the text under each heading, and what else stands above as `head`."""
    parts: dict[str, list[str]] = {"head": []}
    heading = "head"
    row: dict[str, Any] = {}
    for line in block:
        text = line.strip()
        if text in _HEADINGS and text not in parts:
            heading = text
            parts[heading] = []
        elif heading == "head" and "id" not in row and (number := _ID.fullmatch(text)):
            row["id"] = number[1]
        elif heading == "head" and "url" not in row and text.startswith("http"):
            row["url"] = text
        else:
            parts[heading].append(line)
    texts = {heading: "\n".join(lines).strip() for heading, lines in parts.items()}
    return row | {heading: text for heading, text in texts.items() if text or heading != "head"}


def qa_blocks(stream: TextIO, name: str) -> Iterator[Record]:
    """Yield Toyhom's text: `title,ask` on a line, the answer below, then empty lines."""
    for start, block in _blocks(stream, lambda line, empty: empty > 1):
        # A title has no comma; a question may have many.
        title, _, ask = block[0].strip().partition(",")
        answer = "\n".join(line if line.strip() else "" for line in block[1:]).strip()
        yield Record({"title": title, "ask": ask, "answer": answer}, f"line {start}")


def text_lines(stream: TextIO, name: str) -> Iterator[Record]:
    """Yield every line that is not blank as `text`, as LLaMA-Factory reads a .txt file."""
    for number, line in _lines(stream):
        if line.strip():
            yield Record({"text": line}, f"line {number}")


def _blocks(stream: TextIO, begins: Callable[[str, int], bool]) -> Iterator[tuple[int, list[str]]]:
    """Yield blocks, each with the number of its first line."""
    block: list[str] = []
    start = empty = 1
    for number, line in _lines(stream):
        if not line.strip():
            empty += 1
            if not block:
                continue
        else:
            if block and begins(line, empty):
                yield start, block
                block = []
            start = start if block else number
            empty = 0
        block.append(line)
    if block:
        yield start, block


def _lines(stream: TextIO) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(stream, 1):
        yield number, line.rstrip("\r\n").lstrip("\ufeff")
