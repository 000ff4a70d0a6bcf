"""Figures of pages as SVG, a function each.

A figure is as wide as its column: shapes lie in a box that is stretched to it, in which lines and
dots keep their thickness; labels stand outside the box at percentages, and keep their size.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup

Marks = Sequence[tuple[str, float]]  # what is to be read at a value
_BOX = 1000
_HEIGHT, _LINE = 170, 17


def histogram(
    edges: Sequence[float], counts: Sequence[int], kept: Sequence[int], marks: Marks, label: str
) -> Markup:
    """Return a bar a bin, what is kept of its counts in front; `label` is for who cannot see it."""
    top, shapes = max(*counts, 1), []
    for group, rows in (("all", counts), ("kept", kept)):
        path = ""
        for (left, right), count in zip(pairwise(_scaled(edges)), rows, strict=True):
            if count:
                # A bar of few rows is seen beside one of many.
                y = min(_BOX * (1 - count / top), _BOX - 8)
                path += f"M{left} {_BOX}V{y:.0f}H{right - 2}V{_BOX}Z"
        shapes.append(Markup('<path class="{}" d="{}"/>').format(group, path))
    return _frame(shapes, (edges[0], edges[-1]), f"{top:,} rows", marks, label)


def share_lines(
    edges: Sequence[float], counts: Mapping[str, Sequence[int]], marks: Marks, label: str
) -> Markup:
    """Return a line a group, whose name is its class: its share of rows in a bin."""
    shares = {
        group: [count / sum(rows) for count in rows] for group, rows in counts.items() if any(rows)
    }
    top = max((max(heights) for heights in shares.values()), default=1.0)
    shapes = []
    for group, heights in shares.items():
        path = f"M0 {_BOX}"
        for right, height in zip(_scaled(edges)[1:], heights, strict=True):
            path += f"V{_BOX * (1 - height / top):.0f}H{right}"
        shapes.append(Markup('<path class="line {}" d="{}V{}"/>').format(group, path, _BOX))
    return _frame(shapes, (edges[0], edges[-1]), f"{100 * top:.0f} % of rows", marks, label)


def dots(points: Sequence[tuple[float, float, bool]], name: str, label: str) -> Markup:
    """Return a dot a row at two numbers, `name` upwards, those that are kept in front.

    One number in two hundred may be far out; such a dot lies on the edge.
    """
    (left, right), (low, high) = (_range([point[axis] for point in points]) for axis in (0, 1))
    paths = {"all": "", "kept": ""}
    for x, y, is_kept in points:
        across, up = _place(x, left, right), _place(y, low, high)
        paths["kept" if is_kept else "all"] += f"M{_BOX * across:.0f} {_BOX * (1 - up):.0f}h0"
    shapes = [Markup('<path class="dots {}" d="{}"/>').format(*pair) for pair in paths.items()]
    top = f"{name} from {short(low)} to {short(high)}"
    return _frame(shapes, (left, right), top, (), label)


def curves(lines: Sequence[Sequence[tuple[float, float]]], name: str, label: str) -> Markup:
    """Return a line for each run of points, of class c0, c1, … in turn; `name` is upwards."""
    points = [point for line in lines for point in line]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = _range([y for _, y in points])
    shapes = []
    for number, line in enumerate(lines):
        places = [
            f"{_BOX * _place(x, left, right):.0f} {_BOX * (1 - _place(y, low, high)):.0f}"
            for x, y in line
        ]
        path = Markup('<path class="line c{}" d="M{}"/>')
        shapes.append(path.format(number, "L".join(places)))
    return _frame(shapes, (left, right), f"{short(high)} {name}, from {short(low)}", (), label)


def interval(value: float, low: float, high: float, ends: tuple[float, float], name: str) -> Markup:
    """Return a value and its interval on a scale that several lines of a table share, and zero."""
    at, start, end, zero = (100 * _place(each, *ends) for each in (value, low, high, 0.0))
    return Markup(
        '<svg class="interval {}" height="18" aria-hidden="true"><line class="zero" x1="{:.2f}%" '
        'x2="{:.2f}%" y1="0" y2="18"/><line x1="{:.2f}%" x2="{:.2f}%" y1="9" y2="9"/>'
        '<circle cx="{:.2f}%" cy="9" r="4"/></svg>'
    ).format(name, zero, zero, start, end, at)


def bar(parts: Sequence[tuple[str, float]], whole: float, label: str = "") -> Markup:
    """Return parts of a whole side by side; the name of a part is its class."""
    drawn, start = Markup(), 0.0
    for name, value in parts:
        width = 100 * value / whole if whole else 0.0
        rectangle = Markup('<rect class="{}" x="{:.3f}" width="{:.3f}" height="10"></rect>')
        drawn += rectangle.format(name, start, width)
        start += width
    meaning = Markup('role="img" aria-label="{}"').format(label)
    return Markup(
        '<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" {}>{}</svg>'
    ).format(meaning if label else Markup('aria-hidden="true"'), drawn)


def short(value: float) -> str:
    """Return a number as people read it: thousands whole, others with four digits."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"
    return text.replace("-", "−")


def _frame(
    shapes: Sequence[Markup], ends: tuple[float, float], top: str, marks: Marks, label: str
) -> Markup:
    """Return shapes over an axis, with the meaning of their top line, and a line of text a mark."""
    head = _LINE * (len(marks) + 1)
    foot = head + _HEIGHT
    parts = [
        Markup(
            '<svg y="{}" width="100%" height="{}" viewBox="0 0 {} {}" preserveAspectRatio="none" '
            'overflow="visible">{}</svg>'
        ).format(head, _HEIGHT, _BOX, _BOX, Markup().join(shapes)),
        _rule(head, "top"),
        _rule(foot, "axis"),
        _text("0", "start", head - 5, top),
    ]
    # From the middle outwards no line of a mark would cross the words of another: outermost first.
    placed = sorted(
        ((100 * _place(value, *ends), text) for text, value in marks),
        key=lambda placed: -abs(placed[0] - 50),
    )
    for line, (at, text) in enumerate(placed):
        y = _LINE * line
        parts.append(
            Markup('<line class="mark" x1="{0:.1f}%" x2="{0:.1f}%" y1="{1}" y2="{2}"/>').format(
                at, y + 2, foot
            )
        )
        side, gap = ("end", -5) if at > 50 else ("start", 5)
        parts.append(_text(f"{at:.1f}%", side, y + 13, text, gap))
    for value in _ticks(*ends):
        at = 100 * _place(value, *ends)
        side = "start" if at < 4 else "end" if at > 96 else "middle"
        parts.append(_text(f"{at:.1f}%", side, foot + 15, short(value)))
    return Markup('<svg class="figure" role="img" aria-label="{}" height="{}">{}</svg>').format(
        label, foot + 20, Markup().join(parts)
    )


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers of a range, six at most."""
    if not high > low:
        return [low]
    decimals = -math.floor(math.log10(high - low))
    steps = (factor * 10.0**-decimals for factor in (0.2, 0.5, 1, 2))
    step = next(step for step in steps if (high - low) / step <= 6)
    places = range(math.ceil(low / step), math.floor(high / step) + 1)
    return [round(place * step, decimals + 1) + 0.0 for place in places]


def _rule(y: int, name: str) -> Markup:
    return Markup('<line class="{0}" x1="0" x2="100%" y1="{1}" y2="{1}"/>').format(name, y)


def _text(x: str, side: str, y: int, text: str, gap: int = 0) -> Markup:
    return Markup('<text x="{}" dx="{}" y="{}" text-anchor="{}">{}</text>').format(
        x, gap, y, side, text
    )


def _scaled(edges: Sequence[float]) -> list[int]:
    return [round(_BOX * _place(edge, edges[0], edges[-1])) for edge in edges]


def _place(value: float, low: float, high: float) -> float:
    return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5


def _range(values: Sequence[float]) -> tuple[float, float]:
    ordered = sorted(values)
    out = len(ordered) // 200
    return (ordered[out], ordered[-1 - out]) if ordered else (0.0, 1.0)
