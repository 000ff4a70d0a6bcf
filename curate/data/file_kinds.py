"""What holds the rows of a file - JSON, CSV, text, parquet, arrow - told by content, and read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from curate.data.encoding import BINARY, Sniffed
from curate.data.json_values import LIMIT, Record, json_array, json_lines, json_values
from curate.data.tables import arrow_rows, csv_rows, names_column, parquet_rows
from curate.data.text_blocks import HEAD, blocks_of, dialogue_blocks, qa_blocks, text_lines
from curate.errors import DataError

# Characters that tell what a file is.
START = 1 << 10
# What may stand before the first row: white space, and marks of files that were put together.
_BLANK = " \t\r\n\v\f\u3000\ufeff"
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
    "parquet": Container("parquet", parquet_rows),
    "arrow": Container("Arrow", arrow_rows),
}


def raw_rows(path: Path, sniffed: Sniffed, plain: bool = False) -> tuple[str, Iterator[Record]]:
    """Return the container of a file's rows, and the rows one after the other.

    Memory does not depend on the size of the file. `plain` text is read as a row a line.
    """
    container = _container_of(path, sniffed, plain)
    return container, _records(path, sniffed, CONTAINERS[container])


def _records(path: Path, sniffed: Sniffed, container: Container) -> Iterator[Record]:
    if sniffed.encoding == BINARY:
        yield from container.read(path)
        return
    with path.open(encoding=sniffed.encoding, newline=container.newline) as text:
        yield from container.read(text, path.name)


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
    if start[0] == "[":
        return "json"
    if start[0] == "{":
        return "jsonl" if _is_whole(line) else "json-values"
    with path.open(encoding=sniffed.encoding) as text:
        head = text.read(HEAD).lstrip(_BLANK)
    if plain and not names_column(head.partition("\n")[0], "text"):
        return "lines"
    return blocks_of(head) or "csv"


def _first_line(path: Path, sniffed: Sniffed) -> tuple[str, str]:
    """Return the first characters that are no white space, and their line if it is an object."""
    with path.open(encoding=sniffed.encoding, newline="\n") as text:
        while line := text.readline(START):
            if start := line.lstrip(_BLANK):
                # A whole array may stand on one line, which nobody needs in memory.
                if start[0] == "{" and not line.endswith("\n"):
                    line += text.readline(LIMIT)
                return start, line.lstrip(_BLANK)
    return "", ""


def _is_whole(line: str) -> bool:
    """Tell whether a text is exactly one JSON value."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
