"""Rows out of plain text: blocks of lines, as MedDialog and Toyhom publish them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, TextIO

from curate.data.json_values import LIMIT, Record
from curate.errors import DataError

# Characters from which blocks are told.
HEAD = 1 << 16
_ID = re.compile(r"id\s*=\s*(\d+)")
_HEADINGS = ("Doctor faculty", "Description", "Dialogue", "Diagnosis and suggestions")
_FAR = re.compile(r"(?:[ \t\r]*\n){3,}")
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


def dialogue_blocks(stream: TextIO, name: str, *, limit: int = LIMIT) -> Iterator[Record]:
    """Yield MedDialog's consultations, each from `id=1` after an empty line on."""
    blocks = _blocks(stream, name, limit, lambda line, empty: empty > 0 and _is_id(line))
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


def qa_blocks(stream: TextIO, name: str, *, limit: int = LIMIT) -> Iterator[Record]:
    """Yield Toyhom's text: `title,ask` on a line, the answer below, then empty lines."""
    for start, block in _blocks(stream, name, limit, lambda line, empty: empty > 1):
        # A title has no comma; a question may have many.
        title, _, ask = block[0].strip().partition(",")
        answer = "\n".join(line if line.strip() else "" for line in block[1:]).strip()
        yield Record({"title": title, "ask": ask, "answer": answer}, f"line {start}")


def text_lines(stream: TextIO, name: str, *, limit: int = LIMIT) -> Iterator[Record]:
    """Yield every line that is not blank as `text`, as LLaMA-Factory reads a .txt file."""
    for number, line in _lines(stream, name, limit):
        if line.strip():
            yield Record({"text": line}, f"line {number}")


def _blocks(
    stream: TextIO, name: str, limit: int, begins: Callable[[str, int], bool]
) -> Iterator[tuple[int, list[str]]]:
    """Yield blocks, each with the number of its first line.

    `begins` tells of a line, and of the number of empty ones before it, whether a block begins.
    """
    block: list[str] = []
    start = empty = 1
    for number, line in _lines(stream, name, limit):
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
        _check(block, name, start, limit)
    if block:
        yield start, block


def _lines(stream: TextIO, name: str, limit: int) -> Iterator[tuple[int, str]]:
    number = 0
    while line := stream.readline(limit + 1):
        number += 1
        _check([line], name, number, limit)
        yield number, line.rstrip("\r\n").lstrip("\ufeff")


def _check(block: list[str], name: str, line: int, limit: int) -> None:
    # Counting a block anew at every line would be quadratic; at powers of two it is not.
    size = len(block)
    if size and not size & (size - 1) and sum(map(len, block)) > limit:
        raise DataError(
            f"{name}, line {line}: one block of text is longer than {limit:,} characters, the most "
            "that is read; take it out, or put the empty lines between blocks"
        )
