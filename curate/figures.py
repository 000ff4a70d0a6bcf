"""Figures for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KEPT, _DROPPED, _CUT = "#1b7f5f", "#b8bec6", "#c2410c"
_BINS = 60


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
