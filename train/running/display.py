"""Progress of a training on stderr: a bar on a terminal, a line every so often elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from curate import console
from train.running.follow import Status

EVERY_SECONDS = 15.0


class Display(Protocol):
    """Shows where a training stands."""

    def show(self, status: Status) -> None:
        """Show it, if there is anything new."""

    def stop(self) -> None:
        """Leave what was shown last."""


def choose() -> Display:
    """Return the display that fits where stderr goes."""
    there = console.stderr()
    return Bar() if there.is_terminal or there.is_jupyter else Lines()


def told(status: Status) -> str:
    """Return where a training stands as one line.

    Example:
        >>> told(Status("training", 3, 30, 1.5, None, 312.0, 80.0))
        'step 3 of 30, loss 1.5000, 312 tokens/s, 1:20 left'
    """
    if not status.step and not status.total:
        return status.phase
    parts = [f"step {status.step:,} of {status.total:,}" if status.total else status.phase]
    if status.phase not in ("training", "starting") or not status.step:
        parts.append(status.phase)
    parts += _numbers(status)
    if status.seconds_left is not None and status.step < status.total:
        parts.append(f"{clock(status.seconds_left)} left")
    return ", ".join(parts)


def _numbers(status: Status) -> list[str]:
    parts = []
    if status.loss is not None:
        parts.append(f"loss {status.loss:.4f}")
    if status.eval_loss is not None:
        parts.append(f"eval loss {status.eval_loss:.4f}")
    if status.tokens_per_second is not None:
        parts.append(f"{status.tokens_per_second:,.0f} tokens/s")
    return parts


def clock(seconds: float) -> str:
    """Return seconds as h:mm:ss, or m:ss below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Bar:
    """One bar on a terminal or in a notebook."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[numbers]}"),
            console=console.stderr(),
        )
        self._task = self._progress.add_task("starting", total=None, numbers="")
        self._progress.start()

    def show(self, status: Status) -> None:
        """Move the bar."""
        words = told(status).split(", ")
        self._progress.update(
            self._task,
            description=words[0],
            completed=status.step,
            total=status.total or None,
            numbers="  ".join(words[1:]),
        )

    def stop(self) -> None:
        """Leave the bar as it is."""
        self._progress.stop()


class Lines:
    """A line for each new phase, and one for steps every so often."""

    def __init__(
        self, every: float = EVERY_SECONDS, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._every, self._now = every, now
        self._last = Status(phase="")
        self._when = now() - every

    def show(self, status: Status) -> None:
        """Write a line if there is something to tell and it is time."""
        last, now = self._last, self._now()
        moved = (status.step, status.loss, status.eval_loss) != (
            last.step,
            last.loss,
            last.eval_loss,
        )
        ended = moved and status.step == status.total
        if status.phase != last.phase or ended or (moved and now - self._when >= self._every):
            self._last, self._when = status, now
            console.say(f"  {told(status)}")

    def stop(self) -> None:
        """Nothing to tidy up."""
