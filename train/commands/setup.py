"""`train setup`."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from curate import console
from curate.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from train.setup import Setup

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
    told = _ppo(dry_run) if part == "ppo" else _main(dry_run)
    if as_json:
        typer.echo(json.dumps({"part": part, **told}, ensure_ascii=False))


def _main(dry_run: bool) -> dict[str, object]:
    from curate.llamafactory import backend as llamafactory
    from train import setup as installing
    from train.planning.hardware import detect

    found = installing.plan(detect())
    _tell(found)
    commands = [list(each) for each in found.commands] if found.needed else []
    told = {"version": llamafactory.VERSION, "missing": list(found.missing), "commands": commands}
    if dry_run:
        _show(commands)
        return {**told, "ready": not found.needed}
    if found.needed:
        installing.check_place()
        installing.install(found, console.say)
    else:
        installing.verify(console.say)
    console.say(f"LLaMA-Factory {llamafactory.VERSION} is ready; `train sft` trains")
    return {**told, "ready": True}


def _tell(found: Setup) -> None:
    if found.missing:
        console.say(f"missing here: {', '.join(found.missing)}")
    if found.wrong:
        console.say(f"LLaMA-Factory {found.wrong} is here, and another is needed")
    if found.needed:
        console.say(found.why)


def _ppo(dry_run: bool) -> dict[str, object]:
    from curate.system import environments
    from train import backends

    environment = backends.ppo()
    ready = environments.python(environment) is not None
    commands = [] if ready else environments.commands(environment)
    told: dict[str, object] = {"version": backends.PPO_VERSION, "commands": commands}
    if dry_run:
        if ready:
            console.say("the environment of ppo is there already")
        _show(commands)
        return {**told, "ready": ready}
    if not ready:
        console.say(
            f"building the environment of {environment.purpose}: about "
            f"{environment.gigabytes:.0f} GB, some minutes"
        )
    environments.build(environment, console.say)
    console.say(f"ppo is ready: LLaMA-Factory {backends.PPO_VERSION}; `train ppo` trains")
    return {**told, "ready": True}


def _show(commands: list[list[str]]) -> None:
    for command in commands:
        typer.echo(shlex.join(command))
