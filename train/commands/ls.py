"""`train ls`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console

if TYPE_CHECKING:
    from train.running.listing import Listed

_HEADER = ("run", "stage", "model", "data set", "steps", "loss", "state", "age")


def list_(
    saves: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("saves"),
    as_json: Annotated[bool, typer.Option("--json", help="The runs as one JSON line.")] = False,
) -> None:
    """List the runs of training, the newest first, and what came of them.

    Example: train ls
    """
    from train.running.listing import runs

    found = runs(saves)
    if not found:
        console.say(f"no run of training is in {saves}; `train sft` makes one")
    else:
        on = console.stderr() if as_json else None
        console.show_table([_line(each, saves) for each in found], _HEADER, on)
    for each in found:
        if each.problem:
            console.say(each.problem)
        elif each.record is not None and each.record.error:
            console.say(f"{each.folder}: {each.record.error}")
    if as_json:
        told = [_entry(each) for each in found]
        typer.echo(json.dumps({"runs": told}, ensure_ascii=False))


def _line(run: Listed, saves: Path) -> list[Any]:
    name = str(run.folder.relative_to(saves)) if run.folder != saves else run.folder.name
    if run.record is None:
        return [name, "", "", "", 0, "", run.state, _age(run.age)]
    made = run.record
    first, last = made.loss.get("first"), made.loss.get("last")
    loss = "" if first is None or last is None else f"{first:.3f} to {last:.3f}"
    return [
        *(name, made.stage, made.model, made.dataset["name"]),
        *(made.steps, loss, run.state, _age(run.age)),
    ]


def _age(seconds: float) -> str:
    """Return about how long ago something was, in its largest unit."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _entry(run: Listed) -> dict[str, Any]:
    made = run.record.as_json() if run.record is not None else {"error": run.problem}
    return {"folder": str(run.folder), "age": round(run.age, 1), **made, "state": run.state}
