"""How far a training is: what LLaMA-Factory logs of each step, followed and shown."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from curate import console
from curate.system.programs import new_lines

STEPS = "trainer_log.jsonl"
_EVERY = 15.0  # seconds between lines where there is no terminal
# What its log says on its way to the first step, and what that means; in the order they come.
_FIRST_STEP = "***** Running training *****"
_PHASES = {
    "Loading dataset": "reading the data",
    "training example:": "tokenizing",
    "loading weights file": "loading the model",
    _FIRST_STEP: "first step",
    "Training completed": "saving",
}
_TOTAL = re.compile(r"Total optimization steps = ([\d,]+)")
# The trainer's bar tells of every step, its log of those that are logged.
_BAR = re.compile(r"\| (\d+)/(\d+) \[")
# A line of transformers' report of what it loaded.
_NOT_IN_FILES = re.compile(r"^(\S.*?) +\| MISSING")
LOG = "train.log"
_END_OF_LOG = 400_000  # bytes; a traceback under progress bars
# A step that was logged, under LLaMA-Factory's names: current_steps, total_steps, loss (the mean
# since the one before), eval_loss (of rows held out), reward, accuracy, lr, epoch, total_tokens.
Point = dict[str, Any]


def parse(line: str) -> Point | None:
    """Return the point in a line of trainer_log.jsonl, None if it is not whole."""
    try:
        point = json.loads(line)
        step, total = point["current_steps"], point["total_steps"]
    except (ValueError, KeyError, TypeError):
        return None
    return point if isinstance(step, int) and isinstance(total, int) else None


def history(lines: Iterable[str]) -> list[Point]:
    """Return a point for every step, in order.

    A run that was resumed has gone back to its checkpoint: what it had told of later steps gives
    way to what it told the second time. Loss and evaluation of one step are one point.
    """
    points: list[Point] = []
    for point in filter(None, map(parse, lines)):
        while points and points[-1]["current_steps"] > point["current_steps"]:
            points.pop()
        if points and points[-1]["current_steps"] == point["current_steps"]:
            points[-1] |= {name: value for name, value in point.items() if value is not None}
        else:
            points.append(point)
    return [p for p in points if p.get("loss") is not None or p.get("eval_loss") is not None]


def read(folder: Path) -> list[Point]:
    path = folder / STEPS
    if not path.is_file():
        return []
    return history(path.read_text(encoding="utf-8", errors="replace").splitlines())


def end_of(log: Path, first: int = 0) -> str:
    """Return what a log has after a place, of a long one its end."""
    if not log.is_file():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(first, log.stat().st_size - _END_OF_LOG))
        return stream.read().decode("utf-8", errors="replace")


def steps_done(folder: Path) -> int:
    """Return how many steps a run has done, as far as its logs tell."""
    points, text = read(folder), end_of(folder / LOG)
    totals = [int(total.replace(",", "")) for total in _TOTAL.findall(text)]
    totals += [point["total_steps"] for point in points[-1:]]
    bars = [int(step) for step, total in _BAR.findall(text) if int(total) in totals[-1:]]
    return max([0, *bars[-1:], *(int(point["current_steps"]) for point in points[-1:])])


def summary(points: Sequence[Point]) -> dict[str, float | None]:
    """Return the loss at the beginning and at the end, and both on the rows held out.

    One step's loss is that of a few rows, and mostly tells which those were: beginning and end
    are means over a fifth of the logged steps each.
    """
    losses, held_out = (
        [point[name] for point in points if point.get(name) is not None]
        for name in ("loss", "eval_loss")
    )
    fifth = max(1, len(losses) // 5)
    return {
        "first": fmean(losses[:fifth]) if losses else None,
        "last": fmean(losses[-fifth:]) if losses else None,
        "eval_first": held_out[0] if held_out else None,
        "eval": held_out[-1] if held_out else None,
    }


def clock(seconds: float) -> str:
    """Return seconds as h:mm:ss, or m:ss below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Progress:
    """Reads what was added to the two logs since it last looked, and shows where a training is.

    On a terminal as one line that changes; elsewhere, also behind a cell's `!train`, a line for
    each new phase, and one for steps every so often. Speed and time left are by the steps of this
    attempt.
    """

    def __init__(
        self, folder: Path, log: Path, first: int = 0, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin at the end of what is there, after a step."""
        self._log, self._steps, self._first, self._now = log, folder / STEPS, first, now
        self._places = {p: p.stat().st_size if p.is_file() else 0 for p in (log, self._steps)}
        self._phase, self._point = "starting", Point(current_steps=first, total_steps=0)
        self._began, self._tokens = now(), (now(), 0)
        self._lacking: list[str] = []  # weights that the model's files have not
        self._left: float | None = None
        self._speed: float | None = None
        self._shown: tuple[str, Point] = ("", {})
        self._shown_at = now() - _EVERY
        self._line = console.stderr().status("starting") if console.is_lively() else None
        if self._line is not None:
            self._line.start()

    def look(self) -> None:
        """Take in what was logged, and show it if it is new and it is time."""
        for line in self._new(self._log):
            if total := _TOTAL.search(line):
                self._point["total_steps"] = int(total[1].replace(",", ""))
            self._lacking += _NOT_IN_FILES.findall(line)
            if _FIRST_STEP in line:
                self._began = self._now()
                self._tokens = (self._began, 0)
                self._tell_what_is_lacking()
            self._phase = next((p for mark, p in _PHASES.items() if mark in line), self._phase)
            bar = _BAR.search(line)
            if bar and int(bar[2]) == self._point["total_steps"] and int(bar[1]) > self._first:
                self._step(Point(current_steps=int(bar[1]), total_steps=int(bar[2])))
        for point in filter(None, map(parse, self._new(self._steps))):
            self._step(point)
        self._show()

    def _tell_what_is_lacking(self) -> None:
        if names := list(dict.fromkeys(self._lacking)):
            more = f" and {len(names) - 1:,} more" if names[1:] else ""
            console.say(
                f"note: {names[0]}{more}: not in the model's files, so that training begins with "
                "random numbers there; copy the model again"
            )

    def _new(self, path: Path) -> list[str]:
        lines, self._places[path] = new_lines(path, self._places[path])
        return lines

    def _step(self, point: Point) -> None:
        now, step, total = self._now(), point["current_steps"], point["total_steps"]
        self._phase = "training" if step < total else self._phase
        if step > self._first:
            self._left = (now - self._began) / (step - self._first) * (total - step)
        tokens, (since, before) = point.get("total_tokens"), self._tokens
        if tokens is not None and self._first and not before:
            # The count includes the tokens before the checkpoint: from here on.
            self._tokens = (now, tokens)
        elif tokens is not None and now > since:
            self._speed = (tokens - before) / (now - since)
        self._point |= {name: value for name, value in point.items() if value is not None}

    def words(self) -> str:
        """Return where the training stands: `step 3 of 30, loss 1.5, 312 tokens/s, 1:20 left`."""
        step, total = self._point["current_steps"], self._point["total_steps"]
        parts = [f"step {step:,} of {total:,}"] if total else [self._phase]
        if total and (self._phase not in ("training", "starting") or not step):
            parts.append(self._phase)
        for name, words in (("loss", "loss"), ("eval_loss", "eval loss")):
            if self._point.get(name) is not None:
                parts.append(f"{words} {self._point[name]:.4f}")
        if self._speed is not None:
            parts.append(f"{self._speed:,.0f} tokens/s")
        if self._left is not None and step < total:
            parts.append(f"{clock(self._left)} left")
        return ", ".join(parts)

    def _show(self) -> None:
        if self._line is not None:
            self._line.update(self.words())
            return
        (phase, point), now = self._shown, self._now()
        at_end = self._point["current_steps"] == self._point["total_steps"]
        due = now - self._shown_at >= _EVERY or at_end
        if phase != self._phase or (point != self._point and due):
            self._shown, self._shown_at = (self._phase, dict(self._point)), now
            console.say(f"  {self.words()}")

    def stop(self) -> None:
        if self._line is not None:
            self._line.stop()
            console.say(f"  {self.words()}")
