"""One value of a file as a row: by its file's layout, or by its own and then written alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from curate.data.canonical import canonical_row, parse, read_verdict
from curate.data.formats import best_fits
from curate.data.layout import Layout, verdict_type_of, with_lists
from curate.data.row_keys import holds_text, unused_keys
from curate.data.schema import MEDIA, STRUCTURAL, Converted, Parsed, Shape
from curate.data.tables import SURPLUS

# Keys that are told of a row that has others than its file.
_KEYS = 6


def read_row(value: Any, layout: Layout) -> tuple[Converted, Parsed]:
    """Return a row as it is kept, and what it says."""
    converted = _converted(value, layout)
    parsed = _parsed(converted, layout.shape)
    if not parsed.flaw or parsed.flaw == "wrong_field_count":
        return converted, parsed
    if parsed.flaw != "unknown_role" and isinstance(value, dict):
        if not _missing(value, layout.shape, (None, "", [])):
            return converted, parsed
    elif not isinstance(value, dict | list):
        return converted, parsed
    if own := _by_own_layout(value, layout):
        return own
    if parsed.flaw == "unknown_role":
        return converted, parsed
    texts = [k for k, v in value.items() if holds_text(v)] if isinstance(value, dict) else []
    if not texts or {*texts} & layout.used or not _missing(converted.row, layout.shape, (None,)):
        return converted, parsed
    said = f"rows with other keys: {', '.join(texts[:_KEYS])}"
    return Converted(value, (said,)), Parsed(flaw="other_keys")


def _parsed(converted: Converted, shape: Shape) -> Parsed:
    if converted.flaw in STRUCTURAL:
        return Parsed(flaw=converted.flaw)
    parsed = parse(converted.row, shape)
    return replace(parsed, flaw=parsed.flaw or converted.flaw) if converted.flaw else parsed


def _converted(value: Any, layout: Layout) -> Converted:
    row, unpacking = with_lists(layout.form.keyed(value), layout.lists)
    if not isinstance(row, dict):
        return Converted(row, flaw="not_an_object")
    if isinstance(row.get(SURPLUS), list):
        return Converted(row, flaw="wrong_field_count")
    converted = layout.form.convert(row, layout.shape)
    key = layout.shape.columns.get("kto_tag", "")
    if key and not isinstance(verdict := converted.row.get(key), bool):
        read = read_verdict(verdict) if type(verdict) is layout.verdict_type else None
        if read is not None:
            changes = (*converted.changes, f"'{key}' written as true or false")
            converted = converted._replace(row=converted.row | {key: read}, changes=changes)
    if files := _paths(converted.row, layout.shape):
        changes = (*converted.changes, "files named by an object named by their path")
        converted = converted._replace(row=converted.row | files, changes=changes)
    return converted._replace(changes=(*unpacking, *converted.changes)) if unpacking else converted


def _paths(row: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """Return lists of pictures in which an object stood for a path: a column has one type."""
    keys = [key for column in MEDIA if (key := shape.columns.get(column)) and row.get(key)]
    return {
        key: [item["path"] if _is_path(item) else item for item in row[key]]
        for key in keys
        if isinstance(row[key], list) and any(map(_is_path, row[key]))
    }


def _is_path(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("path"), str) and not item.get("bytes")


def _missing(row: Any, shape: Shape, nothing: tuple[Any, ...]) -> bool:
    """Tell whether a row lacks what rows of a shape have to have."""
    needed = ("messages", "prompt", "response", "chosen")
    return any(row.get(shape.columns[name]) in nothing for name in needed if name in shape.columns)


def _by_own_layout(value: Any, layout: Layout) -> tuple[Converted, Parsed] | None:
    """Return a row of another layout written in the file's shape, None if it has no such place."""
    shape = layout.shape
    row, _ = with_lists(value, layout.lists)
    same = layout.form.detect([row]) if isinstance(row, dict) else None
    if same and same.tags == shape.tags and {*same.columns.values()} <= layout.used:
        return None  # a row of this layout, with a flaw of its own
    if isinstance(row, dict):
        row = {key: inner for key, inner in row.items() if inner not in (None, "", [], {})}
    items = sorted(row.items()) if isinstance(row, dict) else ()
    keys = tuple(f"{key} {type(inner).__name__}" for key, inner in items)
    if keys not in layout.others:
        layout.others[keys] = best_fits([row])
    if not layout.others[keys]:
        return None
    form, own = layout.others[keys][0]
    converted = _converted(row, Layout(form, own, verdict_type_of([row], own)))
    parsed = _parsed(converted, own)
    if parsed.flaw or own.kind != shape.kind:
        return None
    try:
        written = canonical_row(parsed, converted.row, shape, own)
    except ValueError:
        return None
    written = {key: part for key, part in written.items() if part not in ("", None, [])}
    again = parse(written, shape)
    if again.turns != parsed.turns or again.flaw:
        return None
    unused = unused_keys(converted.row, own.columns.values(), parsed)
    said = f"rows of another layout ({form.name}) written like the others"
    return Converted(written, (said,), unused=(*converted.unused, *unused)), again
