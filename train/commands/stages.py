"""`train pt|sft|rm|ppo|dpo|kto`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from curate import console
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
_SHOWN = 12  # lines of the table; a run of thousands of steps tells as much in a dozen
_COLUMNS = {
    **{"loss": ("loss", ".4f"), "eval_loss": ("eval loss", ".4f"), "reward": ("reward", ".4f")},
    **{"accuracy": ("accuracy", ".4f"), "lr": ("learning rate", ".2e"), "epoch": ("epoch", ".2f")},
}


def add_to(app: typer.Typer) -> None:
    """Add the six commands."""
    for stage in _ABOUT:
        app.command(stage)(_command(stage))


def _command(stage: str) -> Callable[..., None]:
    """Return the function of a stage's command line: its options are the fields of Request."""

    def run(as_json: bool, **options: Any) -> None:
        _train(Request(stage=stage, **options), as_json)

    # ppo cannot be gone on with, and it alone asks a reward model.
    left_out = ("stage", "resume" if stage == "ppo" else "reward")
    as_json = Annotated[bool, typer.Option("--json", help="End stdout with one JSON object.")]
    hints = {**get_type_hints(Request, include_extras=True), "as_json": as_json}
    defaults = {field.name: field.default for field in fields(Request)} | {"as_json": False}
    parameters = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hints[name])
        for name, default in defaults.items()
        if name not in left_out
    ]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    run.__doc__ = (
        f"{_ABOUT[stage]}\n\nWhat is not given is chosen and said: the newest data set that fits, "
        "the bundled model, settings by the size of the data and by this machine.\n\n"
        f"Example: train {stage} {_EXAMPLES[stage]}"
    )
    return run


def _train(request: Request, as_json: bool) -> None:
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
    _show_result(run.run(plan, request.resume), plan.output, as_json)


def _show_plan(plan: Plan, as_json: bool) -> None:
    """Print the YAML and the command; redirected to a file, it is what LLaMA-Factory takes."""
    from train.config.plan import to_yaml

    start = ["llamafactory-cli", "train", str(plan.config_file)]
    if not as_json:
        typer.echo(to_yaml(plan.config), nl=False)
        typer.echo(f"# {' '.join(start)}")
        return
    answer: dict[str, Any] = {"stage": plan.stage, "name": plan.output.name}
    answer["config"] = dict(plan.config)
    answer |= {"steps": plan.steps, "command": start, "notes": list(plan.notes)}
    typer.echo(json.dumps(answer, ensure_ascii=False))


def _show_result(record: RunRecord, folder: Path, as_json: bool) -> None:
    """Print the losses and where the run lies; with --json its record as one line, too."""
    from train.run import progress

    points = progress.read(folder)
    if points:
        header, lines = _table(points)
        console.show_table(lines, header, console.stderr() if as_json else None)
        if len(points) > len(lines):
            log = folder / progress.STEPS
            console.say(f"{len(lines)} of {len(points):,} logged steps: {log}")
    duration = progress.clock(record.seconds)
    console.say(f"done: {record.steps:,} steps in {duration}, {_change(record)}")
    weights = record.adapter["file"] if record.adapter else f"{len(record.weights)} weight files"
    # LLaMA-Factory draws it where a loss was logged.
    picture = ", training_loss.png" if (folder / "training_loss.png").is_file() else ""
    console.say(f"{weights}{picture} and run.json: {folder}")
    if as_json:
        answer = {"folder": str(folder), **record.as_json()}
        typer.echo(json.dumps(answer, ensure_ascii=False))


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
