"""What LLaMA-Factory told of each step: its trainer_log.jsonl, read as one history."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean
from typing import Any

FILE = "trainer_log.jsonl"
# Lines that a table shows; a run of thousands of steps tells as much in a dozen.
SHOWN = 12
_ENDS = 5


@dataclass(frozen=True)
class Point:
    """A step that was logged.

    Attributes:
        step: Of the optimizer, from 1.
        total: Steps that are planned.
        loss: Mean since the line before.
        eval_loss: On the rows held out.
        reward: Of ppo: mean of the answers.
        accuracy: Of preferences: share of pairs told apart.
        rate: Learning rate.
        epoch: Passes over the rows so far.
        tokens: Seen so far.
        elapsed: Seconds since the training, or its last attempt, began.
    """

    step: int
    total: int = 0
    loss: float | None = None
    eval_loss: float | None = None
    reward: float | None = None
    accuracy: float | None = None
    rate: float | None = None
    epoch: float | None = None
    tokens: int | None = None
    elapsed: float | None = None


def parse(line: str) -> Point | None:
    """Return what a line of trainer_log.jsonl tells, None if it is not whole."""
    try:
        told = json.loads(line)
        return Point(
            step=int(told["current_steps"]),
            total=int(told["total_steps"]),
            loss=told.get("loss"),
            eval_loss=told.get("eval_loss"),
            reward=told.get("reward"),
            accuracy=told.get("accuracy"),
            rate=told.get("lr"),
            epoch=told.get("epoch"),
            tokens=told.get("total_tokens"),
            elapsed=_seconds(told.get("elapsed_time")),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _seconds(told: Any) -> float | None:
    """Return the seconds of "1 day, 2:03:04"."""
    if not isinstance(told, str):
        return None
    days, _, clock = told.rpartition(",")
    hours, minutes, seconds = (int(each) for each in clock.split(":"))
    whole = int(days.split()[0]) if days else 0
    return float(((whole * 24 + hours) * 60 + minutes) * 60 + seconds)


def history(lines: Iterable[str]) -> tuple[Point, ...]:
    """Return a point for every step, in order.

    A run that was resumed has gone back to its checkpoint: what it had told of later steps gives
    way to what it told the second time. Loss and evaluation of one step are one point.

    Example:
        >>> [each.step for each in history([line_of(1), line_of(2), line_of(3), line_of(2)])]
        [1, 2]
    """
    points: list[Point] = []
    for line in lines:
        point = parse(line)
        if point is None:
            continue
        while points and points[-1].step > point.step:
            points.pop()
        if points and points[-1].step == point.step:
            points[-1] = _joined(points[-1], point)
        else:
            points.append(point)
    return tuple(each for each in points if each.loss is not None or each.eval_loss is not None)


def _joined(first: Point, then: Point) -> Point:
    names = [each.name for each in fields(Point)]
    later = {name: getattr(then, name) for name in names if getattr(then, name) is not None}
    return Point(**{**{name: getattr(first, name) for name in names}, **later})


def read(folder: Path) -> tuple[Point, ...]:
    """Return the history of a run; empty if it has told nothing."""
    path = folder / FILE
    if not path.is_file():
        return ()
    return history(path.read_text(encoding="utf-8", errors="replace").splitlines())


def summary(points: Sequence[Point]) -> dict[str, float | None]:
    """Return the loss at the beginning and at the end, and both on the rows held out.

    One step's loss is that of a few rows, and mostly tells which those were: beginning and end
    are means over a fifth of the logged steps each.

    Example:
        >>> summary([Point(step, loss=10.0 - step) for step in range(1, 11)])["first"]
        8.5
    """
    losses = [each.loss for each in points if each.loss is not None]
    held_out = [each.eval_loss for each in points if each.eval_loss is not None]
    some = max(1, len(losses) // _ENDS)
    return {
        "first": fmean(losses[:some]) if losses else None,
        "last": fmean(losses[-some:]) if losses else None,
        "eval_first": held_out[0] if held_out else None,
        "eval": held_out[-1] if held_out else None,
    }


def thinned(points: Sequence[Point], most: int = SHOWN) -> list[Point]:
    """Return at most so many points, evenly spaced, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    last = len(points) - 1
    places = sorted({round(place * last / (most - 1)) for place in range(most)})
    return [points[place] for place in places]
