"""`train ls`."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console

if TYPE_CHECKING:
    from curate.system.run_record import RunRecord

_HEADER = ("run", "stage", "model", "data set", "steps", "loss", "state", "age")
_DEEPEST = 3  # folders below the one that is listed


def list_(
    saves: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("saves"),
    as_json: Annotated[bool, typer.Option("--json", help="The runs as one JSON line.")] = False,
) -> None:
    """List the runs of training, the newest first, and what came of them.

    Example: train ls
    """
    listed = _runs(saves)
    if not listed:
        console.say(f"no run of training is in {saves}; `train sft` makes one")
    else:
        on = console.stderr() if as_json else None
        console.show_table([_line(run, saves) for run in listed], _HEADER, on)
    for run in listed:
        if run.problem:
            console.say(run.problem)
        elif run.record is not None and run.record.error:
            console.say(f"{run.folder}: {run.record.error}")
    if as_json:
        entries = [_entry(run) for run in listed]
        typer.echo(json.dumps({"runs": entries}, ensure_ascii=False))


@dataclass(frozen=True)
class _Listed:
    """A run, as its folder tells; without a record where that cannot be read, with the reason."""

    folder: Path
    age: float  # seconds since its record was last written
    record: RunRecord | None
    state: str  # `running` only if a process is training into it now
    problem: str = ""


def _runs(folder: Path) -> list[_Listed]:
    """Return the runs below a folder, the newest first."""
    from curate.errors import DataError
    from curate.system.run_record import RUN, read_run
    from train.run.run import is_running

    runs = []
    patterns = ["*/" * depth + RUN for depth in range(_DEEPEST + 1)]
    for path in (path for pattern in patterns for path in folder.glob(pattern)):
        age = max(0.0, time.time() - path.stat().st_mtime)
        try:
            record = read_run(path.parent)
        except DataError as error:
            runs.append(_Listed(path.parent, age, None, "unreadable", str(error)))
            continue
        assert record is not None
        # Whoever is killed outright cannot say so any more.
        stopped = record.state == "running" and not is_running(path.parent)
        runs.append(_Listed(path.parent, age, record, "stopped" if stopped else record.state))
    return sorted(runs, key=lambda run: run.age)


def _line(run: _Listed, saves: Path) -> list[Any]:
    name = str(run.folder.relative_to(saves)) if run.folder != saves else run.folder.name
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    unit, size = next((u for u in units if run.age >= u[1]), units[-1])
    age, record = f"{run.age / size:.0f} {unit}", run.record
    if record is None:
        return [name, "", "", "", 0, "", run.state, age]
    first, last = record.loss.get("first"), record.loss.get("last")
    loss = "" if first is None or last is None else f"{first:.3f} to {last:.3f}"
    data_set = record.dataset.get("name", "")
    return [name, record.stage, record.model, data_set, record.steps, loss, run.state, age]


def _entry(run: _Listed) -> dict[str, Any]:
    record = run.record.as_json() if run.record is not None else {"error": run.problem}
    return {"folder": str(run.folder), "age": round(run.age, 1), **record, "state": run.state}
