"""HTML for notebooks and reports; row text is data and is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


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
