"""Isolated Python environments for programs whose requirements exclude each other.

vLLM, GPTQModel and the LLaMA-Factory that can still do PPO want other versions of torch and
transformers than everything else; each gets an environment in the cache folder.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from curate.errors import OutputError
from curate.system import process
from curate.system.cache import cache_dir
from curate.system.failure import reason_in

_READY = ".ready"
_LOG = "install.log"
_QUIET = ("--disable-pip-version-check", "--no-input")
_GB = 1e9


@dataclass(frozen=True)
class Environment:
    """How an environment is built.

    Attributes:
        name: Its folder.
        purpose: What it is for, as a user would say it.
        steps: What `pip install` is given, one call after the other.
        imports: Modules that have to be importable in the end.
        variables: Set while pip runs.
        gigabytes: What it takes on the disk.
        remove: What pip takes out again in the end: packages asked for that do not work here.
    """

    name: str
    purpose: str
    steps: tuple[tuple[str, ...], ...]
    imports: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    gigabytes: float = 4.0
    remove: tuple[str, ...] = ()


def folder(environment: Environment) -> Path:
    """Return where an environment lies, built or not."""
    return cache_dir() / "environments" / environment.name


def python(environment: Environment) -> Path | None:
    """Return the interpreter of an environment; None if it is not built, or by other steps."""
    place = folder(environment)
    ready = place / _READY
    if ready.is_file() and ready.read_text(encoding="ascii").strip() == _fingerprint(environment):
        return place / "bin" / "python"
    return None


def build(environment: Environment, say: Callable[[str], None]) -> Path:
    """Build an environment unless it is there, and return its interpreter.

    What was half built before is built anew.
    """
    place = folder(environment)
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.parent / f".{environment.name}.lock"):
        if (found := python(environment)) is not None:
            return found
        shutil.rmtree(place, ignore_errors=True)
        _check_room(environment, place.parent)
        log = place.parent / f"{environment.name}.{_LOG}"
        log.unlink(missing_ok=True)
        say(f"what pip says goes to {log}")
        for arguments in commands(environment):
            say(shlex.join(without_flags(arguments)))
            _run(arguments, log, environment)
        say(f"checking that {', '.join(environment.imports)} can be imported")
        _run(_import(environment), log, environment)
        (place / _READY).write_text(_fingerprint(environment), encoding="ascii")
    return place / "bin" / "python"


def commands(environment: Environment) -> list[list[str]]:
    """Return what build() runs, in order."""
    place = folder(environment)
    own = str(place / "bin" / "python")
    pip = [own, "-m", "pip"]
    found = [[sys.executable, "-m", "venv", str(place)]]
    found += [list(pip_install(own, *step)) for step in environment.steps]
    if environment.remove:
        found.append([*pip, "uninstall", *_QUIET, "--yes", *environment.remove])
    return found


def pip_install(python: str, *requirements: str) -> tuple[str, ...]:
    """Return the command that installs into an interpreter's environment."""
    return (python, "-m", "pip", "install", *_QUIET, *requirements)


def without_flags(command: Sequence[str]) -> list[str]:
    """Return a command of pip as people know it."""
    return [word for word in command[2:] if word not in _QUIET]


def install_step(
    command: Sequence[str], log: Path, variables: Mapping[str, str] | None = None, what: str = ""
) -> None:
    """Run one step of an installation to its end."""
    child = process.start(command, log, variables)
    with process.stopping(child):
        code = child.wait()
    if code:
        raise OutputError(
            f"{what}{reason_in(log)} (all output: {log}). Put it right and give the command again"
        )


def _import(environment: Environment) -> list[str]:
    own = str(folder(environment) / "bin" / "python")
    return [own, "-c", "; ".join(f"import {each}" for each in environment.imports)]


def _run(arguments: list[str], log: Path, environment: Environment) -> None:
    install_step(
        arguments,
        log,
        environment.variables,
        f"the environment '{environment.name}' could not be built: ",
    )


def _check_room(environment: Environment, parent: Path) -> None:
    free = shutil.disk_usage(parent).free / _GB
    if free < environment.gigabytes:
        raise OutputError(
            f"the environment '{environment.name}' takes about {environment.gigabytes:.1f} GB, and "
            f"{parent} has {free:.1f} GB free. Make room, or name another place with "
            "CURATRAIN_CACHE"
        )


def _fingerprint(environment: Environment) -> str:
    steps = [*environment.steps, *([["-", *environment.remove]] if environment.remove else [])]
    told = json.dumps([steps, dict(environment.variables), sys.version_info[:2]])
    return hashlib.sha256(told.encode()).hexdigest()
