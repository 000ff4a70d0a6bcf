"""Figures as pictures that a notebook shows by itself, with the same bytes each time."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_KEPT = ("#1b7f5f", "#3a78b5", "#0b3d4f")
_DROPPED = ("#b8bec6", "#dcae6b", "#c98b7b", "#8c86a8", "#7d8a94", "#d8cfc0")
_CUT = ("#c2410c", "#6b21a8", "#1d4ed8")
FAR = (0.0025, 0.9975)  # what lies beyond would flatten all others
# Those of them that are installed draw Chinese; naming another one warns for each character.
_CHINESE = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "PingFang SC"),
    *("Hiragino Sans GB", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei"),
)


def bins(
    values: NDArray[Any], marks: Sequence[tuple[str, float]] = (), count: int = 60
) -> NDArray[np.float64]:
    """Return the edges of bins that hold all marks and all values but those far out."""
    shown = values[np.isfinite(values)]
    low, high = np.quantile(shown, FAR) if len(shown) else (0.0, 1.0)
    lines = [value for _, value in marks]
    low, high = min([low, *lines]), max([high, *lines])
    if 2 <= high - low < count and (shown == np.round(shown)).all():
        return np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    return (
        np.linspace(low, high, count + 1)
        if low < high
        else np.linspace(low - 0.5, high + 0.5, count + 1)
    )


@dataclass(frozen=True)
class Panel:
    """Rows along a number: a histogram, kept on top of dropped, with a line for every mark."""

    name: str
    values: NDArray[np.float64]  # (n,) NaN for what has none
    kept: Mapping[str, NDArray[np.bool_]]  # label to which of the n; of what is alike one group
    dropped: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    marks: tuple[tuple[str, float], ...] = ()  # what decided: words, and where its line stands
    unit: str = "rows"  # what is counted

    def draw(self, axes: Axes) -> None:
        finite, edges = np.isfinite(self.values), bins(self.values, self.marks)
        groups = {**self.kept, **self.dropped} or {self.unit: finite}
        # One row in two hundred may be far out; it stands in the outermost bar.
        parts = [
            np.clip(self.values[finite & each], edges[0], edges[-1]) for each in groups.values()
        ]
        labels = [f"{name} ({len(part):,})" for name, part in zip(groups, parts, strict=True)]
        colours = [*_in_turn(_KEPT, len(groups) - len(self.dropped))]
        colours += _in_turn(_DROPPED, len(self.dropped))
        axes.hist(parts, bins=edges.tolist(), stacked=True, color=colours, label=labels)
        for colour, (words, value) in zip(_in_turn(_CUT, len(self.marks)), self.marks, strict=True):
            axes.axvline(value, color=colour, linewidth=1, label=words)
        _named(axes, self.title(), self.name, self.unit)

    def title(self) -> str:
        """Return how many have the number."""
        known = int(np.isfinite(self.values).sum())
        without = f", {len(self.values) - known:,} without" if known < len(self.values) else ""
        return f"{self.name} of {known:,} {self.unit}{without}"


@dataclass(frozen=True)
class Bars:
    """Numbers side by side: a bar for each label, of parts one behind the other."""

    name: str
    labels: Sequence[str]
    parts: Mapping[str, Sequence[float]]

    def draw(self, axes: Axes) -> None:
        places, begin = np.arange(len(self.labels)), np.zeros(len(self.labels))
        for colour, (part, sizes) in zip((_KEPT[0], _DROPPED[0]), self.parts.items(), strict=False):
            axes.barh(places, sizes, left=begin, color=colour, label=part)
            begin = begin + np.array(sizes)
        axes.set_yticks(places, labels=self.labels, parse_math=False)
        axes.invert_yaxis()
        _named(axes, self.title(), legend=len(self.parts) > 1)

    def title(self) -> str:
        return self.name


@dataclass(frozen=True)
class Shares:
    """How sets of rows, which may share some, spread along a number: a line of shares each."""

    name: str
    sets: Mapping[str, NDArray[Any]]

    def draw(self, axes: Axes) -> None:
        finite = {label: each[np.isfinite(each)] for label, each in self.sets.items()}
        edges = bins(np.concatenate([np.zeros(0), *finite.values()]), count=30)
        colours = _in_turn((_KEPT[0], *_CUT, *_DROPPED[1:]), len(finite))
        for colour, (label, values) in zip(colours, finite.items(), strict=True):
            axes.hist(
                np.clip(values, edges[0], edges[-1]),
                bins=edges.tolist(),
                weights=np.full(len(values), 1 / max(1, len(values))),
                histtype="step",
                color=colour,
                label=f"{label} ({len(values):,})",
            )
        _named(axes, self.title(), self.name, "share of rows")

    def title(self) -> str:
        return f"{self.name}: {', '.join(self.sets)}"


def _in_turn(colours: Sequence[str], count: int) -> Iterator[str]:
    return itertools.islice(itertools.cycle(colours), count)


def _named(axes: Axes, title: str, x: str = "", y: str = "", legend: bool = True) -> None:
    """Write what axes show; no word of it is a formula."""
    axes.set_title(title, parse_math=False)
    axes.set_xlabel(x, parse_math=False)
    axes.set_ylabel(y)
    if legend:
        # Beside the axes: to look for the best place inside takes time, and warns of it.
        beside = axes.legend(
            frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5)
        )
        for text in beside.get_texts():
            text.set_parse_math(False)


@dataclass(frozen=True)
class Picture:
    """A figure that a notebook shows by itself.

    Attributes:
        words: What it shows, or why there is none.
        figure: matplotlib's, to be changed or saved; None where there is nothing to draw.
    """

    words: str
    figure: Figure | None = None

    def savefig(self, target: Any, **how: Any) -> None:
        """Save the figure, as matplotlib's own does; the same figure gives the same bytes."""
        if self.figure is not None:
            with _fonts():
                self.figure.savefig(target, **{"metadata": {"Software": None}, "dpi": 110, **how})

    def _repr_png_(self) -> bytes | None:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue() or None

    def __repr__(self) -> str:
        return self.words


def picture(
    shown: Sequence[Panel | Bars | Shares], otherwise: str = "there is nothing to draw"
) -> Picture:
    """Return a figure of panels, one below the other."""
    if not shown:
        return Picture(otherwise)
    with _fonts():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 3 * len(shown)), layout="constrained")
        for axes, each in zip(figure.subplots(len(shown), squeeze=False)[:, 0], shown, strict=True):
            each.draw(axes)
    return Picture("figure: " + "; ".join(each.title() for each in shown), figure)


@contextmanager
def _fonts() -> Iterator[None]:
    import matplotlib
    from matplotlib.font_manager import fontManager

    here = {font.name for font in fontManager.ttflist}
    families = ["DejaVu Sans", *(name for name in _CHINESE if name in here)]
    with matplotlib.rc_context({"font.family": families}):
        yield
