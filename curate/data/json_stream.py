"""JSON values out of a text stream of any length, through a buffer that slides forward."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn, TextIO

from curate.errors import DataError

CHUNK = 1 << 20
LIMIT = 64 << 20
# The longest beginning of a literal that can be cut: "-Infinity", and room for an escape.
NEAR_END = 16
# Levels of lists and objects in one row. What is deeper than Python's own stack allows fails in
# some callers and not in others, so the limit is one that holds for all.
DEPTH = 100
# A byte order mark stands between rows where files were put together.
_SPACE = re.compile("[ \t\n\r\ufeff]*")
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_CUT_PART = re.compile(r"\s*|\.|[eE][+-]?|u[0-9a-fA-F]{0,3}")


class Record(NamedTuple):
    """One value of a file.

    Attributes:
        value: As the container gives it, usually a dict.
        where: Its place for people, "line 12" or "row 12".
    """

    value: Any
    where: str


class _Window:
    """The part of the text that is in memory; `at` is the next character to be read."""

    def __init__(self, stream: TextIO, name: str, chunk: int) -> None:
        self.stream, self.name, self.chunk = stream, name, chunk
        self.text, self.at, self.ended = "", 0, False
        self._line, self._column = 1, 1
        self._known = (0, 1)

    def grow(self) -> None:
        """Forget what was read and read on, at least as much as is left: no quadratic rescans."""
        self._line, self._column = self.place(self.at)
        rest = self.text[self.at :]
        more = self.stream.read(max(self.chunk, len(rest)))
        self.ended = not more
        self.text, self.at = rest + more, 0
        self._known = (0, self._line)

    def line(self) -> int:
        """Return the line of the next character."""
        seen, line = self._known
        line += self.text.count("\n", seen, self.at)
        self._known = (self.at, line)
        return line

    def place(self, at: int) -> tuple[int, int]:
        """Return line and column in the file, both from 1."""
        newlines = self.text.count("\n", 0, at)
        if not newlines:
            return self._line, self._column + at
        return self._line + newlines, at - self.text.rfind("\n", 0, at)

    def peek(self) -> str:
        """Return the next character that is no white space, or '' at the end."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text):
                return self.text[self.at]
            if self.ended:
                return ""
            self.grow()

    def refuse(self, at: int, reason: str) -> NoReturn:
        line, column = self.place(at)
        raise DataError(
            f"{self.name}, line {line} column {column}: {reason}; "
            "put the JSON right there, or fetch the file again"
        )


def json_array(
    stream: TextIO, name: str, *, chunk: int = CHUNK, limit: int = LIMIT
) -> Iterator[Record]:
    """Yield the items of the one JSON array that a text holds.

    Args:
        stream: The text, opened with `newline=""`.
        name: The file's name, for errors.
        chunk: Characters read at a time.
        limit: Characters that one item may have.

    Raises:
        DataError: The text is not one whole JSON array.
    """
    window = _Window(stream, name, chunk)
    window.peek()
    window.at += 1
    rows = 0
    mark = window.peek()
    while mark != "]":
        if not mark:
            raise DataError(
                f"{name} ends after row {rows} without the closing ]; the file looks cut off - "
                "fetch it again"
            )
        line = window.line()
        where = f"row {rows + 1} (line {line})"
        yield Record(_value(window, where, rows, limit), where)
        rows += 1
        mark = window.peek()
        if mark == ",":
            window.at += 1
            mark = window.peek()
            if mark == "]":
                window.refuse(window.at, "a comma and then no value")
        elif mark and mark != "]":
            window.refuse(window.at, "expecting ',' or ']' after a row")
    window.at += 1
    if window.peek():
        window.refuse(window.at, "more text after the end of the array")


def json_values(
    stream: TextIO, name: str, *, chunk: int = CHUNK, limit: int = LIMIT
) -> Iterator[Record]:
    """Yield JSON values that follow each other with or without white space between them.

    Args:
        stream: The text, opened with `newline=""`.
        name: The file's name, for errors.
        chunk: Characters read at a time.
        limit: Characters that one value may have.

    Raises:
        DataError: A value is broken, cut or too long.
    """
    window = _Window(stream, name, chunk)
    rows = 0
    while mark := window.peek():
        if rows and mark in ",]":
            window.refuse(window.at, f"{mark!r} after a row, but no '[' before the first row")
        line = window.line()
        yield Record(_value(window, f"row {rows + 1} (line {line})", rows, limit), f"line {line}")
        rows += 1


def json_lines(stream: TextIO, name: str, *, limit: int = LIMIT) -> Iterator[Record]:
    r"""Yield the JSON value of every line that is not blank.

    Args:
        stream: The text, opened with `newline="\n"`: other line ends may stand in a value.
        name: The file's name, for errors.
        limit: Characters that one line may have.

    Raises:
        DataError: A line is broken, cut or too long.
    """
    number = rows = 0
    while line := stream.readline(limit + 1):
        number += 1
        if len(line) > limit:
            raise DataError(_too_long(name, f"line {number}", limit))
        text = line.lstrip("\ufeff").rstrip("\r\n")
        if not text or text.isspace():
            continue
        try:
            value = json.loads(text)
            _check_depth(value, text, 0, len(text))
        except json.JSONDecodeError as error:
            if not line.endswith("\n") and _is_cut(error, text):
                raise DataError(_cut(name, f"line {number}", rows)) from None
            raise DataError(
                f"{name}, line {number} column {error.colno}: {error.msg}; "
                "put the JSON right there, or fetch the file again"
            ) from None
        except (ValueError, RecursionError) as error:
            raise DataError(_unreadable(name, f"line {number}", error)) from None
        yield Record(value, f"line {number}")
        rows += 1


def is_whole(line: str) -> bool:
    """Tell whether a text is exactly one JSON value.

    Args:
        line: Any text.
    """
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


_decode = json.JSONDecoder().raw_decode


def _value(window: _Window, where: str, rows: int, limit: int) -> Any:
    """Read one value, growing the window until the value is whole."""
    while True:
        try:
            value, end = _decode(window.text, window.at)
            _check_depth(value, window.text, window.at, end)
        except json.JSONDecodeError as error:
            by_cut = _is_cut if window.ended else _may_be_cut
            if not by_cut(error, window.text):
                window.refuse(error.pos, error.msg)
            if window.ended:
                raise DataError(_cut(window.name, where, rows)) from None
        except (ValueError, RecursionError) as error:
            raise DataError(_unreadable(window.name, where, error)) from None
        else:
            # A number at the window's end may go on: 1 may be 12, 1.5 or 1e+3.
            whole = isinstance(value, dict | list | str) or len(window.text) - end > NEAR_END
            if whole or window.ended:
                if end - window.at > limit:
                    raise DataError(_too_long(window.name, where, limit))
                window.at = end
                return value
        if len(window.text) - window.at > limit:
            raise DataError(_too_long(window.name, where, limit))
        window.grow()


def _may_be_cut(error: json.JSONDecodeError, text: str) -> bool:
    """Tell whether more text may mend the error; one well before the end stays one."""
    return error.msg.startswith("Unterminated string") or error.pos >= len(text) - NEAR_END


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
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    if level:
        raise RecursionError


def _cut(name: str, where: str, rows: int) -> str:
    return (
        f"{name} ends inside {where}, whole rows before it: {rows}; "
        "the file looks cut off - fetch it again"
    )


def _too_long(name: str, where: str, limit: int) -> str:
    return (
        f"{name}, {where}: one value is longer than {limit:,} characters, the most that is read; "
        "take that row out, or, if one object wraps the whole file, save the list in it alone"
    )


def _unreadable(name: str, where: str, error: Exception) -> str:
    deep = f"lists and objects are nested more than {DEPTH} levels deep"
    reason = deep if isinstance(error, RecursionError) else str(error).split(";")[0]
    return f"{name}, {where}: {reason}; take that row out and read the file again"
