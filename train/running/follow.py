"""How far a training is: from the lines that LLaMA-Factory adds to its two logs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from curate.system.process import new_lines
from train.running import losses

# What its log says on its way to the first step, and what that means; in the order they come.
_PHASES = (
    ("Loading dataset", "reading the data"),
    ("training example:", "tokenizing"),
    ("loading weights file", "loading the model"),
    ("***** Running training *****", "first step"),
    ("Training completed", "saving"),
)
_TOTAL = re.compile(r"Total optimization steps = ([\d,]+)")


@dataclass(frozen=True)
class Status:
    """Where a training stands.

    Attributes:
        phase: What it does before the first step and after the last.
        step: Of the optimizer, 0 before the first.
        total: Steps that are planned, 0 while that is not known.
        loss: The last one told.
        eval_loss: Likewise, on the rows held out.
        tokens_per_second: Of this attempt; None where LLaMA-Factory counts none.
        seconds_left: By the steps of this attempt.
    """

    phase: str = "starting"
    step: int = 0
    total: int = 0
    loss: float | None = None
    eval_loss: float | None = None
    tokens_per_second: float | None = None
    seconds_left: float | None = None


class Follower:
    """Reads what was added since it last looked.

    Attributes:
        status: As of the last look.
    """

    def __init__(
        self, folder: Path, log: Path, first: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin at the end of what is there."""
        self.status = Status(step=first)
        self._clock = clock
        self._first = first
        self._places = {path: _size(path) for path in (log, folder / losses.FILE)}
        self._log, self._told = log, folder / losses.FILE
        self._began: float | None = None
        self._tokens: tuple[float, int] | None = None

    def look(self) -> Status:
        """Return where the training stands now."""
        for line in self._new(self._log):
            self._phase(line)
        for line in self._new(self._told):
            point = losses.parse(line)
            if point is not None:
                self._step(point)
        return self.status

    def _new(self, path: Path) -> list[str]:
        lines, self._places[path] = new_lines(path, self._places[path])
        return lines

    def _phase(self, line: str) -> None:
        total = _TOTAL.search(line)
        if total:
            steps = int(total[1].replace(",", ""))
            self.status = replace(self.status, total=steps)
        for mark, phase in _PHASES:
            if mark in line:
                self.status = replace(self.status, phase=phase)

    def _step(self, point: losses.Point) -> None:
        now = self._clock()
        if self._began is None:
            # Its own clock has whole seconds, and begins with the first step of this attempt.
            self._began = now - (point.elapsed or 0.0)
        done, taken = point.step - self._first, now - self._began
        left = taken / done * (point.total - point.step) if done > 0 else None
        last = self.status
        self.status = Status(
            phase="training" if point.step < point.total else last.phase,
            step=point.step,
            total=point.total,
            loss=last.loss if point.loss is None else point.loss,
            eval_loss=last.eval_loss if point.eval_loss is None else point.eval_loss,
            tokens_per_second=self._speed(now, point.tokens) or last.tokens_per_second,
            seconds_left=left,
        )

    def _speed(self, now: float, tokens: int | None) -> float | None:
        """Return tokens a second since the first line: a checkpoint's count includes older ones."""
        if tokens is None:
            return None
        if self._tokens is None:
            begun = self._began if self._first == 0 and self._began is not None else now
            self._tokens = (begun, 0 if self._first == 0 else tokens)
        since, before = self._tokens
        return (tokens - before) / (now - since) if now > since else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
