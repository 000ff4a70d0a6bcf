"""Spreadsheets as JSON Lines: what a person reads in a sheet, a row on the line of its number."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curate.data.json_values import plain
from curate.data.tables import SURPLUS
from curate.errors import DataError, UsageError, did_you_mean

_SHOWN = 8  # names in a list


def listed(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def write_sheet(path: Path, part: str, target: Path) -> list[str]:
    """Write the rows of a sheet, '' for the first, to a file; return the sheets left aside."""
    import python_calamine

    try:
        workbook = python_calamine.CalamineWorkbook.from_path(path)
        names = workbook.sheet_names
        if part and part not in names:
            hint = did_you_mean(part, names)
            raise UsageError(f"{path.name} has no sheet {part!r}.{hint} It has {listed(names)}")
        if not names:
            raise DataError(f"{path.name} has no sheet with cells; give another file")
        table = workbook.get_sheet_by_name(part or names[0]).to_python(skip_empty_area=False)
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise DataError(
            f"{path.name} cannot be read as a spreadsheet ({reason}); save it as .xlsx or CSV and "
            "give that"
        ) from None
    header: list[str] = []
    with target.open("w", encoding="utf-8") as out:
        for cells in table:
            texts = [_cell(cell) for cell in cells]
            if header and any(texts):
                out.write(json.dumps(_row(header, texts), ensure_ascii=False))
            elif any(texts):
                header = _header(texts, path.name)
            out.write("\n")
    return [] if part else list(names[1:])


def _row(header: list[str], texts: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(header, texts, strict=False))
    surplus = [text for text in texts[len(header) :] if text]
    if surplus or header.count("") > 1:  # one column without a name is pandas' index
        unnamed = [text for name, text in zip(header, texts, strict=False) if text and not name]
        row.pop("", None)
        row |= {SURPLUS: [*unnamed, *surplus]} if unnamed or surplus else {}
    return row


def _header(texts: list[str], name: str) -> list[str]:
    while not texts[-1]:
        texts.pop()
    columns = [text.strip() for text in texts]
    for column in columns:
        if column and columns.count(column) > 1:
            raise DataError(
                f"{name}: its first row names the column {column!r} twice; rename one of them, "
                "or, if that row is data already, put a row with the columns' names above it"
            )
    return columns


def _cell(cell: Any) -> str:
    """Return a cell as text, as a person reads it: 3, not 3.0, and a day without a time."""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, datetime.datetime):
        return cell.date().isoformat() if cell.time() == datetime.time() else cell.isoformat(" ")
    return str(plain(cell))
