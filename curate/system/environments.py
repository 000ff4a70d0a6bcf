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
from curate.system import programs
from curate.system.cache import cache_dir
from curate.system.failure import reason_in

_READY = ".ready"
_LOG = "install.log"
_QUIET = ("--disable-pip-version-check", "--no-input")
_GB = 1e9


@dataclass(frozen=True)
class Environment:
    name: str  # of its folder
    purpose: str  # as a user would say it
    steps: tuple[tuple[str, ...], ...]  # what `pip install` is given, one call after the other
    imports: tuple[str, ...]  # modules that have to be importable in the end
    variables: Mapping[str, str] = field(default_factory=dict)  # set while pip runs
    gigabytes: float = 4.0  # on the disk
    remove: tuple[str, ...] = ()  # what pip takes out again: asked for, and does not work here


def folder(environment: Environment) -> Path:
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
        if (known := python(environment)) is not None:
            return known
        shutil.rmtree(place, ignore_errors=True)
        _check_room(environment, place.parent)
        log = place.parent / f"{environment.name}.{_LOG}"
        log.unlink(missing_ok=True)
        what = f"the environment '{environment.name}' could not be built: "
        say(f"what pip says goes to {log}")
        for command in commands(environment):
            say(shlex.join(without_flags(command)))
            install_step(command, log, environment.variables, what)
        say(f"checking that {', '.join(environment.imports)} can be imported")
        imports = "; ".join(f"import {module}" for module in environment.imports)
        interpreter = place / "bin" / "python"
        install_step([str(interpreter), "-c", imports], log, environment.variables, what)
        (place / _READY).write_text(_fingerprint(environment), encoding="ascii")
    return interpreter


def commands(environment: Environment) -> list[list[str]]:
    place = folder(environment)
    own = str(place / "bin" / "python")
    install = [list(pip_install(own, *step)) for step in environment.steps]
    uninstall = [own, "-m", "pip", "uninstall", *_QUIET, "--yes", *environment.remove]
    making = [sys.executable, "-m", "venv", str(place)]
    return [making, *install, *([uninstall] if environment.remove else [])]


def pip_install(python: str, *requirements: str) -> tuple[str, ...]:
    return (python, "-m", "pip", "install", *_QUIET, *requirements)


def without_flags(command: Sequence[str]) -> list[str]:
    """Return a command of pip as people know it."""
    return [word for word in command[2:] if word not in _QUIET]


def install_step(
    command: Sequence[str], log: Path, variables: Mapping[str, str] | None = None, what: str = ""
) -> None:
    child = programs.start(command, log, variables)
    with programs.stopping(child):
        code = child.wait()
    if code:
        raise OutputError(
            f"{what}{reason_in(log)} (all output: {log}). Put it right and give the command again"
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
    deciding = json.dumps([steps, dict(environment.variables), sys.version_info[:2]])
    return hashlib.sha256(deciding.encode()).hexdigest()
