"""A picture of the loss, where LLaMA-Factory has drawn none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from train.running.losses import Point

FILE = "training_loss.png"


def draw(folder: Path, points: Sequence[Point]) -> None:
    """Draw loss and evaluation loss over the steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, of in (("loss", "loss"), ("eval_loss", "loss on rows held out")):
        found = [(each.step, getattr(each, name)) for each in points if getattr(each, name)]
        if found:
            axes.plot(*zip(*found, strict=True), marker=".", label=of)
    if points:
        axes.set(xlabel="step", ylabel="loss", title=folder.name)
        axes.legend()
        figure.savefig(folder / FILE, dpi=100)
