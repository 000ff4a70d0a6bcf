"""What the stages show when a run has ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from curate import console
from curate.system.run_record import RunRecord
from train.running.losses import Point

_FEW = 10  # steps, of which a fifth is one
_COLUMNS = (
    ("loss", "loss"),
    ("eval_loss", "eval loss"),
    ("reward", "reward"),
    ("accuracy", "accuracy"),
    ("rate", "learning rate"),
    ("epoch", "epoch"),
)


def show(record: RunRecord, folder: Path, as_json: bool) -> None:
    """Print the losses and where the run lies; with --json its record as one line, too.

    Args:
        record: Of the run.
        folder: Of the run, as the user typed it.
        as_json: Tables go to stderr then.
    """
    from train.running import losses, plot
    from train.running.display import clock

    points = losses.read(folder)
    on = console.stderr() if as_json else None
    if points:
        header, lines = table(losses.thinned(points))
        console.show_table(lines, header, on)
        if len(points) > len(lines):
            console.say(f"{len(lines)} of {len(points):,} logged steps: {folder / losses.FILE}")
    console.say(f"done: {record.steps:,} steps in {clock(record.seconds)}, {_change(record)}")
    made = record.adapter["file"] if record.adapter else f"{len(record.weights)} files of weights"
    console.say(f"{made}, {plot.FILE} and run.json: {folder}")
    if as_json:
        told = {"folder": str(folder), **record.as_json()}
        typer.echo(json.dumps(told, ensure_ascii=False))


def _change(record: RunRecord) -> str:
    first, last = record.loss.get("first"), record.loss.get("last")
    if first is None or last is None:
        return "no loss was logged"
    more = "" if record.steps < _FEW else " (means of the first and of the last fifth)"
    began, ended = record.loss.get("eval_first"), record.loss.get("eval")
    if began is not None and ended is not None:
        more += f"; on rows held out {began:.4f} to {ended:.4f}"
    return f"loss {first:.4f} to {last:.4f}{more}"


def table(points: Sequence[Point]) -> tuple[list[str], list[list[Any]]]:
    """Return header and lines of the points, with the columns that any of them fills.

    Args:
        points: Of a run.
    """
    columns = [each for each in _COLUMNS if any(getattr(p, each[0]) is not None for p in points)]
    lines = [
        [each.step, *(_cell(name, getattr(each, name)) for name, _ in columns)] for each in points
    ]
    return ["step", *(title for _, title in columns)], lines


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return {"rate": f"{value:.2e}", "epoch": f"{value:.2f}"}.get(name, f"{value:.4f}")
