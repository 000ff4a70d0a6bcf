"""bfloat16 or float32 on a CPU: measured once for a machine and a model, and kept.

Whether a CPU has instructions for bfloat16 does not say whether a step is quicker with them: that
hangs on the build of torch and on the model's widths. What was measured is kept, so that later
runs of a model, and those that go on, compute as the first did and can be compared.

As a program, `precision.py MODEL TOKENS lora|full RESULT.json`, this file measures. It runs with
LLaMA-Factory's interpreter, which may know nothing of curate: functions alone import that.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.llamafactory.release import Backend
    from curate.system.hardware import Hardware
    from train.config.model import Model

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
    from curate.system.cache import cache_dir
    from curate.system.files import write_text
    from curate.system.model_folder import weight_bytes

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
    from curate.system.cache import fingerprint
    from curate.system.hardware import cpu_info

    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = ""
    named = (line for line in cpu_info() if line.startswith("model name"))
    cpu = next(named, platform.processor())
    machine = (cpu, str(os.cpu_count()), torch, fingerprint(folder), str(lora), "as stored")
    return hashlib.sha256("|".join(machine).encode()).hexdigest()[:32]


def _measured(backend: Backend, folder: Path, lora: bool) -> dict[str, float] | None:
    """Return seconds of a step by precision, None where it failed or took too long."""
    from curate.system import programs

    with tempfile.TemporaryDirectory(prefix="curatrain-steps-") as scratch:
        result = Path(scratch) / "seconds.json"
        arguments = [
            *(backend.python, str(Path(__file__).resolve()), str(folder.resolve()), str(_TOKENS)),
            *("lora" if lora else "full", str(result)),
        ]
        variables = {**backend.variables, "HF_HUB_OFFLINE": "1"}
        child = programs.start(arguments, Path(scratch) / "log", variables)
        with programs.stopping(child, 5.0):
            code = child.wait(_LONGEST)
        if code != 0 or not result.is_file():
            return None
        seconds: dict[str, float] = json.loads(result.read_text(encoding="utf-8"))
        return seconds


def _step_seconds(folder: str, tokens: int, lora: bool, name: str) -> float:
    """Return the seconds of a step as LLaMA-Factory computes it on a CPU: the quicker of two.

    Weights that are not trained stay as they are in the files, all others are in float32, under
    autocast; a step before warms up.
    """
    torch, transformers, peft = map(importlib.import_module, ("torch", "transformers", "peft"))
    half = name == "bfloat16"
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, torch_dtype="auto")
    model = (model if lora else model.float()).train()
    if lora:
        config = peft.LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
        model = peft.get_peft_model(model, config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    ids = (torch.arange(tokens) % model.config.vocab_size)[None]
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        model.zero_grad()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


if __name__ == "__main__":
    _folder, _tokens, _method, _result = sys.argv[1:]
    _seconds = {
        name: _step_seconds(_folder, int(_tokens), _method == "lora", name)
        for name in ("float32", "bfloat16")
    }
    Path(_result).write_text(json.dumps(_seconds), encoding="utf-8")
