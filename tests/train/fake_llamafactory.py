"""Stands in for LLaMA-Factory where a test is about the child process and not about training.

`at` puts it where `python -m llamafactory.cli` finds it; the YAML's key `fake` says what it does.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from curate.llamafactory.release import Backend
from train import setup

PROGRAM = """
import json, os, signal, subprocess, sys, time
from pathlib import Path
import numpy as np, yaml
from safetensors.numpy import save_file

config = yaml.safe_load(Path(sys.argv[-1]).read_text())
folder = Path(config["output_dir"])
first = int(config.get("resume_from_checkpoint", "-0").rpartition("-")[2])
print("***** Running training *****", flush=True)
for step in range(first + 1, 7):
    told = {"current_steps": step, "total_steps": 6, "loss": 7.0 - step, "elapsed_time": "0:00:01"}
    with (folder / "trainer_log.jsonl").open("a") as stream:
        stream.write(json.dumps(told) + "\\n")
    if step == 3 and "fake" in config and not first:
        break
fake = config.get("fake") if not first else None
if fake == "raise":
    raise ValueError("learning_rate should be a number")
if fake == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if fake == "hang":
    signal.signal(signal.SIGTERM, signal.SIG_IGN) if config.get("stubborn") else None
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (folder / "pids").write_text(f"{os.getpid()} {worker.pid}")
    time.sleep(60)
if fake != "nothing":
    save_file({"x": np.zeros(1)}, folder / "adapter_model.safetensors")
"""


def at(folder: Path) -> Backend:
    """Write it below a folder, and return a backend that runs it."""
    package = folder / "fake" / "llamafactory"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "cli.py").write_text(PROGRAM)
    return Backend(sys.executable, "0", more={"PYTHONPATH": str(package.parent)})


def instead(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let it be found as the backend of every stage."""
    backend = at(folder)
    monkeypatch.setattr(setup, "backend_of", lambda _: backend)
