"""Rows by what they say: identifiers masked, rows left out by kind, and what was found."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from curate.choices.emitting import emit
from curate.choices.selection import Selection
from curate.console import progress
from curate.content import IDENTIFIERS, KINDS
from curate.content.gate import look
from curate.content.people import recogniser
from curate.data.canonical import parse
from curate.data.rows import CHUNK, Rows
from curate.emission.emit import check_target, default_name
from curate.errors import DataError
from curate.llamafactory.doctor.data_set import DataSet
from curate.llamafactory.doctor.diagnose import SHOWN, Count, finding_of
from curate.llamafactory.doctor.findings import CONTENT, Diagnosis
from curate.parameters.doctor import DoctorParams
from curate.scorers.contract import OK, Scores
from curate.selectors.kept_and_dropped import Choice, labelled

NAME = "content"
_GUESSED = (
    "names are guessed by surnames beside a cue; with the extra pii (pip install "
    "'curatrain[pii]') a model for Chinese names looks, too"
)


@dataclass(frozen=True)
class ContentParams:
    """Kinds that are masked, and kinds whose rows are left out."""

    mask: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


def content(rows: Rows, params: ContentParams) -> Selection:
    """Look at what rows say, mask identifiers, and leave out rows by the kind of what was found.

    A mask is as long as what it covers. The scores file has a column for each kind, how many
    identifiers or whether the flaw is there, and `masked`; ids are those of the rows as they were.

    Reasons: kinds of `drop`, the first in the order of `curate.content.KINDS`; flaws; and
    `mask_breaks_row` where a mask leaves no row that can be trained on, as in a call of a tool.

    Example:
        >>> content(rows, ContentParams(mask=("phone", "name"), drop=("refusal",)))
        content: 4,980 of 5,000 rows kept; dropped 20 refusal
    """
    started = time.monotonic()
    counts = np.zeros((len(rows), len(KINDS)), np.int32)
    masked = np.zeros(len(rows), bool)
    reason = np.array(rows.table.column("flaw").to_pylist(), dtype=object)
    flaw = reason.copy()
    raw = rows.table.column("raw")
    chunks: list[pa.Array] = []  # a chunk's memory is its own
    bar = progress("looking")
    bar.start(len(rows), len(rows), 0)
    for start in range(0, len(rows), CHUNK):
        lines = raw.slice(start, CHUNK).to_pylist()
        for place in range(start, start + len(lines)):
            row = rows[place]
            found, value = look(row, rows.shape, params.mask)
            counts[place] = [found[kind] for kind in KINDS]
            dropped = (kind for kind in KINDS if kind in params.drop and found[kind])
            reason[place] = reason[place] or next(dropped, "")
            if value is not row.value and not reason[place]:
                broken = parse(value, rows.shape).flaw
                reason[place] = "mask_breaks_row" if broken else ""
                masked[place] = not broken
                lines[place - start] = json.dumps(value, ensure_ascii=False)
        chunks.append(pa.array(lines, raw.type))
        bar.advance(len(lines))
    bar.stop()
    columns = {kind: pa.array(counts[:, place]) for place, kind in enumerate(KINDS)}
    columns |= {"masked": pa.array(masked), "clean": pa.array((counts.sum(axis=1) == 0) * 1.0)}
    there = {kind: int(np.count_nonzero(columns[kind])) for kind in KINDS}
    where = rows.table.schema.get_field_index("raw")
    table = rows.table.set_column(where, "raw", pa.chunked_array(chunks, raw.type))
    return Selection(
        recipe=NAME,
        params=params,
        rows=replace(rows, table=table),
        scored=Scores(labelled(flaw, flaw == "", OK), columns),
        choice=Choice(reason),
        ranked_by="clean",
        notes=() if recogniser() else (_GUESSED,),
        seconds=time.monotonic() - started,
        details={
            "masked": int(masked.sum()),
            "found": {kind: count for kind, count in there.items() if count},
        },
    )


def diagnosis(selection: Selection, name: str, written: bool = False) -> Diagnosis:
    """Return what was found in rows; if `written`, what of it is left in the copy."""
    rows = selection.rows
    among = selection.choice.kept if written else np.ones(len(rows), bool)
    clean = among.copy()
    found = []
    for kind in KINDS:
        there = np.asarray(selection.scored.columns[kind]) * among
        if not there.any() or (written and kind in selection.params.mask):
            continue
        clean &= there == 0
        said = f"{there.sum():,} in all" if kind in IDENTIFIERS else ""
        places = np.flatnonzero(there)
        found.append(
            finding_of(kind, Count(said, len(places), places[:SHOWN].tolist()), rows, len(rows))
        )
    total, well = int(among.sum()), int(clean.sum())
    return Diagnosis(name, CONTENT, {}, False, None, total, well, well, tuple(found))


def content_of(
    data_set: DataSet, params: DoctorParams, overwrite: bool = False
) -> tuple[Selection, list[Diagnosis], list[Path]]:
    """Return what a data set says, what is found before and in its copy, and the copy's files.

    A copy NAME_content is written if `mask` or `drop` ask for one.
    """
    if data_set.rows is None:
        raise DataError(f"{data_set.name}: {data_set.why}")
    name = default_name(Path(data_set.name if data_set.assumed else f"{data_set.name}."), NAME)
    folder = Path(params.output or data_set.folder)
    chosen = ContentParams(params.masked(), params.dropped())
    writes = bool(chosen.mask or chosen.drop)
    if writes:
        check_target(folder, name, NAME, overwrite)
    selection = content(data_set.rows, chosen)
    before = diagnosis(selection, data_set.name)
    if not writes:
        return selection, [before], []
    files = emit(selection, folder, name, overwrite)
    return selection, [before, diagnosis(selection, name, written=True)], list(files)
