"""What of LLaMA-Factory is missing in this environment, and how it gets here."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from curate.errors import UsageError
from curate.llamafactory import backend as llamafactory
from curate.system.environments import install_step
from train.planning.hardware import Hardware

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
_IMPORTED = "import llamafactory.train.tuner"
_LOG = "setup.log"
_PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input")


@dataclass(frozen=True)
class Setup:
    """What has to be done to this environment.

    Attributes:
        missing: Modules that are not here.
        wrong: LLaMA-Factory's version, where it is another than the one needed.
        commands: That put it right, in order; none if all is there.
        why: Which recipe it is.
    """

    missing: tuple[str, ...]
    wrong: str | None
    commands: tuple[tuple[str, ...], ...]
    why: str

    @property
    def needed(self) -> bool:
        """Whether anything has to be done."""
        return bool(self.missing or self.wrong)


def plan(hardware: Hardware) -> Setup:
    """Return what is missing here, and the commands that install it."""
    missing = tuple(llamafactory.missing())
    wrong = None
    if "llamafactory" not in missing:
        there = importlib.metadata.version("llamafactory")
        wrong = there if there != llamafactory.VERSION else None
    pip = (sys.executable, *_PIP)
    whole = f"llamafactory=={llamafactory.VERSION}"
    if hardware.kind == "cuda":
        why = f"for {hardware.name}: the whole of it"
        return Setup(missing, wrong, ((*pip, whole),), why)
    why = "for the CPU: torch stays as it is, and of what LLaMA-Factory asks for, what texts need"
    commands = ((*pip, *_torch(), *TEXT_ONLY), (*pip, "--no-deps", whole))
    return Setup(missing, wrong, commands, why)


def _torch() -> tuple[str, ...]:
    """Return the very torch that is here, so that pip never exchanges it."""
    try:
        return (f"torch=={importlib.metadata.version('torch')}",)
    except importlib.metadata.PackageNotFoundError:
        return ("torch",)


def check_place() -> None:
    """Refuse to install into a Python that others use."""
    conda = os.environ.get("CONDA_PREFIX")
    own = sys.prefix != sys.base_prefix or (conda is not None and Path(conda) == Path(sys.prefix))
    if not own:
        raise UsageError(
            f"train setup installs into a virtual environment only, and {sys.executable} is the "
            "system's Python; make one and install curatrain there: python3 -m venv .venv && "
            ".venv/bin/pip install curatrain && .venv/bin/train setup"
        )
    if importlib.util.find_spec("pip") is None:
        raise UsageError(
            f"there is no pip in the environment of {sys.executable}; `python -m ensurepip` puts "
            "it there, or install by hand what `train setup --dry-run` shows"
        )


def install(found: Setup, say: Callable[[str], None]) -> None:
    """Install what is missing, and see that LLaMA-Factory can be imported."""
    log = Path(tempfile.mkdtemp(prefix="train-setup-")) / _LOG
    for command in found.commands:
        say(f"pip install {shlex.join(command[len(_PIP) + 1 :])}")
        install_step(command, log)
    verify(say, log)


def verify(say: Callable[[str], None], log: Path | None = None) -> None:
    """See in a process of its own that LLaMA-Factory's trainers can be imported."""
    log = log or Path(tempfile.mkdtemp(prefix="train-setup-")) / _LOG
    say("checking that its trainers can be imported")
    backend = llamafactory.find()
    install_step((backend.python, "-c", _IMPORTED), log, backend.variables)
