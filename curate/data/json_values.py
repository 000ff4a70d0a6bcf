"""JSON values out of a text stream of any length, through a buffer that slides forward."""

from __future__ import annotations

import datetime
import decimal
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn, TextIO

from curate.errors import DataError

CHUNK = 1 << 20
LIMIT = 64 << 20  # characters that one row may have
# The longest beginning of a literal that can be cut: "-Infinity", and room for an escape.
NEAR_END = 16
# Levels of lists and objects in one row. What is deeper than Python's own stack allows fails in
# some callers and not in others, so the limit is one that holds for all.
DEPTH = 100
# A byte order mark stands between rows where files were put together.
_SPACE = re.compile("[ \t\n\r\ufeff]*")
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_CUT_PART = re.compile(r"\s*|\.|[eE][+-]?|u[0-9a-fA-F]{0,3}")
_decode = json.JSONDecoder().raw_decode
_BROKEN = "{}, line {} column {}: {}; put the JSON right there, or fetch the file again"
_CUT = "{} ends inside {}, whole rows before it: {}; the file looks cut off - fetch it again"
_LONG = (
    "{}: one value is longer than {:,} characters, the most that is read; "
    "take that row out, or, if one object wraps the whole file, save the list in it alone"
)


class Record(NamedTuple):
    """One value of a file, and its place for people: "line 12" or "row 12"."""

    value: Any
    where: str


def json_array(
    stream: TextIO, name: str, *, chunk: int = CHUNK, limit: int = LIMIT
) -> Iterator[Record]:
    """Yield the items of the one JSON array that a text, opened with newline="", holds."""
    window = _Window(stream, name, chunk, limit)
    window.peek()
    mark = window.peek(skip=1)
    while mark != "]":
        if not mark:
            raise DataError(
                f"{name} ends after row {window.rows} without the closing ]; the file looks cut "
                "off - fetch it again"
            )
        row, line = window.rows + 1, window.place(window.at)[0]
        yield Record(window.value(line), f"row {row} (line {line})")
        mark = window.peek()
        if mark == ",":
            mark = window.peek(skip=1)
            if mark == "]":
                window.refuse("a comma and then no value")
        elif mark and mark != "]":
            window.refuse("expecting ',' or ']' after a row")
    if window.peek(skip=1):
        window.refuse("more text after the end of the array")


def json_values(
    stream: TextIO, name: str, *, chunk: int = CHUNK, limit: int = LIMIT
) -> Iterator[Record]:
    """Yield JSON values that follow each other with or without white space between them."""
    window = _Window(stream, name, chunk, limit)
    while mark := window.peek():
        if window.rows and mark in ",]":
            window.refuse(f"{mark!r} after a row, but no '[' before the first row")
        line = window.place(window.at)[0]
        yield Record(window.value(line), f"line {line}")


def json_lines(stream: TextIO, name: str, *, limit: int = LIMIT) -> Iterator[Record]:
    r"""Yield the value of every line that is not blank; newline="\n": values may hold others."""
    number = rows = 0
    while line := stream.readline(limit + 1):
        number += 1
        if len(line) > limit:
            raise DataError(_LONG.format(f"{name}, line {number}", limit))
        text = line.lstrip("\ufeff").rstrip("\r\n")
        if not text or text.isspace():
            continue
        try:
            value = json.loads(text)
            _check_depth(value, text, 0, len(text))
        except json.JSONDecodeError as error:
            if not line.endswith("\n") and _is_cut(error, text):
                raise DataError(_CUT.format(name, f"line {number}", rows)) from None
            raise DataError(_BROKEN.format(name, number, error.colno, error.msg)) from None
        except (ValueError, RecursionError) as error:
            raise _unreadable(f"{name}, line {number}", error) from None
        yield Record(value, f"line {number}")
        rows += 1


class _Window:
    """The part of the text that is in memory; `at` is the next character to be read."""

    def __init__(self, stream: TextIO, name: str, chunk: int, limit: int) -> None:
        self.stream, self.name, self.chunk, self.limit = stream, name, chunk, limit
        self.text, self.at, self.ended, self.rows = "", 0, False, 0
        self.line, self.column, self.counted = 1, 1, 0  # line and column of text[counted]

    def grow(self) -> None:
        """Forget what was read and read on, at least as much as is left: no quadratic rescans."""
        self.place(self.at)
        rest = self.text[self.at :]
        more = self.stream.read(max(self.chunk, len(rest)))
        self.ended = not more
        self.text, self.at, self.counted = rest + more, 0, 0

    def place(self, at: int) -> tuple[int, int]:
        """Return line and column of a character that is not before the last one asked for."""
        newline = self.text.rfind("\n", self.counted, at)
        self.column = at - newline if newline >= 0 else self.column + at - self.counted
        self.line += self.text.count("\n", self.counted, at)
        self.counted = at
        return self.line, self.column

    def peek(self, skip: int = 0) -> str:
        """Go past a bracket or comma and white space; return what follows, '' at the end."""
        self.at += skip
        while True:
            space = _SPACE.match(self.text, self.at)
            self.at = space.end() if space else self.at
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self.grow()

    def value(self, line: int) -> Any:
        """Read one value, growing until it is whole."""
        row = f"row {self.rows + 1} (line {line})"
        while True:
            end = self.at
            try:
                value, end = _decode(self.text, self.at)
                _check_depth(value, self.text, self.at, end)
            except json.JSONDecodeError as error:
                # More text may mend an error near the end; one well before it stays one.
                unfinished = error.msg.startswith("Unterminated string")
                mended = unfinished or error.pos >= len(self.text) - NEAR_END
                if not (_is_cut(error, self.text) if self.ended else mended):
                    self.refuse(error.msg, error.pos)
                if self.ended:
                    raise DataError(_CUT.format(self.name, row, self.rows)) from None
            except (ValueError, RecursionError) as error:
                raise _unreadable(f"{self.name}, {row}", error) from None
            # A number at the window's end may go on: 1 may be 12, 1.5 or 1e+3.
            sure = end > self.at and (
                self.ended
                or isinstance(value, dict | list | str)
                or len(self.text) - end > NEAR_END
            )
            if (end if sure else len(self.text)) - self.at > self.limit:
                raise DataError(_LONG.format(f"{self.name}, {row}", self.limit))
            if sure:
                self.at = end
                self.rows += 1
                return value
            self.grow()

    def refuse(self, reason: str, at: int | None = None) -> NoReturn:
        line, column = self.place(self.at if at is None else at)
        raise DataError(_BROKEN.format(self.name, line, column, reason))


def _is_cut(error: json.JSONDecodeError, text: str) -> bool:
    """Tell whether a text that has ended is sound as far as it goes."""
    rest = text[error.pos :]
    return (
        error.msg.startswith("Unterminated string")
        or _CUT_PART.fullmatch(rest) is not None
        or any(word.startswith(rest) for word in _LITERALS)
    )


def _check_depth(value: Any, text: str, start: int, end: int) -> None:
    """Raise RecursionError for a value of more than DEPTH levels."""
    if text.count("[", start, end) + text.count("{", start, end) <= DEPTH:
        return
    level = [value]
    for _ in range(DEPTH + 1):
        holders = (outer for outer in level if isinstance(outer, dict | list))
        level = [v for o in holders for v in (o.values() if isinstance(o, dict) else o)]
    if level:
        raise RecursionError


def _unreadable(where: str, error: Exception) -> DataError:
    deep = f"lists and objects are nested more than {DEPTH} levels deep"
    reason = deep if isinstance(error, RecursionError) else str(error).split(";")[0]
    return DataError(f"{where}: {reason}; take that row out and read the file again")


def plain(value: Any) -> Any:
    """Return a value with everything in it that JSON has no word for put into one that it has."""
    if isinstance(value, str | bool | int | float):
        return value
    if value is None or type(value).__name__ in ("NaTType", "NAType"):  # pandas' two, of no cell
        return None
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta | decimal.Decimal):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} is no JSON")
