"""bfloat16 or float32 on a CPU: measured once for a machine and a model, and kept.

Whether a CPU has instructions for bfloat16 does not say whether a step is quicker with them: that
hangs on the build of torch and on the model's widths. What was measured is kept, so that later
runs of a model, and those that go on, compute as the first did and can be compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from curate.llamafactory.release import Backend
from curate.system import process
from curate.system.cache import cache_dir, fingerprint
from curate.system.files import write_text
from curate.system.hardware import Hardware, cpu_info
from curate.system.model_folder import weight_bytes
from train.config.model import Model

TWO_STEPS = Path(__file__).parent / "two_steps.py"
_TOKENS = 256
_LONGEST = 300.0  # seconds
# The model twice over in float32, and activations.
_ROOM = 3


@dataclass(frozen=True)
class Precision:
    """What a CPU trains a model in, and why: by seconds of a step in each, where measured."""

    bf16: bool
    sentence: str
    seconds: Mapping[str, float] = field(default_factory=dict)


def choose(
    model: Model,
    lora: bool,
    hardware: Hardware,
    find_backend: Callable[[], Backend] | None,
    say: Callable[[str], None],
) -> Precision:
    """Return what this machine trains a model in: as measured before, else measured now."""
    name = "bfloat16" if hardware.bf16 else "float32"
    by_flags = Precision(hardware.bf16, f"{name}, as the CPU's flags say; it was not measured")
    folder = Path(model.path) if Path(model.path).is_dir() else model.folder
    if folder is None or not (folder / "config.json").is_file():
        return by_flags
    path = cache_dir() / "precision" / f"{_key(folder, lora)}.json"
    if path.is_file():
        return _quicker(json.loads(path.read_text(encoding="utf-8")))
    needed = _ROOM * weight_bytes(folder)
    if find_backend is None or not needed or needed > hardware.memory:
        return by_flags
    say("precision: two steps in float32 and two in bfloat16 are measured, once for this model …")
    seconds = _measured(find_backend(), folder, lora)
    if seconds is None:
        return Precision(False, "float32: measuring failed; --set bf16=true trains in bfloat16")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(seconds), shared=True)
    return _quicker(seconds)


def _quicker(seconds: Mapping[str, float]) -> Precision:
    name = min(sorted(seconds, reverse=True), key=lambda key: seconds[key])
    times = " and ".join(f"{seconds[key]:.2f} s in {key}" for key in sorted(seconds))
    sentence = f"{name}: a step of {_TOKENS} tokens takes {times} here"
    return Precision(name == "bfloat16", sentence, seconds)


def _key(folder: Path, lora: bool) -> str:
    """Return what decides how long a step takes: the machine, torch, and the model."""
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = ""
    named = (line for line in cpu_info() if line.startswith("model name"))
    cpu = next(named, platform.processor())
    machine = (cpu, str(os.cpu_count()), torch, fingerprint(folder), str(lora))
    return hashlib.sha256("|".join(machine).encode()).hexdigest()[:32]


def _measured(backend: Backend, folder: Path, lora: bool) -> dict[str, float] | None:
    """Return seconds of a step by precision, None where it failed or took too long."""
    with tempfile.TemporaryDirectory(prefix="curatrain-steps-") as scratch:
        result = Path(scratch) / "seconds.json"
        arguments = [
            *(backend.python, str(TWO_STEPS.resolve()), str(folder.resolve()), str(_TOKENS)),
            *("lora" if lora else "full", str(result)),
        ]
        variables = {**backend.variables, "HF_HUB_OFFLINE": "1"}
        child = process.start(arguments, Path(scratch) / "log", variables)
        with process.stopping(child, 5.0):
            code = child.wait(_LONGEST)
        if code != 0 or not result.is_file():
            return None
        seconds: dict[str, float] = json.loads(result.read_text(encoding="utf-8"))
        return seconds
