"""JSON values out of a text stream of any length, through a buffer that slides forward."""

from __future__ import annotations

import ast
import datetime
import decimal
import json
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn, TextIO

from curate.errors import DataError

CHUNK = 1 << 20
LIMIT = 64 << 20  # characters that one row may have
# The longest beginning of a literal that can be cut: "-Infinity", and room for an escape.
NEAR_END = 16
_FIRST_TRY = 1 << 12  # characters in which a value with comments is looked for, then twice as many
# Levels of lists and objects in one row. What is deeper than Python's own stack allows fails in
# some callers and not in others, so the limit is one that holds for all.
DEPTH = 100
_BREAKS = 1000  # raw line breaks that a text of one row may have
_NOTHING = object()
LONGEST_KEY = 40  # of a key that is named
# A byte order mark stands between rows where files were put together, RFC 7464's separator before
# each; a fence is Markdown's.
_BETWEEN = re.compile(r"(?:[ \t\n\r\ufeff\x1e]+|(?://|#)[^\n]*\n|/\*(?s:.*?)\*/|```[^\n]*\n)*")
_OPENED = ("/", "`", "#")  # what such a part begins with
_SPACES = " \t\n\r\ufeff\x1e/`#"
# No JSON, and no content: comments, and a comma after the last item. Texts are passed over whole.
_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*+"?|(?://|#)[^\n]*|/\*(?:.*?\*/|.*\Z)', re.DOTALL)
_SPARE_COMMA = re.compile(r'"(?:[^"\\]|\\.)*+"?|,(?=\s*[}\]])', re.DOTALL)
_NOT_A_BREAK = re.compile(r"[^\n]")
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_CUT_PART = re.compile(r"\s*|\.|[eE][+-]?|u[0-9a-fA-F]{0,3}")
_BROKEN = "{}, line {} column {}: {}; put the JSON right there, or fetch the file again"
_CUT = "{} ends inside {}, whole rows before it: {}; the file looks cut off - fetch it again"
_LONG = (
    "{}: one value is longer than {:,} characters, the most that is read; "
    "take that row out, or, if one object wraps the whole file, save the list in it alone"
)


class Record(NamedTuple):
    """One value of a file, its place for people ("line 12"), and what was done to read it."""

    value: Any
    where: str
    changes: tuple[str, ...] = ()


class _Decoder:
    """JSON with raw line breaks in texts, and NaN for nothing; keys that stand twice are noted."""

    def __init__(self) -> None:
        self.repeated: dict[str, None] = {}
        decoder = json.JSONDecoder(
            strict=False,
            object_pairs_hook=self._object,
            parse_constant=lambda word: None if word == "NaN" else float(word),
        )
        self.decode, self.raw_decode = decoder.decode, decoder.raw_decode
        self.scan = decoder.scan_once  # type: ignore[attr-defined] # raw_decode, for less

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if len(row) < len(pairs):
            keys = [key for key, _ in pairs]
            self.repeated.update((key, None) for key in row if keys.count(key) > 1)
        return row

    def record(self, value: Any, where: str) -> Record:
        if not self.repeated:
            return tuple.__new__(Record, (value, where, ()))  # sooner than the class itself
        keys = [
            key if len(key) <= LONGEST_KEY else f"{key[:LONGEST_KEY]}…" for key in self.repeated
        ]
        self.repeated.clear()
        return Record(
            value, where, tuple(f"the key {key!r} twice, the last is read" for key in keys)
        )


def without_comments(text: str) -> str:
    """Return a text of JSON with spaces for comments and for commas after the last item."""

    def blank(part: re.Match[str]) -> str:
        return part[0] if part[0][0] == '"' else _NOT_A_BREAK.sub(" ", part[0])

    return _SPARE_COMMA.sub(blank, _COMMENT.sub(blank, text))


def is_json(text: str) -> bool:
    """Tell whether a text is exactly one JSON value, with or without comments."""
    try:
        json.loads(without_comments(text))
    except (ValueError, RecursionError):
        return False
    return True


def json_array(
    stream: TextIO, name: str, *, chunk: int = CHUNK, limit: int = LIMIT, line: int = 1
) -> Iterator[Record]:
    """Yield the items of the one JSON array that a text, opened with newline="", holds."""
    window = _Window(stream, name, chunk, limit)
    window.line = line
    window.peek()
    mark = window.peek(skip=1)
    while mark != "]":
        if not mark:
            raise DataError(
                f"{name} ends after row {window.rows} without the closing ]; the file looks cut "
                "off - fetch it again"
            )
        line = window.place(window.at)[0]
        where = window.row(line)
        yield window.json.record(window.value(line), where)
        mark = window.peek()
        if mark == ",":
            mark = window.peek(skip=1)
        elif mark and mark != "]":
            window.refuse("expecting ',' or ']' after a row")
    if window.peek(skip=1):
        window.refuse(
            "more text after the end of the array; one array holds all rows, or every list stands "
            "on a line of its own"
        )


def json_values(
    stream: TextIO, name: str, *, chunk: int = CHUNK, limit: int = LIMIT
) -> Iterator[Record]:
    """Yield JSON values that follow each other with or without white space between them."""
    window = _Window(stream, name, chunk, limit)
    while mark := window.peek():
        if window.rows and mark in ",]":
            window.refuse(f"{mark!r} after a row, but no '[' before the first row")
        line = window.place(window.at)[0]
        yield window.json.record(window.value(line), f"line {line}")


def json_lines(stream: TextIO, name: str, *, limit: int = LIMIT, line: int = 1) -> Iterator[Record]:
    r"""Yield the value of every line that is not blank; newline="\n": values may hold others."""
    number, rows = line - 1, 0
    decoder = _Decoder()
    while whole := stream.readline(limit + 1):
        number += 1
        if len(whole) > limit:
            raise DataError(_LONG.format(f"{name}, line {number}", limit))
        text = whole.rstrip("\r\n")
        if text[:1] != "{":
            text = text.lstrip("\ufeff\x1e")
            if not text or text.isspace() or text.startswith("```"):
                continue
        first, begun = None, number
        while True:
            try:
                value = _value(decoder, text)
                _check_depth(value, text, 0, len(text))
                break
            except json.JSONDecodeError as error:
                first = first or error
                # A text may go on behind a raw line break; LLaMA-Factory's reader takes it, too.
                open_text = error.msg.startswith("Unterminated string") and len(text) < limit
                more = stream.readline(limit + 1) if open_text and number - begun < _BREAKS else ""
                if not more:
                    if not whole.endswith("\n") and _is_cut(error, text):
                        raise DataError(_CUT.format(name, f"line {number}", rows)) from None
                    place = (name, begun, first.colno, first.msg)
                    raise DataError(_BROKEN.format(*place)) from None
                whole, number = more, number + 1
                text += "\n" + more.rstrip("\r\n")
            except (ValueError, RecursionError) as error:
                raise _unreadable(f"{name}, line {begun}", error) from None
        if value is _NOTHING:
            continue
        yield decoder.record(value, f"line {begun}")
        rows += 1


def _value(decoder: _Decoder, text: str) -> Any:
    """Return the value of a line, or that there is none but a comment."""
    try:
        value, end = decoder.scan(text, 0)
        if end == len(text):  # most lines are a value and nothing else
            return value
    except (StopIteration, json.JSONDecodeError):
        pass
    try:
        return decoder.decode(text)
    except json.JSONDecodeError:
        bare = without_comments(text)
        if bare == text:
            raise
        return _NOTHING if bare.isspace() else decoder.decode(bare)


class _Window:
    """The part of the text that is in memory; `at` is the next character to be read."""

    def __init__(self, stream: TextIO, name: str, chunk: int, limit: int) -> None:
        self.stream, self.name, self.chunk, self.limit = stream, name, chunk, limit
        self.text, self.at, self.ended, self.rows = "", 0, False, 0
        self.line, self.column, self.counted = 1, 1, 0  # line and column of text[counted]
        self.json = _Decoder()

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
        """Go past a bracket or comma, white space, comments; return what follows, '' at the end."""
        self.at += skip
        mark = self.text[self.at : self.at + 1]
        if mark and mark not in _SPACES:
            return mark
        while True:
            between = _BETWEEN.match(self.text, self.at)
            self.at = between.end() if between else self.at
            mark = self.text[self.at : self.at + 1]
            if self.ended and self.text.startswith(("//", "#", "```"), self.at):
                self.at = len(self.text)
            elif self.ended or (mark and mark not in _OPENED):
                return mark
            else:
                self.grow()

    def decoded(self) -> tuple[Any, int]:
        """Return the next value and its end; where it is no JSON, without what is no content."""
        try:
            return self.json.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            if self.may_go_on(error):
                raise
            problem, size = error, _FIRST_TRY
        while True:
            part = self.text[self.at : self.at + size]
            bare = without_comments(part)
            try:
                value, end = self.json.raw_decode(bare)
                return value, self.at + end
            except json.JSONDecodeError as error:
                if size >= len(self.text) - self.at:
                    if bare == part:
                        raise problem from None
                    raise json.JSONDecodeError(error.msg, self.text, self.at + error.pos) from None
            size *= 2

    def may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Tell whether more text may mend an error: near the end, not well before it."""
        unfinished = error.msg.startswith("Unterminated string")
        return not self.ended and (unfinished or error.pos >= len(self.text) - NEAR_END)

    def row(self, line: int) -> str:
        return f"row {self.rows + 1} (line {line})"

    def value(self, line: int) -> Any:
        while True:
            end = self.at
            try:
                value, end = self.decoded()
                _check_depth(value, self.text, self.at, end)
            except json.JSONDecodeError as error:
                if not (_is_cut(error, self.text) if self.ended else self.may_go_on(error)):
                    self.refuse(error.msg, error.pos)
                if self.ended:
                    raise DataError(_CUT.format(self.name, self.row(line), self.rows)) from None
            except (ValueError, RecursionError) as error:
                raise _unreadable(f"{self.name}, {self.row(line)}", error) from None
            # A number at the window's end may go on: 1 may be 12, 1.5 or 1e+3.
            sure = end > self.at and (
                self.ended
                or isinstance(value, dict | list | str)
                or len(self.text) - end > NEAR_END
            )
            if (end if sure else len(self.text)) - self.at > self.limit:
                raise DataError(_LONG.format(f"{self.name}, {self.row(line)}", self.limit))
            if sure:
                self.at = end
                self.rows += 1
                return value
            self.grow()

    def refuse(self, reason: str, at: int | None = None) -> NoReturn:
        line, column = self.place(self.at if at is None else at)
        raise DataError(_BROKEN.format(self.name, line, column, reason))


def _is_cut(error: json.JSONDecodeError, text: str) -> bool:
    rest = text[error.pos :]
    begun = any(word.startswith(rest) for word in _LITERALS) or _CUT_PART.fullmatch(rest)
    return error.msg.startswith("Unterminated string") or bool(begun)


def _check_depth(value: Any, text: str, start: int, end: int) -> None:
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


def read_text(text: Any, *, python: bool = False) -> Any:
    """Return what a text is in JSON, perhaps as Python writes it; anything else as it is."""
    for load in (json.loads, ast.literal_eval)[: 1 + python] if isinstance(text, str) else ():
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return load(text)
    return text


def without_nulls(value: Any) -> Any:
    """Return a value without keys of nothing, as Arrow gives them to every struct of a column."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """Return a value with everything in it that JSON has no word for put into one that it has."""
    if isinstance(value, float):
        return None if math.isnan(value) else value  # as in a file of JSON
    if isinstance(value, str | bool | int):
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
