"""Rows with verdicts, which hold bad responses beside good ones: refused, or parted."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa

from curate.data.canonical import verdict_of
from curate.data.rows import CHUNK, Rows
from curate.errors import UsageError

SFT, KTO = "sft", "kto"
BAD, NONE = "bad_verdict", "no_verdict"


def judged(rows: Rows, what: str, good_only: bool, stage: str = SFT) -> Rows:
    """Return the rows that a recipe may choose among; the others have a flaw that says why."""
    column = rows.shape.columns.get("kto_tag")
    if column is None:
        if good_only or stage == KTO:
            option = "--good-only" if good_only else "--stage kto"
            raise UsageError(f"{option}: these rows have no verdicts (kto_tag); leave it out")
        return rows
    if not good_only and stage != KTO:
        raise UsageError(
            f"these rows have verdicts on their responses ('{column}': true or false), the bad "
            f"ones among them; {what} chooses what to imitate. Give --good-only, which leaves the "
            "bad ones out; `curate select --stage kto` chooses among both"
        )
    columns = dict(rows.shape.columns)
    if stage != KTO:
        del columns["kto_tag"]
    starts = range(0, len(rows), CHUNK)
    parts = [_part(rows, start, "" if stage == KTO else column) for start in starts]
    table = pa.concat_tables(parts) if parts else rows.table
    return replace(rows, shape=replace(rows.shape, columns=columns), table=table)


def _part(rows: Rows, start: int, gone: str) -> pa.Table:
    """Return some lines of the table with the flaws; `gone` is the column that is left out."""
    table = rows.table.slice(start, CHUNK)
    raw, flaws = table.column("raw").to_pylist(), table.column("flaw").to_pylist()
    for place, flaw in enumerate(flaws):
        value = json.loads(raw[place])
        if flaw or not isinstance(value, dict):
            continue
        verdict = verdict_of(value, rows.shape)
        if gone:
            value.pop(gone, None)
            raw[place] = json.dumps(value, ensure_ascii=False)
        flaws[place] = NONE if verdict is None else BAD if gone and not verdict else ""
    for name, values in (("raw", raw), ("flaw", flaws)):
        index = table.schema.get_field_index(name)
        field = table.schema.field(index)
        table = table.set_column(index, field, pa.array(values, field.type))
    return table
