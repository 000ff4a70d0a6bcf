"""A mixture as tables: for the terminal and for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from curate.html import html_table

if TYPE_CHECKING:
    from curate.mixture.mixed import Mixed
    from curate.mixture.pile import Pile

Cells = list[tuple[object, ...]]


def table_of(mixed: Mixed) -> tuple[Cells, tuple[str, ...]]:
    """Return a line for each file, and the names of the columns.

    Args:
        mixed: A mixture that was made.
    """
    header: tuple[str, ...] = ("side", "source", "read", "usable", "kept", "written")
    lines: Cells = [
        (each.side, each.name, each.read, each.usable, each.kept, each.written)
        for each in mixed.sources
    ]
    if mixed.tokens is not None:
        header += ("tokens",)
        lines = [(*line, each.tokens) for line, each in zip(lines, mixed.sources, strict=True)]
    return lines, header


def left_out(pile: Pile) -> list[str]:
    """Return a sentence for each file of which rows cannot be used.

    Args:
        pile: All rows of all sources.

    Example:
        >>> left_out(mixed.pile)
        ['alpaca_en.json: 2 of 299 rows never enter: 2 duplicate']
    """
    told = []
    for part in pile.parts:
        if reasons := pile.left_out(part):
            counts = ", ".join(f"{rows:,} {reason}" for reason, rows in reasons.items())
            total = sum(reasons.values())
            name = part.source.name
            told.append(f"{name}: {total:,} of {len(part.rows):,} rows never enter: {counts}")
    return told


def mixed_html(mixed: Mixed) -> str:
    """Return the counts of a mixture for a notebook.

    Args:
        mixed: A mixture that was made.
    """
    lines, header = table_of(mixed)
    told = (f"mix {mixed.ratio}", mixed.realised())
    notes = "".join(f"<p>{escape(note)}</p>" for note in (*left_out(mixed.pile), *mixed.notes))
    return f"<h4>{escape(told[0])}</h4><p>{escape(told[1])}</p>{html_table(lines, header)}{notes}"
