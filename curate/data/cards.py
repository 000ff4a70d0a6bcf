"""Rows as cards: everything that a row says, whole, for people who look at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from curate.data.describe import language_of, visible
from curate.data.schema import STRUCTURAL

if TYPE_CHECKING:
    from curate.data.rows import Row

EXCERPT = 120  # columns; a Chinese character takes two
_INDENT = "  "
_SIDES = ("chosen", "rejected")
_CARD = "border:1px solid #8886;border-radius:6px;padding:.5em .8em;margin:.5em 0;text-align:left"
_TEXT = "white-space:pre-wrap;overflow-wrap:anywhere"


def card_lines(row: Row, scores: Mapping[str, object], brief: bool = False) -> list[str]:
    """Return a row as lines: its place, every part under its name, other keys, its scores."""
    lines = [_title(row)]
    for name, text in parts(row):
        first, *more = [short(visible(text))] if brief else visible(text).split("\n")
        lines.append(f"{_INDENT}{name}: {first}")
        lines += [f"{_INDENT * 2}{line}" for line in more]
    if scores:
        lines.append(f"{_INDENT}scores: {_listed(scores)}")
    return lines


def card_html(row: Row, scores: Mapping[str, object]) -> str:
    """Return a row as HTML: its place and scores, every part whole, chosen beside rejected."""
    every = parts(row)
    sides = "".join(map(_part_html, (part for part in every if part[0] in _SIDES)))
    text = "".join(map(_part_html, (part for part in every if part[0] not in _SIDES)))
    beside = f"<div style='display:flex;gap:1em;flex-wrap:wrap'>{sides}</div>" if sides else ""
    title = " · ".join(filter(None, [_title(row), _listed(scores)]))
    return (
        f"<div class='tex2jax_ignore mathjax_ignore' style='{_CARD}'>"
        f"<div style='opacity:.7'>{escape(title)}</div>{text}{beside}</div>"
    )


def _part_html(part: tuple[str, str]) -> str:
    name, text = part
    language = language_of(text)
    lang = "" if language == "other" else f" lang='{language}'"
    return (
        f"<div style='flex:1 1 16em;margin-top:.4em'><b>{escape(name)}</b>"
        f"<div dir='auto'{lang} style='{_TEXT}'>{escape(visible(text))}</div></div>"
    )


def short(text: str) -> str:
    """Return the beginning of a text, as much as stands in EXCERPT columns of a terminal."""
    from rich.cells import cell_len, chop_cells

    line = " ".join(text[: 4 * EXCERPT].split())
    whole = cell_len(line) <= EXCERPT and len(text) <= 4 * EXCERPT
    return line if whole else "".join(chop_cells(line, EXCERPT - 1)[:1]) + "…"


def _title(row: Row) -> str:
    title = f"{row.id} · {row.source} · {row.where}"
    return visible(f"{title} · {row.flaw}" if row.flaw else title)


def _listed(scores: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {visible(str(value))}"
        for name, value in scores.items()
    )


def as_json(row: Row, scores: Mapping[str, object]) -> dict[str, Any]:
    """Return a row as a JSON object: its view, and the original under `value`."""
    parsed = row.parsed
    return {
        "id": row.id,
        "source": row.source,
        "where": row.where,
        "flaw": row.flaw,
        "system": parsed.system,
        "turns": [{"role": turn.role, "content": turn.content} for turn in parsed.turns],
        "chosen": parsed.chosen,
        "rejected": parsed.rejected,
        "tools": parsed.tools,
        "verdict": parsed.verdict,
        "value": row.value,
        "scores": dict(scores),
    }


def parts(row: Row) -> list[tuple[str, str]]:
    """Return the parts that a row has, in the order in which they are read."""
    parsed = row.parsed
    if row.flaw in STRUCTURAL:  # nothing could be taken apart
        return [("row", json.dumps(row.value, ensure_ascii=False, indent=1))]
    sections = [("system", parsed.system), ("tools", parsed.tools)]
    sections += [(turn.role, turn.content) for turn in parsed.turns]
    sections += [("chosen", parsed.chosen or ""), ("rejected", parsed.rejected or "")]
    if parsed.verdict is not None:
        sections.append(("verdict", "good" if parsed.verdict else "bad"))
    nothing: tuple[Any, ...] = (None, "", [], {})
    others = {k: v for k, v in row.value.items() if k not in row.named and v not in nothing}
    sections += [
        (key, v if isinstance(v, str) else json.dumps(v, ensure_ascii=False))
        for key, v in others.items()
    ]
    return [(name, text) for name, text in sections if text]
