"""`train pt|sft|rm|ppo|dpo|kto`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate import console

if TYPE_CHECKING:
    from train.checking.prepare import Request
    from train.planning.plan import Plan

Dataset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Registered data set; several: A,B.",
        show_default="the newest that fits",
    ),
]
DatasetDir = Annotated[Path, typer.Option(help="Folder of dataset_info.json.")]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="M",
        help="A name of `curate models`, a directory, a run to go on from, or a hub id.",
        show_default="smollm2",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of the run.", show_default="saves/DATASET_STAGE"),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any key of LLaMA-Factory 0.9.5; wins."),
]
Preset = Annotated[
    str,
    typer.Option(
        metavar="auto|tutorial|quick",
        help="The medical recipe, or one of minutes on a CPU; auto: by what trains.",
    ),
]
Method = Annotated[
    str, typer.Option(metavar="lora|qlora|full", help="An adapter, one on 4 bits, or all weights.")
]
Template = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="LLaMA-Factory's; own: the tokenizer's.",
        show_default="the model's",
    ),
]
Seed = Annotated[int, typer.Option(help="For everything that is drawn.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the YAML and the command, start nothing.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in the folder.")]
Force = Annotated[
    bool, typer.Option("--force", help="Try it though the memory seems to be too little.")
]
Yes = Annotated[
    bool,
    typer.Option("--yes", help="Train though half of the rows lose their prompt or are cut."),
]
AsJson = Annotated[bool, typer.Option("--json", help="End stdout with one JSON object.")]
RewardModel = Annotated[
    Path | None,
    typer.Option(
        "--reward",
        metavar="DIR",
        help="Run of `train rm`.",
        show_default="the newest in saves",
    ),
]
_WHAT = {
    "pt": "Continue pre-training on texts, packed into blocks.",
    "sft": "Fine-tune on instructions and their responses.",
    "rm": "Train a reward model on pairs of a better and a worse response.",
    "ppo": "Train against a reward model: after `train rm`, in an environment of its own.",
    "dpo": "Train on pairs of a better and a worse response, without a reward model.",
    "kto": "Train on responses with a verdict each, good or bad.",
}
_EXAMPLES = {
    "pt": "train pt --dataset books --preset tutorial",
    "sft": "train sft --dataset huatuo_ifd --set learning_rate=1e-4",
    "rm": "train rm --dataset dpo_zh_fixed --model saves/huatuo_ifd_sft",
    "ppo": "train ppo --model saves/huatuo_ifd_sft --reward saves/dpo_zh_fixed_rm",
    "dpo": "train dpo --dataset dpo_zh_fixed --model saves/huatuo_ifd_sft",
    "kto": "train kto --dataset kto_en_demo_fixed --dry-run",
}


def command(stage: str) -> Callable[..., None]:
    """Return the function of a stage's command line.

    Args:
        stage: pt, sft, rm, dpo or kto.
    """

    def run(
        dataset: Dataset = None,
        dataset_dir: DatasetDir = Path("data"),
        model: Model = None,
        output: Output = None,
        set_: Set = None,
        preset: Preset = "auto",
        method: Method = "lora",
        template: Template = None,
        seed: Seed = 0,
        dry_run: DryRun = False,
        resume: Resume = False,
        overwrite: Overwrite = False,
        force: Force = False,
        yes: Yes = False,
        as_json: AsJson = False,
    ) -> None:
        from train.checking.prepare import Request

        request = Request(
            *(stage, dataset, dataset_dir, model, output, tuple(set_ or ())),
            preset=preset,
            method=method,
            template=template,
            seed=seed,
            resume=resume,
            overwrite=overwrite,
            force=force,
            yes=yes,
            dry=dry_run,
        )
        _train(request, as_json)

    run.__doc__ = _help(stage)
    return run


def ppo(
    dataset: Dataset = None,
    dataset_dir: DatasetDir = Path("data"),
    model: Model = None,
    reward_model: RewardModel = None,
    output: Output = None,
    set_: Set = None,
    preset: Preset = "auto",
    method: Method = "lora",
    template: Template = None,
    seed: Seed = 0,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Train against a reward model."""
    from train.checking.prepare import Request

    request = Request(
        *("ppo", dataset, dataset_dir, model, output, tuple(set_ or ())),
        preset=preset,
        method=method,
        template=template,
        seed=seed,
        reward_model=reward_model,
        overwrite=overwrite,
        force=force,
        yes=yes,
        dry=dry_run,
    )
    _train(request, as_json)


def _help(stage: str) -> str:
    return (
        f"{_WHAT[stage]}\n\nWhat is not given is chosen and said: the newest data set that fits, "
        "the bundled model, settings by the size of the data and by this machine.\n\n"
        f"Example: {_EXAMPLES[stage]}"
    )


ppo.__doc__ = _help("ppo")


def _train(request: Request, as_json: bool) -> None:
    """Plan a training, then show it or run it."""
    from train.checking.prepare import prepare

    if request.dry:
        _show(prepare(request, console.say), as_json)
        return
    from train import backends
    from train.checking import preflight
    from train.commands import finishing
    from train.running import run

    backends.find(request.stage)
    plan = prepare(request, console.say)
    if request.overwrite:
        preflight.clear(plan.output)
    console.say(f"training: {plan.steps:,} steps, into {plan.output}")
    finishing.show(run.run(plan, request.resume), plan.output, as_json)


def _show(plan: Plan, as_json: bool) -> None:
    """Print the YAML and the command; redirected to a file, it is what LLaMA-Factory takes."""
    from train.planning.plan import to_yaml

    command = ["llamafactory-cli", "train", str(plan.config_file)]
    if not as_json:
        typer.echo(to_yaml(plan.config), nl=False)
        typer.echo(f"# {' '.join(command)}")
        return
    told = {"stage": plan.stage, "name": plan.name, "config": dict(plan.config)}
    answer = {**told, "steps": plan.steps, "command": command, "notes": list(plan.notes)}
    typer.echo(json.dumps(answer, ensure_ascii=False))


def add_to(app: typer.Typer) -> None:
    """Add the six commands.

    Args:
        app: Of `train`.
    """
    for stage in _WHAT:
        app.command(stage)(ppo if stage == "ppo" else command(stage))
