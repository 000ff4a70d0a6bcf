"""`train ls`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from curate import console
from curate.commands.options import SAVES, AsJson, refuse_missing
from curate.commands.with_options import with_options
from curate.parameters.option import option
from curate.system.run_record import FoundRun, RunRecord, runs_below

_HEADER = ("run", "stage", "model", "data set", "steps", "loss", "state", "age")
_LATELY = 86_400.0  # seconds; what failed before is not told again and again


@with_options
def list_(
    saves: Path = option(SAVES, "Folder of the runs."),
    as_json: AsJson = False,
) -> None:
    """List the runs of training, the newest first, and what came of them.

    Example: train ls
    """
    refuse_missing("--saves", saves, SAVES)
    listed = runs_below(saves)
    if not listed:
        console.say(f"no run of training is in {saves}; `train sft` makes one")
    else:
        stream, is_wide = sys.stderr if as_json else sys.stdout, not sys.stdout.isatty()
        # What reads a pipe takes names whole.
        on = Console(file=stream, highlight=False, width=1000 if is_wide else None)
        console.show_table([_line(run, saves) for run in listed], _HEADER, on)
    older = 0
    for run in listed:
        error = run.record.error if run.record is not None else None
        if run.problem:
            console.say(run.problem)
        elif error and time.time() - run.changed < _LATELY:
            console.say(f"{run.folder}: {error}")
        older += bool(error) and time.time() - run.changed >= _LATELY
    if older:
        console.say(f"{older} failed more than a day ago; `train ls --json` tells why")
    entries = []
    for run in listed:
        record = run.record.as_json() if run.record is not None else {"error": run.problem}
        record |= {"steps": _steps(run)} if run.record is not None else {}
        age = round(max(0.0, time.time() - run.changed), 1)
        entries.append({"folder": run.folder, "age": age, **record, "state": _state(run)})
    console.answer({"runs": entries})


def _state(run: FoundRun) -> str:
    from train.run.run import is_running

    if run.record is None:
        return "unreadable"
    # Whoever is killed outright cannot say so any more.
    stopped = run.record.state == "running" and not is_running(run.folder)
    return "stopped" if stopped else run.record.state


def _steps(run: FoundRun) -> int:
    from train.run.progress import steps_done

    record = run.record or RunRecord()
    return record.steps if record.state == "done" else max(record.steps, steps_done(run.folder))


def _line(run: FoundRun, saves: Path) -> list[Any]:
    name = str(run.folder.relative_to(saves)) if run.folder != saves else run.folder.name
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    seconds = max(0.0, time.time() - run.changed)
    unit, size = next((u for u in units if seconds >= u[1]), units[-1])
    age, record = f"{seconds / size:.0f} {unit}", run.record
    if record is None:
        return [name, "", "", "", 0, "", _state(run), age]
    first, last = record.loss.get("first"), record.loss.get("last")
    loss = "" if first is None or last is None else f"{first:.3f} to {last:.3f}"
    data_set = record.dataset.get("name", "")
    model = Path(record.model).name if Path(record.model).is_absolute() else record.model
    return [name, record.stage, model, data_set, _steps(run), loss, _state(run), age]
