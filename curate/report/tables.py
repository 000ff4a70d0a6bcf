"""Tables for notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from curate.html import html_table

if TYPE_CHECKING:
    from curate.selection import Selection


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
