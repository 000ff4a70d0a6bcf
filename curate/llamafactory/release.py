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
    python: str
    version: str
    stub: bool = False
    more: Mapping[str, str] = field(default_factory=dict)

    def command(self, verb: str, arguments: Sequence[str] = ()) -> list[str]:
        return [self.python, "-m", "llamafactory.cli", verb, *arguments]

    @property
    def variables(self) -> dict[str, str]:
        variables = dict(self.more)
        # On several GPUs it starts `torchrun`, by that name.
        programs = str(Path(self.python).parent)
        before = os.environ.get("PATH", os.defpath)
        if programs not in before.split(os.pathsep):
            variables["PATH"] = os.pathsep.join((programs, before))
        if self.stub:
            paths = [os.environ.get("PYTHONPATH", ""), str(STUB)]
            variables["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
        return variables

    def versions(self) -> dict[str, str]:
        """Return the versions of Python and of what computes, as its environment has them."""
        below = Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
        ours = self.python == sys.executable
        paths = sys.path if ours else [str(Path(self.python).parent.parent / below)]
        versions = {"python": platform.python_version()}
        for name, where in [*((name, paths) for name in _COMPUTES), ("curatrain", sys.path)]:
            for distribution in importlib.metadata.distributions(name=name, path=where):
                versions.setdefault(name, distribution.version)
        return versions


def missing() -> list[str]:
    """Return the modules that LLaMA-Factory's text stages need and that are not here."""
    return [name for name in ("llamafactory", *NEEDED) if importlib.util.find_spec(name) is None]


def find() -> Backend:
    if lacking := missing():
        what = "is not installed" if "llamafactory" in lacking else f"lacks {', '.join(lacking)}"
        raise UsageError(f"LLaMA-Factory {what} in this environment; `train setup` installs it")
    version = importlib.metadata.version("llamafactory")
    if version != VERSION:
        raise UsageError(
            f"LLaMA-Factory {version} is installed, and its flags and data format differ from "
            f"release to release; this needs {VERSION}, which `train setup` installs"
        )
    # Our own stand-in for torchaudio may be in this process already.
    sound = importlib.util.find_spec("torchaudio")
    needs_stub = sound is None or (sound.origin or "").startswith(str(STUB))
    return Backend(sys.executable, version, needs_stub)
