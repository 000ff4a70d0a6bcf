"""Tables and notes of a notebook, in which row text is data and is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from curate.notebook.wording import in_python

if TYPE_CHECKING:
    import pandas as pd

# Else a notebook sets what stands between two dollars as mathematics.
_AS_IT_IS = "class='tex2jax_ignore mathjax_ignore'"


def html_table(lines: Iterable[Sequence[object]], header: Sequence[str] = ()) -> str:
    """Return a table; every cell is escaped, numbers stand to the right."""
    head = "".join(f"<th style='text-align:left'>{_text(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(map(_cell, line))}</tr>" for line in lines)
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f"<table {_AS_IT_IS}>{top}<tbody>{body}</tbody></table>"


def html_notes(notes: Iterable[str]) -> str:
    """Return sentences, a paragraph each, in the words of Python."""
    return "".join(f"<p {_AS_IT_IS}>{_text(in_python(note))}</p>" for note in notes)


def _text(value: object) -> str:
    # Half a surrogate pair cannot be sent to a browser.
    return escape(str(value).encode(errors="replace").decode())


def _cell(value: object) -> str:
    if isinstance(value, int):
        return f"<td style='text-align:right'>{value:,}</td>"
    if isinstance(value, float):
        return f"<td style='text-align:right'>{value:.4g}</td>"
    return f"<td style='text-align:left'>{_text(value)}</td>"


def frame_of(data: Any, **how: Any) -> pd.DataFrame:
    """Return a DataFrame whose texts are shown as they are."""
    from curate.notebook.frame import Frame

    return Frame(data, **how)
