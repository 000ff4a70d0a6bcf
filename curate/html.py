"""HTML for notebooks and reports; row text is data and is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from curate.selection import Selection


def html_table(lines: Iterable[Sequence[object]], header: Sequence[str] = ()) -> str:
    """Return a table; every cell is escaped, numbers stand to the right."""
    head = "".join(f"<th style='text-align:left'>{escape(each)}</th>" for each in header)
    body = "".join(f"<tr>{''.join(map(_cell, line))}</tr>" for line in lines)
    return (
        f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
    )


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"<td style='text-align:right'>{value:,}</td>"
    if isinstance(value, float):
        return f"<td style='text-align:right'>{value:.4g}</td>"
    return f"<td style='text-align:left'>{escape(str(value))}</td>"


def selection_html(selection: Selection) -> str:
    """Return counts, notes and the highest and nearest rows of a selection."""
    counts = selection.summary()
    lines: list[Sequence[object]] = [("read", counts.read), ("scored", counts.scored)]
    lines += [(f"dropped: {reason}", count) for reason, count in counts.dropped.items()]
    lines.append(("kept", counts.kept))
    notes = "".join(f"<p>{escape(note)}</p>" for note in selection.notes)
    parts = [f"<h4>{escape(selection.recipe)}</h4>", html_table(lines), notes]
    excerpts = (
        ("kept, highest", selection.top(3)),
        ("nearest misses", selection.nearest_misses(3)),
    )
    for title, frame in excerpts:
        if len(frame):
            cells = [tuple(line) for line in frame.itertuples(index=False)]
            parts += [f"<p>{title}</p>", html_table(cells, list(frame.columns))]
    return "".join(parts)
