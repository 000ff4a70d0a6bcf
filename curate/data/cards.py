"""Rows as cards: everything that a row says, whole, for people who look at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from curate.data.describe import visible
from curate.data.rows import Row
from curate.data.schema import STRUCTURAL, Shape

_INDENT = "  "


def card_lines(row: Row, shape: Shape, scores: Mapping[str, object]) -> list[str]:
    """Return a row as lines: its place, every part under its name, other keys, its scores."""
    title = f"{row.id} · {row.source} · {row.where}"
    lines = [f"{title} · {row.flaw}" if row.flaw else title]
    for name, text in _parts(row, shape):
        first, *more = visible(text).split("\n")
        lines.append(f"{_INDENT}{name}: {first}")
        lines += [f"{_INDENT * 2}{line}" for line in more]
    if scores:
        lines.append(f"{_INDENT}scores: {', '.join(f'{k} {_short(v)}' for k, v in scores.items())}")
    return lines


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


def _parts(row: Row, shape: Shape) -> list[tuple[str, str]]:
    """Return the parts that a row has, in the order in which they are read."""
    parsed = row.parsed
    if row.flaw in STRUCTURAL:  # nothing could be taken apart
        return [("row", json.dumps(row.value, ensure_ascii=False, indent=1))]
    parts = [("system", parsed.system), ("tools", parsed.tools)]
    parts += [(turn.role, turn.content) for turn in parsed.turns]
    parts += [("chosen", parsed.chosen or ""), ("rejected", parsed.rejected or "")]
    if parsed.verdict is not None:
        parts.append(("verdict", "good" if parsed.verdict else "bad"))
    named = set(shape.columns.values())
    others = {k: v for k, v in row.value.items() if k not in named and v not in (None, "", [], {})}
    parts += [
        (key, v if isinstance(v, str) else json.dumps(v, ensure_ascii=False))
        for key, v in others.items()
    ]
    return [(name, text) for name, text in parts if text]


def _short(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else visible(str(value))
