"""Packed files and spreadsheets as plain files: unpacked into the cache folder, within bounds."""

from __future__ import annotations

import bz2
import datetime
import gzip
import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any, NamedTuple

import pyarrow as pa

from curate.data.encoding import CHUNK, PACKED, Sniffed, sniff
from curate.data.json_values import plain
from curate.data.tables import SURPLUS, TITLE, check_header, is_title
from curate.errors import DataError, UsageError, did_you_mean
from curate.system.cache import scratch_dir

ROWS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".parquet", ".arrow")
# What a file may hold: this, and so many times its own size. Text shrinks to a tenth, rarely more.
_ROOM, _RATIO = 1 << 30, 100
_DAMAGE = (
    *(OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
    *(RuntimeError, NotImplementedError, ValueError, pa.ArrowException),
)


class Unpacked(NamedTuple):
    """A plain file of rows, what was left aside beside it, and its container where it had one."""

    path: Path
    sniffed: Sniffed
    aside: tuple[str, ...] = ()
    container: str = ""


@contextmanager
def unpacked(path: Path, sniffed: Sniffed, part: str = "") -> Iterator[Unpacked]:
    """Give a file as it is, or what is packed in it, which is there as long as this is open."""
    kind = sniffed.encoding
    if part and (kind not in PACKED.values() or kind in ("gzip", "bzip2", "xz", "zstd")):
        raise UsageError(
            f"{path.name}#{part}: only a zip and a spreadsheet have parts; give the file alone"
        )
    if kind not in PACKED.values():
        yield Unpacked(path, sniffed)
        return
    with TemporaryDirectory(dir=scratch_dir()) as folder:
        if kind == "an old Office document" or (kind == "zip" and _is_sheet(path)):
            sheet = Path(folder) / path.name
            aside = tuple(write_sheet(path, part, sheet))
            yield Unpacked(sheet, sniff(sheet), aside, "sheet")
            return
        member, aside = _member(path, part) if kind == "zip" else ("", ())
        inner = Path(folder) / (PurePosixPath(member).name if member else path.name)
        _unpack(path, kind, member, inner)
        inside = sniff(inner)
        if inside.encoding in PACKED.values():
            raise DataError(
                f"{path.name} is packed, and what is in it is packed again ({inside.encoding}); "
                "unpack it once and give what is in it"
            )
        yield Unpacked(inner, inside, aside)


def members(path: Path) -> tuple[list[str], list[str]]:
    """Return the names of the files of rows in a zip, and of all others."""
    try:
        with zipfile.ZipFile(path, metadata_encoding="gb18030") as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
    except _DAMAGE as error:
        raise _damaged(path, "zip", error) from None
    names = [name for name in names if not name.startswith("__MACOSX/")]
    rows = [name for name in names if name.lower().endswith(ROWS)]
    return rows, [name for name in names if name not in rows]


def _member(path: Path, part: str) -> tuple[str, tuple[str, ...]]:
    rows, others = members(path)
    if part:
        if part not in rows + others:
            hint = did_you_mean(part, rows + others)
            raise UsageError(
                f"{path.name} has no file {part!r} in it.{hint} It has {listed(rows or others)}"
            )
        return part, ()
    if len(rows) == 1 or (not rows and len(others) == 1):
        return (rows or others)[0], (listed(others),) if rows and others else ()
    if not rows:
        raise DataError(
            f"{path.name} holds no file of rows ({listed(others) or 'nothing'}); give another file"
        )
    raise DataError(
        f"{path.name} holds {len(rows)} files of rows: {listed(rows)}; say which, for example "
        f"{path.name}#{rows[0]}, or unpack it and give the folder"
    )


def _unpack(path: Path, kind: str, member: str, target: Path) -> None:
    bound, size = _ROOM + _RATIO * path.stat().st_size, 0
    try:
        with target.open("wb") as out, _opened(path, kind, member) as stream:
            while size <= bound and (chunk := stream.read(CHUNK)):
                size += out.write(chunk)
    except _DAMAGE as error:
        raise _damaged(path, kind, error) from None
    if size > bound:
        raise DataError(
            f"{path.name} unpacks to more than {bound:,} bytes, {_RATIO} times its size: "
            "no text does; if it is sound, unpack it and give what is in it"
        )


def _opened(path: Path, kind: str, member: str) -> IO[bytes]:
    if kind == "zip":
        return zipfile.ZipFile(path, metadata_encoding="gb18030").open(member)
    if kind == "zstd":
        stream: IO[bytes] = pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
        return stream
    openers: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
    opened: IO[bytes] = openers[kind](path)
    return opened


def _damaged(path: Path, kind: str, error: Exception) -> DataError:
    if "password" in str(error) or "encrypted" in str(error):
        return DataError(f"{path.name} is locked with a password; unpack it and give what is in it")
    reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
    return DataError(
        f"{path.name} begins like {kind} but cannot be unpacked ({reason}); fetch it again"
    )


def _is_sheet(path: Path) -> bool:
    """Tell whether a zip is a spreadsheet; a document of another kind is refused."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            mime = archive.read("mimetype") if "mimetype" in names else b""
            kind = mime[:99].decode(errors="replace")
            size = sum(info.file_size for info in archive.infolist())
    except _DAMAGE as error:
        raise _damaged(path, "zip", error) from None
    if {"word/document.xml", "ppt/presentation.xml"} & names or (
        "opendocument" in kind and "spreadsheet" not in kind
    ):
        raise DataError(
            f"{path.name} is a document, no data file; save what it holds as CSV, JSON or text"
        )
    is_sheet = "spreadsheet" in kind or bool({"xl/workbook.xml", "xl/workbook.bin"} & names)
    if is_sheet and size > _ROOM:
        raise DataError(
            f"{path.name} unpacks to {size:,} bytes, and {_ROOM:,} are read; save it as CSV"
        )
    return is_sheet


_SHOWN = 8  # names in a list


def listed(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def write_sheet(path: Path, part: str, target: Path) -> list[str]:
    """Write the rows of a sheet, '' for the first with any, to a file; return what is left."""
    import python_calamine

    try:
        workbook = python_calamine.CalamineWorkbook.from_path(path)
        names = workbook.sheet_names
        if part and part not in names:
            hint = did_you_mean(part, names)
            raise UsageError(f"{path.name} has no sheet {part!r}.{hint} It has {listed(names)}")
        if not names:
            raise DataError(f"{path.name} has no sheet with cells; give another file")
        # A first sheet without a row below its names is a cover.
        for name in [part] if part else [*names, names[0]]:
            table = workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
            if sum(any(map(_cell, cells)) for cells in table) > 1:
                break
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise DataError(
            f"{path.name} cannot be read as a spreadsheet ({reason}); save it as .xlsx or CSV and "
            "give that"
        ) from None
    header: list[str] = []
    titled = False
    sheets = [] if part else [other for other in names if other != name]
    others = [f"sheets {listed(sheets)} (as FILE#{sheets[0]})"] if sheets else []
    with target.open("w", encoding="utf-8") as out:
        for at, cells in enumerate(table):
            texts = [_cell(cell) for cell in cells]
            if header and any(texts):
                out.write(json.dumps(_row(header, texts), ensure_ascii=False))
            elif not titled and is_title(texts) and _goes_on(table, at):
                titled = True
                others.append(f"{TITLE} ({texts[0]})")
            elif any(texts):
                while not texts[-1]:
                    texts.pop()
                header = [text.strip() for text in texts]
                check_header(header, path.name, "row")
            out.write("\n")
    return others


def _goes_on(table: list[list[Any]], at: int) -> bool:
    """Tell whether the next row of a sheet that has cells has several, as columns' names are."""
    below = ([cell for cell in map(_cell, cells) if cell] for cells in table[at + 1 :])
    return len(next(filter(None, below), [])) > 1


def _row(header: list[str], texts: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(header, texts, strict=False))
    surplus = [text for text in texts[len(header) :] if text]
    if surplus or header.count("") > 1:  # one column without a name is pandas' index
        unnamed = [text for name, text in zip(header, texts, strict=False) if text and not name]
        row.pop("", None)
        row |= {SURPLUS: [*unnamed, *surplus]} if unnamed or surplus else {}
    return row


def _cell(cell: Any) -> str:
    """Return a cell as text, as a person reads it: 3, not 3.0, and a day without a time."""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, datetime.datetime):
        return cell.date().isoformat() if cell.time() == datetime.time() else cell.isoformat(" ")
    return str(plain(cell))
