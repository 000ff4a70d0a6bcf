"""Which encoding a file is in, told from its bytes, never from its name."""

from __future__ import annotations

import codecs
import hashlib
import re
import shlex
from pathlib import Path
from typing import NamedTuple

from curate.errors import DataError

CHUNK = 1 << 20
SAMPLE = 200_000  # bytes that the detector looks at, from the first that is no ASCII on
# GB18030 Chinese is well-formed UTF-8 by accident: two-byte characters about one time in ten (so
# they count 1, and once: 女 may fill a column), longer ones one time in a thousand (so they count
# 3). Ten before the first fault mean that the file is UTF-8 and the fault is damage.
SURELY_UTF8 = 10
# A file that is sound up to its last, cut character needs fewer: no fault came before the end.
SURELY_UTF8_CUT = 3
# What the detector may choose from; without Western encodings, with which a mostly English file
# of GB18030 would be confused. Measured on pieces of real Chinese rows: its wrong answers have a
# confidence of at most 0.22, its right ones about other encodings 0.3 and more from a line on.
_ASIAN = ("ascii", "gb18030", "big5hkscs", "cp932", "euc_jis_2004", "cp949")
_SURE = 0.25
# Fewer different characters tell nothing, and a Chinese file that is not UTF-8 is GB18030.
_FEW = 25
# Western one-byte text can be well-formed GB18030, but its accents stand alone between letters.
_ACCENT = re.compile(rb"(?<=[A-Za-z])[\x80-\xff](?=[A-Za-z])")
_ACCENTS = 3
_HIGH = re.compile(rb"[\x80-\xff]")
_LONG = re.compile("[\u0800-\U0010ffff]")
_NO_ASCII = re.compile("[^\x00-\x7f]")
_TWO_BYTES = re.compile("[\x80-\u07ff]")
BINARY = "binary"  # in place of an encoding: parquet and arrow
# In place of an encoding, too: what curate.data.packed unpacks, spreadsheets among it.
PACKED = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",  # an empty one
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xd0\xcf\x11\xe0": "an old Office document",
}
_COLUMNAR = (b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")
_UNPACK = "is packed ({}); unpack it and give what is in it"
_EXPORT = "is {}, no data file; save what it holds as CSV, JSON or text and give that"
_NOT_TEXT = {
    b"Rar!": _UNPACK.format("rar"),
    b"7z\xbc\xaf\x27\x1c": _UNPACK.format("7z"),
    b"%PDF": _EXPORT.format("a PDF"),
    b"\xff\xfe\0\0": _EXPORT.format("UTF-32 text"),
}
_WIDE = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Sniffed(NamedTuple):
    """What a file's bytes tell: `encoding` is Python's name, or BINARY."""

    sha256: str
    encoding: str
    size: int


def sniff(path: Path) -> Sniffed:
    """Hash a file and find its encoding; memory does not depend on its size."""
    with path.open("rb") as stream:
        head = stream.read(512)
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        size = stream.tell()
    return Sniffed(sha256, _encoding(path, head), size)


def _encoding(path: Path, head: bytes) -> str:
    if head.startswith(_COLUMNAR):
        return BINARY
    for magic, problem in _NOT_TEXT.items():
        if head.startswith(magic):
            raise DataError(f"{path.name} {problem}")
    if packed := [kind for magic, kind in PACKED.items() if head.startswith(magic)]:
        return packed[0]
    if head[257:262] == b"ustar":
        raise DataError(
            f"{path.name} is a tar archive of several files; unpack it (tar -xf) and give the "
            "folder, or the files of rows in it"
        )
    wide = _WIDE.get(head[:2])
    if b"\0" in head[:4] and not wide:
        raise DataError(
            f"{path.name} begins with zero bytes: it is no text, or UTF-16 without its mark; "
            f"convert it with {_iconv('UTF-16LE', path)}"
        )
    mark = head.startswith(codecs.BOM_UTF8)
    fault = _first_fault(path, wide or "utf-8")
    if not fault:
        return "utf-16" if wide else "utf-8-sig" if mark else "utf-8"
    if wide or mark or fault.before >= (SURELY_UTF8_CUT if fault.at_end else SURELY_UTF8):
        raise DataError(
            f"{path.name} is {'UTF-16' if wide else 'UTF-8'} up to {fault}, then no longer: the "
            "file is damaged, cut, or two files put together; fetch it again"
        )
    return _detected(path, fault)


class _Fault(NamedTuple):
    """The first byte that does not fit an encoding; `before` it, how much spoke for UTF-8."""

    offset: int
    line: int
    byte: int
    at_end: bool
    before: int

    def __str__(self) -> str:
        return f"byte 0x{self.byte:02x} at offset {self.offset} (line {self.line})"


def _first_fault(path: Path, codec: str) -> _Fault | None:
    """Decode a whole file; None if it is well-formed."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    fed, line, longer = 0, 1, 0
    two_bytes: set[str] = set()
    with path.open("rb") as stream:
        while True:
            chunk = stream.read(CHUNK)
            begun = fed - len(decoder.getstate()[0])
            fed += len(chunk)
            fault = None
            try:
                text = decoder.decode(chunk, not chunk)
            except UnicodeDecodeError as error:
                fault, text = error, error.object[: error.start].decode(codec)
            line += text.count("\n")
            if len(two_bytes) + 3 * longer < SURELY_UTF8 and not text.isascii():
                two_bytes.update(_TWO_BYTES.findall(text))
                longer += len(_LONG.findall(text))
            if fault:
                byte, before = fault.object[fault.start], len(two_bytes) + 3 * longer
                return _Fault(begun + fault.start, line, byte, not chunk, before)
            if not chunk:
                return None


def _detected(path: Path, utf8_fault: _Fault) -> str:
    """Return which encoding of East Asia a file that is not UTF-8 is in."""
    import chardet

    sample = _sample(path)
    asian = chardet.detect(
        sample, include_encodings=_ASIAN, no_match_encoding="ascii", compat_names=False
    )
    likely = chardet.detect(sample, compat_names=False)
    encoding = asian["encoding"] or "gb18030"
    trusted = asian["confidence"] >= _SURE or encoding == likely["encoding"]
    few = len(set(_NO_ASCII.findall(sample.decode("gb18030", "ignore")))) < _FEW
    if few or not trusted:
        encoding = "gb18030"
    accents = len(_ACCENT.findall(sample))
    western = accents >= _ACCENTS and accents == len(_HIGH.findall(sample))
    fault = _first_fault(path, encoding)
    if not fault and not western and (few or trusted):
        return encoding
    place = fault if fault and fault.offset > utf8_fault.offset else utf8_fault
    other = likely["encoding"] if likely["confidence"] >= _SURE else None
    raise DataError(
        f"{path.name} is neither UTF-8 nor {encoding.upper()}: {place}; convert it with "
        + _iconv("CP1252" if western else other or "ENCODING", path)
    )


def _sample(path: Path) -> bytes:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            if high := _HIGH.search(chunk):
                return (chunk[max(high.start() - 1, 0) :] + stream.read(SAMPLE))[:SAMPLE]
    return b""


def _iconv(encoding: str, path: Path) -> str:
    new = shlex.quote("new-" + path.name)
    return f"`iconv -f {encoding} -t UTF-8 {shlex.quote(path.name)} > {new}`"
