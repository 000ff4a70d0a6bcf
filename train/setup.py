"""`train setup`, and LLaMA-Factory for training: which one runs a stage, how it gets here."""

from __future__ import annotations

import hashlib
import importlib.metadata
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from curate import console
from curate.commands.options import AsJson
from curate.commands.with_options import with_options
from curate.errors import UsageError, did_you_mean
from curate.llamafactory import release as llamafactory
from curate.llamafactory.release import VERSION, Backend
from curate.system import environments
from curate.system.environments import Environment, install_step, pip_install
from curate.system.hardware import Hardware, detect
from curate.system.model_folder import CONFIG, TOKENIZER_CONFIG, for_older_readers

# The last release whose PPO runs: 0.9.5 asks for trl <= 0.9.6 there and cannot be run with it.
PPO_VERSION = "0.9.3"
_PARTS = ("main", "ppo")
# What its text stages import, in the ranges that LLaMA-Factory 0.9.5 states. It asks for sound,
# pictures and a web page, too, which bring gigabytes and, beside a torch for CPUs, break.
TEXT_ONLY = (
    "accelerate>=1.3.0,<=1.11.0",
    "datasets>=2.16.0,<=4.0.0",
    "fastapi",
    "matplotlib>=3.7.0",
    "omegaconf",
    "peft>=0.18.0,<=0.18.1",
    "sentencepiece",
    "sse-starlette",
    "tiktoken",
    # LLaMA-Factory's own main branch has left out 5.6.0, a broken release.
    "transformers>=4.57,!=5.6.0,<5.6.0",
    "trl>=0.18.0,<=0.24.0",
    "uvicorn",
)


@with_options
def setup(
    part: Annotated[
        str,
        typer.Argument(metavar="[ppo]", help="ppo: its environment, apart.", show_default=False),
    ] = "main",
    dry_run: Annotated[bool, typer.Option(help="Show the commands and run none.")] = False,
    as_json: AsJson = False,
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
    answer: dict[str, Any] = {"part": part}
    if part == "ppo":
        apart = ppo_environment()
        ready = environments.python(apart) is not None
        answer |= {
            "version": PPO_VERSION,
            "commands": [] if ready else environments.commands(apart),
        }
        if dry_run and ready:
            console.say("the environment of ppo is there already")
        elif not ready and not dry_run:
            size = f"about {apart.gigabytes:.0f} GB, some minutes"
            console.say(f"building the environment of {apart.purpose}: {size}")
        if not dry_run:
            environments.build(apart, console.say)
            console.say(f"ppo is ready: LLaMA-Factory {PPO_VERSION}; `train ppo` trains")
    else:
        lacking = needed(detect())
        for line in lacking.lines:
            console.say(line)
        answer |= {"version": VERSION, "missing": lacking.missing, "commands": lacking.commands}
        if not dry_run:
            install(lacking.commands, console.say)
            console.say(f"LLaMA-Factory {VERSION} is ready; `train sft` trains")
    for command in answer["commands"] if dry_run else ():
        typer.echo(shlex.join(command))
    console.answer({**answer, "ready": not dry_run or not answer["commands"]})


def backend_of(stage: str) -> Backend:
    """Return the LLaMA-Factory that runs a stage: this environment's, or an older one for ppo."""
    if stage != "ppo":
        return llamafactory.find()
    environment = ppo_environment()
    python = environments.python(environment)
    if python is None:
        raise UsageError(
            f"ppo runs in LLaMA-Factory {PPO_VERSION}, which needs an environment of its own "
            "(2.3 GB); `train setup ppo` builds it"
        )
    # What newer releases of datasets keep in their cache, its release cannot read.
    more = {"HF_DATASETS_CACHE": str(environments.folder(environment) / "datasets")}
    return Backend(str(python), PPO_VERSION, more=more)


def ppo_environment() -> Environment:
    # Its own requirements name no build of torch; without the one that is here, pip would take the
    # newest for GPUs on a machine that has none.
    torch = _torch().partition("+")[0]
    return Environment(
        name="ppo",
        purpose=f"ppo, in LLaMA-Factory {PPO_VERSION}",
        steps=((torch, f"llamafactory=={PPO_VERSION}", "pyarrow<22"),),
        imports=("torch", "llamafactory.train.tuner", "trl"),
        gigabytes=3.0,
    )


def readable_by_ppo(model: Path) -> Path:
    """Return a folder of the model that the older transformers of ppo reads rightly.

    What transformers 5 saves names a tokenizer class that older ones refuse, and keeps the base of
    the rotary positions where they do not look: they would compute with another, and say nothing.
    """
    name = hashlib.sha256(str(model.resolve()).encode()).hexdigest()[:16]
    folder = environments.folder(ppo_environment()) / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in model.iterdir():
        if path.name in (CONFIG, TOKENIZER_CONFIG):
            shutil.copyfile(path, folder / path.name)
        elif path.is_file():
            (folder / path.name).symlink_to(path.resolve())
    if for_older_readers(folder):
        return folder
    shutil.rmtree(folder)
    return model


@dataclass(frozen=True)
class Needed:
    """What is missing of LLaMA-Factory here, told in lines, and the commands that mend it."""

    missing: tuple[str, ...]
    lines: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]


def needed(hardware: Hardware) -> Needed:
    """Return what is missing here, and the commands that install it; none if all is there."""
    missing = tuple(llamafactory.missing())
    installed = VERSION if "llamafactory" in missing else importlib.metadata.version("llamafactory")
    lines = [f"missing here: {', '.join(missing)}"] if missing else []
    if installed != VERSION:
        lines.append(f"LLaMA-Factory {installed} is here, and another is needed")
    if not lines:
        return Needed((), (), ())
    whole = f"llamafactory=={VERSION}"
    if hardware.kind == "cuda":
        lines.append(f"for {hardware.name}: the whole of it")
        return Needed(missing, tuple(lines), (pip_install(sys.executable, whole),))
    lines.append(
        "for the CPU: torch stays as it is, and of what LLaMA-Factory asks for, what texts need"
    )
    texts = pip_install(sys.executable, _torch(), *TEXT_ONLY)
    commands = (texts, pip_install(sys.executable, "--no-deps", whole))
    return Needed(missing, tuple(lines), commands)


def _torch() -> str:
    """Return the very torch that is here, so that pip never exchanges it."""
    try:
        return f"torch=={importlib.metadata.version('torch')}"
    except importlib.metadata.PackageNotFoundError:
        return "torch"


def install(commands: tuple[tuple[str, ...], ...], say: Callable[[str], None]) -> None:
    """Install what is missing, and see in another process that the trainers can be imported."""
    log = Path(tempfile.mkdtemp(prefix="train-setup-")) / "setup.log"
    for command in commands:
        say(shlex.join(environments.without_flags(command)))
        install_step(command, log)
    say("checking that its trainers can be imported")
    backend = llamafactory.find()
    install_step((backend.python, "-c", "import llamafactory.train.tuner"), log, backend.variables)
