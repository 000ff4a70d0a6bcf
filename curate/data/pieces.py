"""Where a long file of JSON can be cut, so that several processes read it as one would."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LEAST = 16 << 20  # bytes of a file that is worth the start of other processes
PIECE = 2 << 20  # bytes of a piece, and some more up to the end of a row
_LONGEST = 64 << 20
_NEXT = re.compile(r'\s*,\s*\{\s*"(?:[^"\\]|\\.)*"\s*:')


class NotInPiecesError(Exception):
    """The file has to be read as a whole."""


class Piece(NamedTuple):
    """A part of a file that begins and ends with rows."""

    start: int  # byte
    size: int
    line: int  # number of the line on which it begins


def pieces_of(path: Path, container: str) -> Iterator[Piece]:
    """Yield the pieces of JSON Lines, or of a JSON array, in UTF-8.

    An array is cut where a row begins with the key that the second row begins with, as it is
    written there. If that stands inside of a row after all, a piece is no JSON, and whoever reads
    it finds out.
    """
    size, start, line = path.stat().st_size, 0, 1
    between = b""
    with path.open("rb") as file:
        if container == "json":
            start, between = _array(file.read(PIECE))
            file.seek(0)
            line += file.read(start).count(b"\n")
        while start < size:
            file.seek(start)
            block = file.read(PIECE)
            if not between:
                block += file.readline()
                used = length = len(block)
            elif start + len(block) >= size:
                used, length = len(block), block.rfind(b"]")
                if length < 0 or block[length + 1 :].strip():
                    raise NotInPiecesError
            else:
                while (cut := block.rfind(between)) < 0 and len(block) < _LONGEST:
                    block += file.read(PIECE)
                if cut < 0:
                    raise NotInPiecesError
                length, used = cut + 1, cut + between.index(b",") + 1
            yield Piece(start, length, line)
            line += block.count(b"\n", 0, used)
            start += used


def _array(beginning: bytes) -> tuple[int, bytes]:
    text = beginning.decode("utf-8", "ignore")
    opened = re.match(r"\ufeff?\s*\[\s*(?=\{)", text)
    try:
        _, end = json.JSONDecoder(strict=False).raw_decode(text, opened.end() if opened else 0)
    except (ValueError, RecursionError):
        raise NotInPiecesError from None
    following = _NEXT.match(text, end)
    if not opened or not following:
        raise NotInPiecesError
    return len(text[: opened.end()].encode()), f"}}{following[0]}".encode()
