"""`train setup`."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any

import typer

from curate import console
from curate.errors import UsageError, did_you_mean

_PARTS = ("main", "ppo")


def setup(
    part: Annotated[
        str,
        typer.Argument(metavar="[ppo]", help="ppo: its environment, apart.", show_default=False),
    ] = "main",
    dry_run: Annotated[bool, typer.Option(help="Show the commands and run none.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The answer as one JSON line.")] = False,
) -> None:
    """Install LLaMA-Factory, which trains, into this environment.

    What is missing is said first. On a CPU torch stays as it is, and only
    what texts need comes with it; for GPUs all of it comes.

    `train setup ppo` builds an environment of its own in the cache folder:
    ppo runs in an older LLaMA-Factory that excludes all else.

    Example: train setup --dry-run
    """
    if part not in _PARTS:
        raise UsageError(
            f"train setup {part}: allowed are nothing, or ppo.{did_you_mean(part, _PARTS)}"
        )
    answer = _ppo(dry_run) if part == "ppo" else _main(dry_run)
    for command in answer["commands"] if dry_run else ():
        typer.echo(shlex.join(command))
    if as_json:
        typer.echo(json.dumps({"part": part, **answer}, ensure_ascii=False))


def _main(dry_run: bool) -> dict[str, Any]:
    from curate.llamafactory.release import VERSION
    from curate.system.hardware import detect
    from train import setup as llamafactory

    needed = llamafactory.needed(detect())
    for line in needed.lines:
        console.say(line)
    answer = {"version": VERSION, "missing": needed.missing, "commands": needed.commands}
    if dry_run:
        return {**answer, "ready": not needed.commands}
    if needed.commands:
        llamafactory.check_place()
    llamafactory.install(needed.commands, console.say)
    console.say(f"LLaMA-Factory {VERSION} is ready; `train sft` trains")
    return {**answer, "ready": True}


def _ppo(dry_run: bool) -> dict[str, Any]:
    from curate.system import environments
    from train.setup import PPO_VERSION, ppo_environment

    environment = ppo_environment()
    ready = environments.python(environment) is not None
    commands = [] if ready else environments.commands(environment)
    answer = {"version": PPO_VERSION, "commands": commands}
    if dry_run and ready:
        console.say("the environment of ppo is there already")
    if dry_run:
        return {**answer, "ready": ready}
    if not ready:
        console.say(
            f"building the environment of {environment.purpose}: about "
            f"{environment.gigabytes:.0f} GB, some minutes"
        )
    environments.build(environment, console.say)
    console.say(f"ppo is ready: LLaMA-Factory {PPO_VERSION}; `train ppo` trains")
    return {**answer, "ready": True}
