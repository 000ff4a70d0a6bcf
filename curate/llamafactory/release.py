"""LLaMA-Factory: whether it is here, what it lacks, and how it is started."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from curate.errors import UsageError

VERSION = "0.9.5"
STUB = Path(__file__).parent / "stub"
# What its text stages import on their way; it asks for more (sound, pictures, a web page) in its
# own metadata, and that brings gigabytes.
NEEDED = (
    *("torch", "transformers", "datasets", "accelerate", "peft", "trl", "omegaconf"),
    *("sentencepiece", "tiktoken", "fastapi", "uvicorn", "sse_starlette", "matplotlib"),
)
_COMPUTES = ("llamafactory", "torch", "transformers", "peft", "trl", "accelerate")


@dataclass(frozen=True)
class Backend:
    """A LLaMA-Factory that can be run."""

    python: str
    version: str
    stub: bool = False
    more: Mapping[str, str] = field(default_factory=dict)

    def command(self, verb: str, arguments: Sequence[str] = ()) -> list[str]:
        """Return the argument list that starts it."""
        return [self.python, "-m", "llamafactory.cli", verb, *arguments]

    @property
    def variables(self) -> dict[str, str]:
        """What its environment needs besides ours."""
        found = dict(self.more)
        # On several GPUs it starts `torchrun`, by that name.
        programs = str(Path(self.python).parent)
        before = os.environ.get("PATH", os.defpath)
        if programs not in before.split(os.pathsep):
            found["PATH"] = os.pathsep.join((programs, before))
        if self.stub:
            paths = [os.environ.get("PYTHONPATH", ""), str(STUB)]
            found["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        return found

    def versions(self) -> dict[str, str]:
        """Return the versions of Python and of what computes, as its environment has them."""
        found = {"python": platform.python_version(), **_versions_in(_packages(self.python))}
        return {**found, **_versions_in(sys.path, ("curatrain",))}


def missing() -> list[str]:
    """Return the modules that LLaMA-Factory's text stages need and that are not here."""
    return [each for each in ("llamafactory", *NEEDED) if importlib.util.find_spec(each) is None]


def find() -> Backend:
    """Return the LLaMA-Factory of this environment."""
    if lacking := missing():
        what = "is not installed" if "llamafactory" in lacking else f"lacks {', '.join(lacking)}"
        raise UsageError(f"LLaMA-Factory {what} in this environment; `train setup` installs it")
    version = importlib.metadata.version("llamafactory")
    if version != VERSION:
        raise UsageError(
            f"LLaMA-Factory {version} is installed, and its flags and data format differ from "
            f"release to release; this needs {VERSION}, which `train setup` installs"
        )
    return Backend(sys.executable, version, _needs_stub())


def _needs_stub() -> bool:
    """Return whether torchaudio is missing; our own stand-in may be in this process already."""
    found = importlib.util.find_spec("torchaudio")
    return found is None or (found.origin or "").startswith(str(STUB))


def _packages(python: str) -> list[str]:
    """Return where the packages of an interpreter lie: one of ours, or of an environment."""
    if python == sys.executable:
        return sys.path
    below = Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    return [str(Path(python).parent.parent / below)]


def _versions_in(paths: list[str], names: tuple[str, ...] = _COMPUTES) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        for each in importlib.metadata.distributions(name=name, path=paths):
            found.setdefault(name, each.version)
    return found
