"""What holds the rows of a file - JSON, CSV, text, parquet, arrow - told by content, and read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from curate.data.encoding import BINARY, Sniffed
from curate.data.json_values import LIMIT, Record, is_json, json_array, json_lines, json_values
from curate.data.tables import (
    HEAD,
    arrow_rows,
    blocks_of,
    csv_rows,
    dialogue_blocks,
    looks_like_table,
    names_column,
    parquet_rows,
    qa_blocks,
    text_lines,
)
from curate.errors import DataError

# Characters that tell what a file is.
START = 1 << 10
# Characters of a first line that may be a list alone: a longer one is the beginning of an array.
_LIST = 1 << 16
# What the first item of a JSON array begins with: `[注]` begins a text.
_ARRAY = re.compile(r"""\[\s*(?:$|[\[\]{"'\-/\d,]|true|false|null|NaN)""")
# What a text of JSON begins with, which is in JSON once more.
_TEXT_OF_JSON = re.compile(r'"\s*(?:\{|\[\s*\{)\s*\\+"')
# Lines before the rows that are none: Markdown's fence and comments of a line.
_BEFORE = re.compile(r"```\w*\s*$|//|#")
# What may stand before the first row: white space, and marks of files that were put together.
_BLANK = " \t\r\n\v\f\u3000\ufeff\x1e"
# JSON that begins behind something else: its first line, and what stands before it there.
_LATER = re.compile(r'^(?P<before>[^\n"{\[]{0,200})(?:\{\s*"|\[\s*[{\[]|\[\s*$)', re.MULTILINE)
_JSON_IN = re.compile(r'\{\s*"\w|"\s*:\s*["\[{]|"\}')
_OTHER = {
    "XML": re.compile(r"<\?xml|<[A-Za-z_][\w.-]*[\s>/]"),
    "YAML": re.compile(r"---|- ?\w+:|\w+:$"),
}
_WEB = ("<!doctype html", "<html")
_POINTER = "version https://git-lfs.github.com/"


class Container(NamedTuple):
    """What holds rows: its name for people, and what reads it from a text or, binary, a path."""

    title: str
    read: Callable[..., Iterator[Record]]
    newline: str = ""  # as `open` takes it


CONTAINERS = {
    "json": Container("JSON", json_array),
    "jsonl": Container("JSON Lines", json_lines, newline="\n"),
    "json-values": Container("JSON values in a row", json_values),
    "csv": Container("CSV", csv_rows),
    "dialogue-text": Container("text", dialogue_blocks),
    "qa-text": Container("text", qa_blocks),
    "lines": Container("lines of text", text_lines),
    "sheet": Container("spreadsheet", json_lines, newline="\n"),  # as curate.data.packed gives it
    "parquet": Container("parquet", parquet_rows),
    "arrow": Container("Arrow", arrow_rows),
}


def raw_rows(path: Path, sniffed: Sniffed, plain: bool = False) -> tuple[str, Iterator[Record]]:
    """Return the container of a file's rows, and the rows one after the other."""
    name = _container_of(path, sniffed, plain)
    container = CONTAINERS[name]

    def records() -> Iterator[Record]:
        if sniffed.encoding == BINARY:
            yield from container.read(path)
            return
        with path.open(encoding=sniffed.encoding, newline=container.newline) as text:
            yield from container.read(text, path.name)

    return name, records()


def _container_of(path: Path, sniffed: Sniffed, plain: bool) -> str:
    if sniffed.encoding == BINARY:
        with path.open("rb") as file:
            return "parquet" if file.read(4) == b"PAR1" else "arrow"
    start, line = _first_line(path, sniffed)
    if not start:
        raise DataError(f"{path.name} is empty; fetch it again or leave it out")
    if start.lower().startswith(_WEB):
        raise DataError(f"{path.name} is a web page; open its address and fetch the file it links")
    if start.startswith(_POINTER):
        raise DataError(
            f"{path.name} is a pointer to a file in Git LFS, not the file; run `git lfs pull`, "
            "or fetch it from the web page of the repository"
        )
    if start[0] == "[" and _ARRAY.match(start):
        lines = line.split("\n", 1)
        more = lines[1].lstrip(_BLANK) if len(lines) > 1 else ""
        return "jsonl" if more.startswith("[") and is_json(lines[0]) else "json"
    if _TEXT_OF_JSON.match(start) and is_json(line):
        return "jsonl"
    if start[0] == "{":
        return "jsonl" if is_json(line) else "json-values"
    with path.open(encoding=sniffed.encoding) as text:
        head = text.read(HEAD).lstrip(_BLANK)
    if plain and not names_column(head.partition("\n")[0], "text"):
        return "lines"
    whole = len(head) < HEAD
    # Empty lines inside the quotes of a cell part no blocks.
    if (blocks := blocks_of(head)) and not looks_like_table(head, whole, of_cells=True):
        return blocks
    is_table = looks_like_table(head, whole)
    later = _LATER.search(head)
    if later and (not is_table or _JSON_IN.search(head.partition("\n")[0])):
        place = head.count("\n", 0, later.start()) + 1
        above = (later["before"] if place == 1 else head.partition("\n")[0]).strip()
        raise DataError(
            f"{path.name}: JSON begins on line {place}, behind other text ({above[:40]!r}); take "
            "away what stands before it"
        )
    if not is_table:
        kind = next((kind for kind, begins in _OTHER.items() if begins.match(start)), "")
        raise DataError(
            f"{path.name} is {kind}; save its rows as JSON Lines or CSV"
            if kind
            else f"{path.name} is plain text, no table: its first line names no columns that the "
            "lines below it fill. Plain text is read with --format pretraining, a row a line; a "
            "table needs a line with the columns' names above it"
        )
    return "csv"


def _first_line(path: Path, sniffed: Sniffed) -> tuple[str, str]:
    """Return the first characters of rows, and their line: an object's, a list's and the next."""
    before, several = "", False  # lines of one comment, behind which rows are no lines
    with path.open(encoding=sniffed.encoding, newline="\n") as text:
        while line := text.readline(START):
            start = line.lstrip(_BLANK)
            if start.startswith("/*"):
                before = before or start
                while "*/" not in line and (more := text.readline(LIMIT)):
                    line, several = more, True
                line = line.partition("*/")[2]
                start = line.lstrip(_BLANK)
            if start and _BEFORE.match(start):
                before = before or start
                if not line.endswith("\n"):
                    text.readline(LIMIT)
            elif start and before and start[0] not in "[{":
                return before, before  # no JSON: what looked like a comment is text
            elif start:
                # A whole array may stand on one line, which nobody needs in memory.
                if not line.endswith("\n"):
                    line += text.readline(_LIST if start[0] == "[" else LIMIT)
                if start[0] == "[" and line.endswith("\n"):
                    line += next(
                        (more for more in iter(lambda: text.readline(START), "") if more.strip()),
                        "",
                    )
                return start, "" if several else line.lstrip(_BLANK)
    return before, before
