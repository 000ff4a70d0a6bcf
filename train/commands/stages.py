"""`train pt|sft|rm|ppo|dpo|kto`, `train run`, and `train ls`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import SAVES, AsJson, refuse_missing
from curate.commands.with_options import add, with_options
from curate.errors import UsageError
from curate.parameters.option import option
from curate.system.run_record import FoundRun, RunRecord, runs_below
from train.config.plan import Request, to_yaml

if TYPE_CHECKING:
    from train.run.progress import Point

_ABOUT = {
    "pt": "Continue pre-training on texts, packed into blocks.",
    "sft": "Fine-tune on instructions and their responses.",
    "rm": "Train a reward model on pairs of a better and a worse response.",
    "ppo": "Train against a reward model: after `train rm`, in an environment of its own.",
    "dpo": "Train on pairs of a better and a worse response, without a reward model.",
    "kto": "Train on responses with a verdict each, good or bad.",
}
_EXAMPLES = {
    "pt": "--dataset books --preset tutorial",
    "sft": "--dataset huatuo_ifd --set learning_rate=1e-4",
    "rm": "--dataset dpo_zh_fixed --model saves/huatuo_ifd_sft",
    "ppo": "--model saves/huatuo_ifd_sft --reward saves/dpo_zh_fixed_rm",
    "dpo": "--dataset dpo_zh_fixed --model saves/huatuo_ifd_sft",
    "kto": "--dataset kto_en_demo_fixed --dry-run",
}
# Options of a stage that do not choose what the config of `train run` says.
_OF_RUN = ("pairs", "output", "dry_run", "resume", "overwrite", "force", "yes")
_SHOWN = 12  # lines of the table; a run of thousands of steps tells as much in a dozen
_COLUMNS = {
    **{"loss": ("loss", ".4f"), "eval_loss": ("eval loss", ".4f"), "reward": ("reward", ".4f")},
    **{"accuracy": ("accuracy", ".4f"), "lr": ("learning rate", ".2e"), "epoch": ("epoch", ".2f")},
}
_UNREADABLE = "unreadable"
_LS = ("run", "stage", "model", "data set", "steps", "loss", "state", "age")
_LATELY = 86_400.0  # seconds; what failed before is not told again and again


def add_to(app: typer.Typer) -> None:
    """Add the six commands, and `run`."""
    for stage in _ABOUT:
        add(app, stage, _command(stage))
    names = [field.name for field in fields(Request) if field.name not in _OF_RUN]
    app.command()(with_options(run, names))


def _command(stage: str) -> Callable[..., None]:
    def command(request: Request, as_json: AsJson = False) -> None:
        train(replace(request, stage=stage), as_json)

    command.__doc__ = (
        f"{_ABOUT[stage]}\n\nWhat is not given is chosen and said: the newest data set that fits, "
        "the bundled model, settings by the size of the data and by this machine.\n\n"
        f"Example: train {stage} {_EXAMPLES[stage]}"
    )
    # ppo cannot be gone on with, and it alone asks a reward model.
    return with_options(command, ("stage", "variables", "resume" if stage == "ppo" else "reward"))


def run(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG.yaml",
            help="A YAML of LLaMA-Factory, or -- and a whole command line of it.",
        ),
    ],
    request: Request,
    as_json: AsJson = False,
) -> None:
    """Train by a YAML or a command line that was written for LLaMA-Factory.

    It is checked, shown, run and recorded as every other training; nothing of it is chosen here.

    Example: train run -- CUDA_VISIBLE_DEVICES=0 llamafactory-cli train my.yaml
    """
    from train.config.pasted import request_of

    try:
        pasted, notes = request_of(words, request.pairs or ())
        for note in notes:
            console.say(f"note: {note}")
        options = {name: getattr(request, name) for name in _OF_RUN[1:]}
        options["output"] = request.output or pasted.output
        options["overwrite"] |= pasted.overwrite and not request.resume
        train(replace(pasted, **options), as_json)
    except UsageError as error:
        if request.pairs:
            raise
        raise UsageError(str(error).replace("--set ", "")) from error  # it stands in the YAML


def train(request: Request, as_json: bool) -> None:
    """Plan a training, then show it or run it."""
    from train.checks.prepare import prepare

    if request.dry_run:
        plan = prepare(request, console.say)
        start = ["llamafactory-cli", "train", str(plan.config_file)]
        if not as_json:
            # Redirected to a file, it is what LLaMA-Factory takes.
            typer.echo(to_yaml(plan.config), nl=False)
            before = {**plan.launching, **plan.variables}
            words = [f"{name}={value}" for name, value in before.items()]
            typer.echo(f"# {shlex.join([*words, *start])}")
            return
        answer = {"stage": plan.stage, "name": plan.output.name, "config": dict(plan.config)}
        console.answer(answer | {"steps": plan.steps, "command": start, "notes": list(plan.notes)})
        return
    from train import setup
    from train.run import run

    setup.backend_of(request.stage)
    plan = prepare(request, console.say)
    if request.overwrite:
        run.clear(plan.output)
    console.say(f"training: {plan.steps:,} steps, into {plan.output}")
    _show_result(run.run(plan, request.resume), plan.output)


def _show_result(record: RunRecord, folder: Path) -> None:
    """Print the losses and where the run lies; with --json its record as one line, too."""
    from train.run import progress

    points = progress.read(folder)
    if points:
        header, lines = _table(points)
        console.show_table(lines, header)
        if len(points) > len(lines):
            log = folder / progress.STEPS
            console.say(f"{len(lines)} of {len(points):,} logged steps: {log}")
    duration = progress.clock(record.seconds)
    first, last = record.loss.get("first"), record.loss.get("last")
    change = "no loss was logged"
    if first is not None and last is not None:
        # Of fewer steps a fifth is one.
        more = "" if record.steps < 10 else " (means of the first and of the last fifth)"
        began, ended = record.loss.get("eval_first"), record.loss.get("eval")
        if began is not None and ended is not None:
            more += f"; on rows held out {began:.4f} to {ended:.4f}"
        change = f"loss {first:.4f} to {last:.4f}{more}"
    console.say(f"done: {record.steps:,} steps in {duration}, {change}")
    number = len(record.weights)
    files = f"{number} weight files" if number > 1 else "".join(record.weights)
    weights = record.adapter["file"] if record.adapter else files
    # LLaMA-Factory draws it where a loss was logged.
    picture = ", training_loss.png" if (folder / "training_loss.png").is_file() else ""
    console.say(f"{weights}{picture} and run.json: {folder}")
    console.answer({"folder": folder, **record.as_json()})


def _table(points: Sequence[Point], most: int = _SHOWN) -> tuple[list[str], list[list[Any]]]:
    """Return header and lines of some points, evenly spaced, with the columns that are filled."""
    last = len(points) - 1
    spaced = sorted({round(place * last / (most - 1)) for place in range(most)})
    shown = list(points) if len(points) <= most else [points[place] for place in spaced]
    names = [name for name in _COLUMNS if any(point.get(name) is not None for point in shown)]

    def cell(point: Point, name: str) -> str:
        return "" if point.get(name) is None else format(point[name], _COLUMNS[name][1])

    lines = [[point["current_steps"], *(cell(point, name) for name in names)] for point in shown]
    return ["step", *(_COLUMNS[name][0] for name in names)], lines


@with_options
def list_(saves: Path = option(SAVES, "Folder of the runs."), as_json: AsJson = False) -> None:
    """List the runs of training, the newest first, and what came of them.

    Example: train ls
    """
    from rich.console import Console

    refuse_missing("--saves", saves, SAVES)
    entries = list(map(_entry, runs_below(saves)))
    if not entries:
        console.say(f"no run of training is in {saves}; `train sft` makes one")
    else:
        stream, is_wide = sys.stderr if as_json else sys.stdout, not sys.stdout.isatty()
        # What reads a pipe takes names whole.
        on = Console(file=stream, highlight=False, width=1000 if is_wide else None)
        console.show_table([_line(entry, saves) for entry in entries], _LS, on)
    failed = [entry for entry in entries if entry["error"]]
    for entry in failed:
        if entry["state"] == _UNREADABLE:
            console.say(entry["error"])
        elif entry["age"] < _LATELY:
            console.say(f"{entry['folder']}: {entry['error']}")
    older = [e for e in failed if e["age"] >= _LATELY and e["state"] != _UNREADABLE]
    if older:
        console.say(f"{len(older)} failed more than a day ago; `train ls --json` tells why")
    console.answer({"runs": entries})


def _entry(run: FoundRun) -> dict[str, Any]:
    from train.run.progress import steps_done
    from train.run.run import is_running

    entry: dict[str, Any] = {"folder": run.folder}
    entry["age"] = round(max(0.0, time.time() - run.changed), 1)
    if run.record is None:
        return entry | {"error": run.problem, "state": _UNREADABLE}
    entry |= run.record.as_json()
    if entry["state"] != "done":
        entry["steps"] = max(entry["steps"], steps_done(run.folder))
    # Whoever is killed outright cannot say so any more.
    if entry["state"] == "running" and not is_running(run.folder):
        entry["state"] = "stopped"
    return entry


def _line(entry: dict[str, Any], saves: Path) -> list[Any]:
    folder, model = entry["folder"], Path(entry.get("model", ""))
    name = folder.name if folder == saves else str(folder.relative_to(saves))
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    unit, size = next((u for u in units if entry["age"] >= u[1]), units[-1])
    first, last = (entry.get("loss", {}).get(end) for end in ("first", "last"))
    loss = "" if first is None or last is None else f"{first:.3f} to {last:.3f}"
    shown = model.name if model.is_absolute() else entry.get("model", "")
    data_set, steps = entry.get("dataset", {}).get("name", ""), entry.get("steps", 0)
    age = f"{entry['age'] / size:.0f} {unit}"
    return [name, entry.get("stage", ""), shown, data_set, steps, loss, entry["state"], age]
