"""Which rows a page holds, and how much of their texts: as many as bytes allow, the telling first.

Bytes are counted as the page has them: JSON, gzip, base64.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping

import numpy as np

from curate.data.cards import parts
from curate.data.describe import counted
from curate.page.document import coded
from curate.reports.chosen import Chosen, Places, Views, Words
from curate.reports.contents import ALL, CONTROL, PageRow
from curate.reports.row_map import RowMap
from curate.scorers.contract import OK

BYTES = 5_300_000  # of all rows; figures and what draws them take the rest of 6 MB
_WHOLE = 0.75  # of the bytes; what comes after is excerpts
_MOST = 20_000  # rows that a browser shows in two seconds
_HEAD = 100  # of every view, before all of any
_LONGEST, _EXCERPT = 20_000, 200  # characters of a text
_FLUSHED = 50_000  # bytes after which those that are packed are counted


def page_rows(
    chosen: Chosen, views: Views, edges: Places, labels: Mapping[str, Words], on_map: RowMap | None
) -> tuple[list[PageRow], Places, str]:
    """Return the rows of the page in their order, their places among all, and what was left out."""
    # Those first that a reader looks for first.
    wanted = [places[:_HEAD] for key, (_, places) in views.items() if key != ALL]
    wanted += [edges, *([on_map.lines] if on_map else [])]
    wanted += [views[key][1] for key in ("kept", CONTROL, "near") if key in views]
    wanted += [np.flatnonzero(chosen.status != OK)]
    wanted += [np.random.default_rng(0).permutation(len(chosen))]
    order = np.concatenate(wanted)
    order = order[chosen.place[order] >= 0]
    _, at = np.unique(order, return_index=True)
    order = order[np.sort(at)][:_MOST]
    if not len(order):
        return [], order, "no row is here: the page has numbers alone" if len(chosen) else ""
    make = _maker(chosen, labels, on_map)
    packer, size, waiting, rows = zlib.compressobj(), 0, 0, dict[int, PageRow]()
    for line in order.tolist():
        if 4 * size > 3 * BYTES:
            break
        rows[line] = row = make(line, _EXCERPT if 4 * size > 3 * _WHOLE * BYTES else _LONGEST)
        content = (row.id, row.where, row.messages, row.numbers, row.colour)
        text, _ = coded(json.dumps(content, ensure_ascii=False))
        size, waiting = size + len(packer.compress(text)), waiting + len(text)
        if waiting > _FLUSHED:
            size, waiting = size + len(packer.flush(zlib.Z_SYNC_FLUSH)), 0
    lines = np.array(sorted(rows), dtype=np.int64)
    page = [rows[line] for line in lines.tolist()]
    short, left_out = sum(row.cut > 0 for row in page), []
    if len(lines) < len(chosen):
        left_out.append(
            f"The page holds {len(lines):,} of {len(chosen):,} rows, the first of every list, what "
            "is on the map, kept and random rows before others."
        )
    if short:
        left_out.append(f"Of {counted(short)} it has the beginning of the text.")
    return page, lines, " ".join(left_out)


def _maker(
    chosen: Chosen, labels: Mapping[str, Words], on_map: RowMap | None
) -> Callable[[int, int], PageRow]:
    """Return what makes the row of a line, with so many characters of each text at most."""
    names = dict.fromkeys([chosen.score, "tokens", *chosen.float_columns])
    columns = {name: chosen.numbers(name) for name in [*filter(chosen.has, names)][:8]}
    source = chosen.words("source")
    spots = dict(zip(on_map.lines.tolist(), on_map.spots.tolist(), strict=True)) if on_map else {}
    # What a recipe has put beside a row: its question, the model's answer, its twin.
    beside = {"question_text": "question", "answer": "answer of the model"}
    beside = {column: role for column, role in beside.items() if chosen.has(column)}
    twins = chosen.words("twin") if chosen.has("twin") else source[:0]
    line_of = {row_id: line for line, row_id in enumerate(chosen.ids) if len(twins)}

    def make(line: int, longest: int) -> PageRow:
        row, _ = chosen.row(line)
        texts = parts(row)
        texts += [(role, str(chosen.table[c][line].as_py() or "")) for c, role in beside.items()]
        twin = line_of.get(twins[line]) if len(twins) else None
        if twin is not None and chosen.place[twin] >= 0:
            other, _ = chosen.row(twin)
            texts += [("twin", "\n".join([other.where, *(text for _, text in parts(other))]))]
        spot = spots.get(line)
        return PageRow(
            id=str(chosen.ids[line]),
            where=f"{source[line]}, {row.where}",
            reason=str(chosen.reason[line]),
            control=chosen.control is not None and bool(chosen.control[line]),
            messages=tuple((role, text[:longest]) for role, text in texts if text),
            cut=sum(max(0, len(text) - longest) for _, text in texts),
            numbers={
                name: _rounded(v[line]) for name, v in columns.items() if np.isfinite(v[line])
            },
            colour={key: str(values[line]) for key, values in labels.items()},
            spot=(spot[0], spot[1]) if spot else None,
        )

    return make


def _rounded(value: np.float64) -> float:
    """Return five digits of a number, and all of a count."""
    return float(value) if value.is_integer() else float(f"{value:.5g}")
