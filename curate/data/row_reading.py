"""One value of a file as a row: by its file's layout, or by its own and then written alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from curate.data.canonical import canonical_row, parse, read_verdict
from curate.data.formats import Format, best_fits
from curate.data.json_values import Record
from curate.data.row_keys import holds_text, unpacked, unused_keys
from curate.data.schema import STRUCTURAL, Converted, Parsed, Shape
from curate.data.tables import SURPLUS

# Keys that are told of a row that has others than its file.
_KEYS = 6


@dataclass(frozen=True)
class Layout:
    """How the rows of a file are read: its format and shape, and what its verdicts are."""

    form: Format
    shape: Shape
    verdict_type: type | None = None
    # Of rows of other layouts: what was told of earlier ones with such keys.
    others: dict[tuple[str, ...], list[tuple[Format, Shape]]] = field(default_factory=dict)


def verdict_type_of(head: list[Record], shape: Shape) -> type | None:
    """Return the type of most verdicts of a file; others are no verdict there."""
    key = shape.columns.get("kto_tag", "")
    values = [record.value.get(key) for record in head if isinstance(record.value, dict)]
    types = Counter(type(value) for value in values if value is not None and key)
    return types.most_common(1)[0][0] if types else None


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
    columns = layout.shape.columns.values()
    if not texts or {*texts} & {*columns} or not _missing(converted.row, layout.shape, (None,)):
        return converted, parsed
    said = f"rows with other keys: {', '.join(texts[:_KEYS])}"
    return Converted(value, (said,)), Parsed(flaw="other_keys")


def _parsed(converted: Converted, shape: Shape) -> Parsed:
    if converted.flaw in STRUCTURAL:
        return Parsed(flaw=converted.flaw)
    parsed = parse(converted.row, shape)
    return replace(parsed, flaw=parsed.flaw or converted.flaw) if converted.flaw else parsed


def _converted(value: Any, layout: Layout) -> Converted:
    row, unpacking = unpacked(layout.form.keyed(value))
    if not isinstance(row, dict):
        return Converted(row, flaw="not_an_object")
    if isinstance(row.get(SURPLUS), list):
        return Converted(row, flaw="wrong_field_count")
    converted = layout.form.convert(row, layout.shape)
    key = layout.shape.columns.get("kto_tag", "")
    if key and not isinstance(verdict := converted.row.get(key), bool):
        read = read_verdict(verdict) if type(verdict) is layout.verdict_type else None
        if read is not None:
            row, said = converted.row | {key: read}, f"'{key}' written as true or false"
            converted = replace(converted, row=row, changes=(*converted.changes, said))
    return replace(converted, changes=(*unpacking, *converted.changes)) if unpacking else converted


def _missing(row: Any, shape: Shape, nothing: tuple[Any, ...]) -> bool:
    """Tell whether a row lacks what rows of a shape have to have."""
    needed = ("messages", "prompt", "response", "chosen")
    return any(row.get(shape.columns[name]) in nothing for name in needed if name in shape.columns)


def _by_own_layout(value: Any, layout: Layout) -> tuple[Converted, Parsed] | None:
    """Return a row of another layout written in the file's shape, None if it has no such place."""
    shape = layout.shape
    row, _ = unpacked(value)
    same = layout.form.detect([row]) if isinstance(row, dict) else None
    if same and same.tags == shape.tags and {*same.columns.values()} <= {*shape.columns.values()}:
        return None  # a row of this layout, with a flaw of its own
    if isinstance(row, dict):
        row = {key: inner for key, inner in row.items() if inner not in (None, "", [], {})}
    items = sorted(row.items()) if isinstance(row, dict) else ()
    keys = tuple(f"{key} {type(inner).__name__}" for key, inner in items)
    if keys not in layout.others:
        layout.others[keys] = best_fits([row])
    for form, own in layout.others[keys][:1]:
        own_layout = Layout(form, own, verdict_type_of([Record(row, "")], own))
        converted = _converted(row, own_layout)
        parsed = _parsed(converted, own)
        if parsed.flaw or own.kind != shape.kind:
            continue
        try:
            written = canonical_row(parsed, converted.row, shape, own)
        except ValueError:
            continue
        written = {key: part for key, part in written.items() if part not in ("", None, [])}
        again = parse(written, shape)
        if again.turns == parsed.turns and not again.flaw:
            unused = unused_keys(converted.row, own.columns.values(), parsed)
            said = f"rows of another layout ({form.name}) written like the others"
            return Converted(written, (said,), unused=(*converted.unused, *unused)), again
    return None
