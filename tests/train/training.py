"""Real trainings: data sets that curate has emitted, and the command `train` in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
SAMPLES = ROOT / "mixtures" / "samples"
PAIRS = ROOT / "tests" / "fixtures" / "doctor"
# Rows of each data set: those that are in the repository, which are real ones.
EMITTED = {
    "instructions": ("select", "--recipe", "random", "--keep", "64", SAMPLES / "alpaca_en.json"),
    "texts": ("select", "--recipe", "random", "--keep", "24", SAMPLES / "c4.jsonl"),
    "pairs": ("dedup", PAIRS / "dpo_en_demo.json"),
    "verdicts": ("dedup", PAIRS / "kto_en_demo.json"),
}
# So small that a step takes about a second on two cores.
SMALL = {
    "cutoff_len": 128,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "logging_steps": 1,
    "val_size": 0,
    "load_best_model_at_end": False,
}


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code.
        out: What it printed.
        err: Likewise, to stderr.
    """

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """Its last line, which --json makes an object."""
        assert self.code == 0, self.err
        return json.loads(self.out.splitlines()[-1])


def emit(folder: Path) -> Path:
    """Emit every data set into a folder with curate itself; return the folder."""
    for name, (recipe, *options, source) in EMITTED.items():
        command = [sys.executable, "-m", "curate", recipe, *options, "--input", source]
        command += ["--output", folder, "--name", name]
        subprocess.run([str(each) for each in command], check=True, capture_output=True)
    return folder


def arguments(stage: str, dataset: str, output: str, *more: str, **settings: Any) -> list[str]:
    """Return the command line of a small training."""
    pairs = {**SMALL, "save_steps": 1, **settings}
    sets = [part for key, value in pairs.items() for part in ("--set", f"{key}={value}")]
    command = [sys.executable, "-m", "train", stage, "--dataset", dataset, "--output", output]
    # So small a cutoff cuts most rows, which is meant here.
    return [*command, *sets, "--yes", "--json", *more]


def train(folder: Path, command: list[str]) -> Ended:
    """Run a training in a folder and wait for it."""
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=_own())
    return Ended(run.returncode, run.stdout, run.stderr)


def start(folder: Path, command: list[str]) -> subprocess.Popen[str]:
    """Start a training in a folder."""
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_own(),
        start_new_session=True,
    )


def _own() -> dict[str, str]:
    # The project is found from any folder; LLaMA-Factory asks no network for anything here.
    return {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def wait_for(running: subprocess.Popen[str], happened: Callable[[], bool], seconds: float) -> None:
    """Wait until something has happened while a training runs."""
    until = time.monotonic() + seconds
    while not happened():
        if running.poll() is not None:
            raise AssertionError(f"it ended before: {running.communicate()}")
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def processes_in(folder: Path) -> list[int]:
    """Return the processes whose working folder this is."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                here = (each / "cwd").readlink()
                state = (each / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if here == folder and state not in "ZX":
                found.append(int(each.name))
    return found
