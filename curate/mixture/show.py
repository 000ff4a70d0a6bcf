"""A mixture as tables: for the terminal and for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from curate.html import html_table

if TYPE_CHECKING:
    from curate.mixture.mixed import Mixed

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


def left_out(mixed: Mixed) -> list[str]:
    """Return a sentence for each file of which rows cannot be used.

    Args:
        mixed: A mixture that was made.

    Example:
        >>> left_out(mixed)
        ['alpaca_en.json: 2 of 299 rows never enter: 2 duplicate']
    """
    return [
        f"{each.name}: {each.read - each.usable:,} of {each.read:,} rows never enter: "
        + ", ".join(f"{rows:,} {reason}" for reason, rows in each.left_out.items())
        for each in mixed.sources
        if each.left_out
    ]


def mixed_html(mixed: Mixed) -> str:
    """Return the counts of a mixture for a notebook.

    Args:
        mixed: A mixture that was made.
    """
    lines, header = table_of(mixed)
    told = (f"mix {mixed.ratio}", mixed.realised())
    notes = "".join(f"<p>{escape(note)}</p>" for note in (*left_out(mixed), *mixed.notes))
    return f"<h4>{escape(told[0])}</h4><p>{escape(told[1])}</p>{html_table(lines, header)}{notes}"
