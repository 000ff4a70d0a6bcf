"""What notebooks show: tables, in which row text is data and is escaped, and a figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from curate.selection import Selection

_KEPT, _DROPPED, _CUT = "#1b7f5f", "#b8bec6", "#c2410c"
_BINS = 60


def html_table(lines: Iterable[Sequence[object]], header: Sequence[str] = ()) -> str:
    """Return a table; every cell is escaped, numbers stand to the right."""
    head = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in header)
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
    if counts.tokens:
        lines.append((f"tokens of responses read, by {counts.tokens['by']}", counts.tokens["read"]))
        lines.append(("tokens of responses kept", counts.tokens["kept"]))
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


def distribution(
    values: NDArray[np.float64], kept: NDArray[np.bool_], threshold: float, name: str
) -> Figure:
    """Return a histogram of scores, kept on top of dropped, with the cut."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    finite = np.isfinite(values)
    shown = values[finite]
    # One row in two hundred may be far out; a bar nobody can see would flatten all others.
    low, high = np.quantile(shown, (0.0025, 0.9975)) if len(shown) else (0.0, 1.0)
    edges = np.linspace(low, max(high, low + 1e-9), _BINS + 1)
    parts = [np.clip(values[finite & kept], low, high), np.clip(values[finite & ~kept], low, high)]
    labels = [f"kept ({int(kept.sum()):,})", f"dropped ({int((finite & ~kept).sum()):,})"]
    axes.hist(parts, bins=edges.tolist(), stacked=True, color=[_KEPT, _DROPPED], label=labels)
    if np.isfinite(threshold):
        axes.axvline(threshold, color=_CUT, linewidth=1, label=f"cut {threshold:.4g}")
    axes.set_xlabel(name)
    axes.set_ylabel("rows")
    unscored = int((~finite).sum())
    axes.set_title(f"{len(shown):,} rows scored" + (f", {unscored:,} not" if unscored else ""))
    axes.legend(frameon=False)
    return figure
