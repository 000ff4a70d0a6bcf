"""Which encoding a file is in, found in one pass over its bytes, never from its name."""

from __future__ import annotations

import codecs
import hashlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from curate.data.chinese import may_be_chinese
from curate.errors import DataError

Encoding = Literal["utf-8", "utf-8-sig", "gb18030", "utf-16", "binary"]

CHUNK = 1 << 20
SAMPLE = 1 << 12  # characters that are looked at for whether they can be Chinese
# GB18030 Chinese is well-formed UTF-8 by accident: two-byte characters about one time in ten (so
# they count 1, and once: 女 may fill a column), longer ones one time in a thousand (so they count
# 3). Ten before the first fault mean that the file is UTF-8 and the fault is damage.
SURELY_UTF8 = 10
# A file that is sound up to its last, cut character needs fewer: no fault came before the end.
SURELY_UTF8_CUT = 3
# Western one-byte text can be well-formed GB18030, but its accents stand alone between letters.
SURELY_WESTERN = 3
COLUMNAR = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")
_UNPACK = "is packed ({}); unpack it and give what is in it"
_EXPORT = "is {}, no data file; save what it holds as CSV, JSON or text and give that"
NOT_TEXT = {
    b"PK\x03\x04": _UNPACK.format("zip, or a spreadsheet: save that as CSV"),
    b"\x1f\x8b": _UNPACK.format("gzip"),
    b"BZh": _UNPACK.format("bzip2"),
    b"\xfd7zXZ": _UNPACK.format("xz"),
    b"7z\xbc\xaf\x27\x1c": _UNPACK.format("7z"),
    b"\x28\xb5\x2f\xfd": _UNPACK.format("zstd"),
    b"\xd0\xcf\x11\xe0": _EXPORT.format("an old Office document"),
    b"%PDF": _EXPORT.format("a PDF"),
    b"\xff\xfe\0\0": _EXPORT.format("UTF-32 text"),
}
_BOMS_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HIGH = re.compile(rb"[\x80-\xff]")
_ACCENT = re.compile(rb"(?<=[A-Za-z])[\x80-\xff](?=[A-Za-z])")
_LONG = re.compile("[\u0800-\U0010ffff]")


@dataclass(frozen=True)
class Sniffed:
    """What one pass over a file's bytes tells.

    Attributes:
        sha256: Of the bytes, in hex.
        encoding: Python's name of it; `binary` for parquet and arrow files.
        size: In bytes.
    """

    sha256: str
    encoding: Encoding
    size: int


def sniff(path: Path) -> Sniffed:
    """Hash a file and find its encoding; memory does not depend on its size.

    Args:
        path: A regular file.

    Raises:
        DataError: The text is damaged, or is in none of the encodings that are read.

    Example:
        >>> sniff(Path("toyhom.csv")).encoding
        'gb18030'
    """
    digest, size = hashlib.sha256(), 0
    tell: _Text | None = None
    with path.open("rb") as stream:
        head = stream.read(max(CHUNK, 8))
        if not head.startswith(COLUMNAR):
            _refuse_no_text(path.name, head)
            tell = _Text(path.name, head)
        for chunk, last in _chunks(head, stream):
            digest.update(chunk)
            size += len(chunk)
            if tell:
                tell.feed(chunk, last)
    return Sniffed(digest.hexdigest(), tell.encoding() if tell else "binary", size)


def _refuse_no_text(name: str, head: bytes) -> None:
    for magic, problem in NOT_TEXT.items():
        if head.startswith(magic):
            raise DataError(f"{name} {problem}")
    if b"\0" in head[:4] and not head.startswith(_BOMS_16):
        raise DataError(
            f"{name} begins with zero bytes: it is no text, or UTF-16 without its mark; "
            f"convert it with {_iconv('UTF-16LE', name)}"
        )


def _iconv(encoding: str, name: str) -> str:
    return f"`iconv -f {encoding} -t UTF-8 {shlex.quote(name)} > {shlex.quote('new-' + name)}`"


def _chunks(head: bytes, stream: codecs._ReadableStream) -> Iterator[tuple[bytes, bool]]:
    """Yield every chunk, and whether it is the last one."""
    chunk = head
    while chunk:
        following = stream.read(CHUNK)
        yield chunk, not following
        chunk = following


@dataclass(frozen=True)
class _Fault:
    """The first byte that does not fit an encoding."""

    offset: int
    line: int
    byte: int
    at_end: bool


@dataclass
class _Trial:
    """One encoding tried on the bytes as they pass by."""

    codec: str
    fault: _Fault | None = None
    fed: int = 0
    lines: int = 1
    seen: set[str] = field(default_factory=set)
    long: int = 0
    sample: str = ""
    decoder: codecs.IncrementalDecoder = field(init=False)

    def __post_init__(self) -> None:
        self.decoder = codecs.getincrementaldecoder(self.codec)("strict")

    def feed(self, chunk: bytes, last: bool) -> None:
        if self.fault:
            return
        pending = len(self.decoder.getstate()[0])
        try:
            text = self.decoder.decode(chunk, last)
        except UnicodeDecodeError as error:
            text = error.object[: error.start].decode(self.codec)
            at_end = last and error.reason.startswith(("unexpected end", "incomplete", "truncated"))
            self.fault = _Fault(
                self.fed - pending + error.start,
                self.lines + text.count("\n"),
                error.object[error.start],
                at_end,
            )
        self.fed += len(chunk)
        self.lines += text.count("\n")
        self.sample += text[: SAMPLE - len(self.sample)]
        if self.evidence() < SURELY_UTF8 and not text.isascii():
            self.seen.update(each for each in set(text) if "\x7f" < each < "\u0800")
            self.long += len(_LONG.findall(text))

    def evidence(self) -> int:
        """Return how much speaks for the encoding, as told at SURELY_UTF8."""
        return len(self.seen) + 3 * self.long


class _Text:
    """UTF-8 first; GB18030 beside it for as long as UTF-8 is not certain."""

    def __init__(self, name: str, head: bytes) -> None:
        self.name = name
        self.bom = head.startswith(codecs.BOM_UTF8)
        self.wide = head.startswith(_BOMS_16)
        order = "le" if head.startswith(codecs.BOM_UTF16_LE) else "be"
        self.first = _Trial(f"utf-16-{order}" if self.wide else "utf-8")
        self.second = _Trial("gb18030")
        self.accents, self.only_accents = 0, True

    def feed(self, chunk: bytes, last: bool) -> None:
        self.first.feed(chunk, last)
        fault = self.first.fault
        enough = SURELY_UTF8_CUT if fault and fault.at_end else SURELY_UTF8
        sure = self.bom or self.wide or self.first.evidence() >= enough
        if fault and sure:
            what = "UTF-16" if self.wide else "UTF-8"
            raise DataError(
                f"{self.name} is {what} up to {_at(fault)}, then no longer: the file is damaged, "
                "cut, or two files put together; fetch it again"
            )
        if not sure:
            self.second.feed(chunk, last)
            if self.only_accents:
                high, accents = len(_HIGH.findall(chunk)), len(_ACCENT.findall(chunk))
                self.accents += accents
                self.only_accents = high == accents

    def encoding(self) -> Encoding:
        if not self.first.fault:
            return "utf-16" if self.wide else "utf-8-sig" if self.bom else "utf-8"
        western = self.only_accents and self.accents >= SURELY_WESTERN
        if not self.second.fault and not western:
            if not may_be_chinese(self.second.sample):
                raise DataError(
                    f"{self.name} is not UTF-8, and read as GB18030 it is no Chinese: it may be "
                    f"Big5, Shift-JIS or EUC-KR; convert it with {_iconv('ENCODING', self.name)}"
                )
            return "gb18030"
        fault = max(self.first.fault, self.second.fault or self.first.fault, key=_offset)
        raise DataError(
            f"{self.name} is neither UTF-8 nor GB18030: {_at(fault)}; convert it with "
            + _iconv("CP1252" if western else "ENCODING", self.name)
        )


def _offset(fault: _Fault) -> int:
    return fault.offset


def _at(fault: _Fault) -> str:
    return f"byte 0x{fault.byte:02x} at offset {fault.offset} (line {fault.line})"
