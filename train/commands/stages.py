"""`train pt|sft|rm|ppo|dpo|kto`, and `train run`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate import console
from curate.commands.options import AsJson
from curate.commands.with_options import spreading, with_options
from curate.errors import UsageError
from train.config.plan import Request

if TYPE_CHECKING:
    from curate.system.run_record import RunRecord
    from train.config.plan import Plan
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


def add_to(app: typer.Typer) -> None:
    """Add the six commands, and `run`."""
    for stage in _ABOUT:
        app.command(stage, cls=spreading("--dataset"))(_command(stage))
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
        _show_plan(prepare(request, console.say), as_json)
        return
    from train import setup
    from train.run import run

    setup.backend_of(request.stage)
    plan = prepare(request, console.say)
    if request.overwrite:
        run.clear(plan.output)
    console.say(f"training: {plan.steps:,} steps, into {plan.output}")
    _show_result(run.run(plan, request.resume), plan.output)


def _show_plan(plan: Plan, as_json: bool) -> None:
    """Print the YAML and the command; redirected to a file, it is what LLaMA-Factory takes."""
    from train.config.plan import to_yaml

    start = ["llamafactory-cli", "train", str(plan.config_file)]
    if not as_json:
        typer.echo(to_yaml(plan.config), nl=False)
        before = {**plan.launching, **plan.variables}
        words = [f"{name}={value}" for name, value in before.items()]
        typer.echo(f"# {shlex.join([*words, *start])}")
        return
    answer = {"stage": plan.stage, "name": plan.output.name, "config": dict(plan.config)}
    console.answer(answer | {"steps": plan.steps, "command": start, "notes": list(plan.notes)})


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
    console.say(f"done: {record.steps:,} steps in {duration}, {_change(record)}")
    number = len(record.weights)
    files = f"{number} weight files" if number > 1 else "".join(record.weights)
    weights = record.adapter["file"] if record.adapter else files
    # LLaMA-Factory draws it where a loss was logged.
    picture = ", training_loss.png" if (folder / "training_loss.png").is_file() else ""
    console.say(f"{weights}{picture} and run.json: {folder}")
    console.answer({"folder": folder, **record.as_json()})


def _change(record: RunRecord) -> str:
    first, last = record.loss.get("first"), record.loss.get("last")
    if first is None or last is None:
        return "no loss was logged"
    # Of fewer steps a fifth is one.
    more = "" if record.steps < 10 else " (means of the first and of the last fifth)"
    began, ended = record.loss.get("eval_first"), record.loss.get("eval")
    if began is not None and ended is not None:
        more += f"; on rows held out {began:.4f} to {ended:.4f}"
    return f"loss {first:.4f} to {last:.4f}{more}"


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
