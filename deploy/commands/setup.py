"""`deploy setup`."""

from __future__ import annotations

import shlex
import time
from typing import Annotated

import typer
from typer import Argument, Option

from curate import console
from curate.errors import UsageError, did_you_mean


def setup(
    name: Annotated[str, Argument(metavar="vllm|gptq|eval", help="What to install.")],
    dry_run: Annotated[bool, Option("--dry-run", help="Print the commands; run nothing.")] = False,
    as_json: Annotated[bool, Option("--json", help="End stdout with one JSON object.")] = False,
) -> None:
    """Build the environment of vLLM, GPTQ or lm-evaluation-harness in the cache folder.

    vLLM and GPTQ exclude the versions that training needs, so each gets its own,
    some gigabytes large; the harness adds what is missing to what is here. In
    the end it is tried whether it can be imported.

    Example: deploy setup gptq
    """
    from curate.system import environments
    from deploy.engines import vllm
    from deploy.exam import harness
    from deploy.quantizing import gptq

    known = {"vllm": vllm.environment, "gptq": gptq.environment, "eval": harness.environment}
    if name not in known:
        near = did_you_mean(name, known)
        allowed = f"Allowed are {', '.join(known)}"
        raise UsageError(f"deploy setup {name}: no such environment.{near} {allowed}")
    wanted = known[name]()
    place = environments.folder(wanted)
    there = environments.python(wanted) is not None
    began = time.monotonic()
    if dry_run:
        typer.echo(f"# {wanted.purpose}: {place}, about {wanted.gigabytes:g} GB", err=as_json)
        for key, value in wanted.variables.items():
            typer.echo(f"export {key}={shlex.quote(value)}", err=as_json)
        for command in environments.commands(wanted):
            typer.echo(shlex.join(command), err=as_json)
    elif there:
        console.say(f"{name} is built already: {place}. To build it anew, remove that folder")
    else:
        console.say(f"building {name} ({wanted.purpose}): about {wanted.gigabytes:g} GB in {place}")
        environments.build(wanted, console.say)
        console.say(f"{name} is ready after {time.monotonic() - began:,.0f} s: {place}")
    built = environments.python(wanted) is not None
    console.answer({"name": name, "folder": place, "built": built, "new": built and not there})
