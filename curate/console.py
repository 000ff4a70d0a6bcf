"""What the commands show: progress on stderr, tables, errors with their exit code."""

from __future__ import annotations

import functools
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

from curate.errors import CuratrainError
from curate.notebook.wording import in_python

if TYPE_CHECKING:
    from rich.console import Console

EVERY_SECONDS, _CELL_SECONDS = 30.0, 0.2
_INTERRUPTED = 130
_AS_JSON = ContextVar("as_json", default=False)


@functools.cache
def stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def stdout() -> Console:
    """Return the console of results; stderr's where stdout is to hold one JSON object."""
    return stderr() if _AS_JSON.get() else _stdout()


@functools.cache
def _stdout() -> Console:
    from rich.console import Console

    # 100 columns where the output is no terminal.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 100)


@contextmanager
def answering(as_json: bool) -> Iterator[None]:
    """Run a command with --json, whose tables go to stderr, or without."""
    before = _AS_JSON.set(as_json)
    try:
        yield
    finally:
        _AS_JSON.reset(before)


def answer(value: object) -> None:
    """End stdout with a JSON object, where --json asks for it; paths are text."""
    if _AS_JSON.get():
        import typer

        typer.echo(json.dumps(value, ensure_ascii=False, default=os.fspath))


def in_kernel() -> bool:
    """Tell whether this runs in the kernel of a notebook, whose cells show what is displayed."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def is_lively() -> bool:
    """Tell whether a line on stderr can change; one of a cell's `!curate` stays in the notebook."""
    return stderr().is_terminal and "JPY_PARENT_PID" not in os.environ


def say(text: str) -> None:
    """Write one line to stderr, as it is: nothing in it is markup."""
    if in_kernel():
        from IPython.display import display

        display({"text/plain": in_python(text)}, raw=True)
        return
    stderr().print(text, markup=False, emoji=False, soft_wrap=True)


def show_table(
    lines: Sequence[Sequence[object]], header: Sequence[str] = (), on: Console | None = None
) -> None:
    """Print a table; whole numbers get separators and stand to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD if header else None, show_header=bool(header))
    for place, cell in enumerate(lines[0] if lines else header):
        number = isinstance(cell, int | float)
        name = header[place] if header else ""
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for line in lines:
        table.add_row(*(Text(_shown(cell)) for cell in line))
    (on or stdout()).print(table)


def _shown(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.4f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


def size(number: int) -> str:
    """Return a number of bytes for people: 0, 4 kB, 1.2 MB, 3.4 GB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number} B" if number else "0"


def count_lines(counts: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return how many rows went where, and with how many tokens where these were counted."""
    lines: list[tuple[str, int]] = [("read", counts["read"]), ("scored", counts["scored"])]
    lines += [(f"dropped: {reason}", rows) for reason, rows in counts["dropped"].items()]
    lines.append(("kept", counts["kept"]))
    if tokens := counts.get("tokens"):
        lines.append((f"tokens of responses read, by {tokens['by']}", tokens["read"]))
        lines.append(("tokens of responses kept", tokens["kept"]))
    return lines


class Bar:
    """One progress bar on a terminal: share, rows/s, time left."""

    def __init__(self, doing: str = "scoring") -> None:
        from rich import progress

        # Batches differ in length: time left is by tokens, of which each costs about the same.
        self._progress = progress.Progress(
            doing,
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeRemainingColumn(elapsed_when_finished=True),
            console=stderr(),
            speed_estimate_period=120,
        )

    def start(self, rows: int, total: int, done: int) -> None:
        if total > done:
            self._progress.start()
            self._rows = rows / total  # a token
            self._task = self._progress.add_task("", total=total, completed=done, rate="? rows/s")

    def advance(self, tokens: int) -> None:
        self._progress.advance(self._task, tokens)
        (task,) = self._progress.tasks
        if speed := task.finished_speed or task.speed:
            self._progress.update(self._task, rate=f"{speed * self._rows:,.1f} rows/s")

    def stop(self) -> None:
        self._progress.stop()


class Lines:
    """Progress without a terminal: a line every 30 seconds."""

    def __init__(self, every: float = EVERY_SECONDS, doing: str = "scoring") -> None:
        self._every, self._doing = every, doing

    def start(self, rows: int, total: int, done: int) -> None:
        self._rows, self._total, self._done = rows, max(1, total), done
        self._first, self._began = done, time.monotonic()
        self._last = self._began

    def advance(self, tokens: int) -> None:
        self._done += tokens
        now = time.monotonic()
        if now - self._last >= self._every:
            self._last = now
            speed = max(1e-9, (self._done - self._first) / (now - self._began))
            left = (self._total - self._done) / speed
            self._show(
                f"{self._doing}: {self._done / self._total:.0%}, "
                f"{speed * self._rows / self._total:,.1f} rows/s, "
                + (f"{left / 60:.0f} min left" if left >= 60 else f"{left:.0f} s left")
            )

    def _show(self, line: str) -> None:
        say(line)

    def stop(self) -> None:
        """Nothing to tidy up."""


class CellLine(Lines):
    """Progress in a notebook: one line that changes, and is gone at the end."""

    def __init__(self, doing: str = "scoring") -> None:
        super().__init__(_CELL_SECONDS, doing)
        self._line: Any = None

    def start(self, rows: int, total: int, done: int) -> None:
        super().start(rows, total, done)
        if total > done:
            from IPython.display import display

            self._line = display(self._as_data(f"{self._doing} …"), raw=True, display_id=True)

    def _as_data(self, line: str) -> dict[str, str]:
        share = f"<progress max='1' value='{self._done / self._total:.4f}'></progress>"
        return {"text/html": f"{share} {line}", "text/plain": line}

    def _show(self, line: str) -> None:
        self._line.update(self._as_data(line), raw=True)

    def stop(self) -> None:
        if self._line is not None:
            self._line.update({"text/html": "", "text/plain": ""}, raw=True)
        self._line = None


def progress(doing: str = "scoring") -> Bar | Lines:
    if in_kernel():
        return CellLine(doing)
    return Bar(doing) if is_lively() else Lines(doing=doing)


def run(main: Callable[[], object]) -> None:
    """Run a command and end the process: 0, its own exit code, 2 for what a user can put right."""
    from typer import Abort
    from typer.exceptions import TyperException

    try:
        code = main()
        if code == _INTERRUPTED:  # typer has caught Ctrl-C itself
            raise KeyboardInterrupt
        sys.stdout.flush()
        sys.exit(code if isinstance(code, int) else 0)
    except CuratrainError as error:
        if error.exit_code == _INTERRUPTED:  # what was stopped on purpose is no error
            say(str(error))
            sys.exit(_INTERRUPTED)
        _fail(str(error), error.exit_code)
    except TyperException as error:
        if not error.format_message():  # `curate ranker` alone has shown its help
            sys.exit(0)
        context = getattr(error, "ctx", None)
        more = f"; `{context.command_path} --help` shows what is allowed" if context else ""
        _fail(f"{error.format_message().rstrip('.')}{more}")
    except (KeyboardInterrupt, Abort):
        say("stopped; give the same command again and it goes on from here")
        sys.exit(_INTERRUPTED)
    except (BrokenPipeError, SystemExit) as error:
        # Who reads our output has left: `curate models | head` is no error. Click and rich make
        # an exit of it before we hear of it.
        if not any(isinstance(e, BrokenPipeError) for e in (error, error.__context__)):
            raise
        _drop_stdout()
        sys.exit(0)
    except OSError as error:
        _drop_stdout()
        where = f" {error.filename}" if error.filename else ""
        _fail(
            f"cannot read or write{where}: {error.strerror or error}; see that the disk has room "
            "and that the folder is yours, then give the same command again"
        )


def _fail(message: str, code: int = 2) -> NoReturn:
    """Say what went wrong in one line, whatever the line breaks of its parts, and end."""
    say(f"error: {' '.join(line.strip() for line in message.splitlines() if line.strip())}")
    sys.exit(code)


def _drop_stdout() -> None:
    """Let Python's own flush at the end go nowhere instead of failing once more."""
    with suppress(io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
