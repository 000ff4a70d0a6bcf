"""Train a model in the middle of a recipe: one epoch on a few rows, through the command `train`.

The folder of the run is named after all that decides the model, so a run that is there is the one
that is wanted: a finished one is taken as it is, one that was cut short is continued.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from curate.console import say
from curate.errors import OutputError, UsageError
from curate.llamafactory import release as llamafactory
from curate.llamafactory.dataset_info import FILE
from curate.models.resolve import adapter_fingerprint, files_of, fingerprint, fingerprint_of
from curate.recipes.model_scores import called
from curate.system.cache import cache_dir
from curate.system.manifest import read_manifest
from curate.system.model_folder import ADAPTER_WEIGHTS, is_adapter
from curate.system.programs import new_lines, start, stopping
from curate.system.run_record import RUN, RunRecord, read_run

# The published recipes train one epoch; what happens in between is no result of its own.
ONE_EPOCH = ("num_train_epochs=1", "val_size=0", "save_total_limit=1")
_EVERY = 0.5
# `train` itself gives LLaMA-Factory half a minute to end before it ends it by force.
_DEADLINE = 60.0
_ONE_ROW = [{"instruction": "What is 1 + 1?", "input": "", "output": "1 + 1 = 2."}]


@dataclass(frozen=True)
class Place:
    """Where what is made on the way goes, and under which name."""

    output: Path = Path("data")  # of data sets
    name: str = "rows"  # of the data set that the recipe makes; what it trains on is named after it
    saves: Path = Path("saves")  # of trained models
    overwrite: bool = False  # a data set to train on that another recipe made


@dataclass(frozen=True)
class Request:
    """What is to be trained."""

    dataset: str  # that was emitted
    dataset_dir: Path
    model: str  # as the user typed it, for `train sft --model`
    model_fingerprint: str  # of its files: another model is another run
    settings: tuple[str, ...] = ()  # `key=value`, for `train sft --set`; they win over one epoch
    saves: Path = Path("saves")
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """A finished run."""

    folder: Path  # of the adapter, or the whole model
    fingerprint: str  # sha256 of what was learned
    run: RunRecord
    found: bool  # it was there before, and nothing was trained

    def as_dict(self) -> dict[str, str]:
        """Return what a manifest says of it, next to the model that scored."""
        return {
            "run": self.folder.name,
            "run_fingerprint": self.fingerprint,
            "run_steps": str(self.run.steps),
            "run_data_sha256": str(self.run.dataset.get("data_sha256", "")),
            "base": called(self.run.model),
        }


def check_trainer() -> None:
    """Refuse before hours are spent on scores, if there is nothing to train with."""
    llamafactory.find()


def check(what: str, model: str, otherwise: str, trust_remote_code: bool = False) -> None:
    """Refuse what cannot be trained on the way: no trainer, or no such model."""
    try:
        check_trainer()
    except UsageError as error:
        raise UsageError(f"{what}: {error}. {otherwise}") from error
    files_of(model, trust_remote_code)


def check_settings(model: str, settings: Sequence[str]) -> None:
    """Let `train sft --dry-run` look at model and settings before hours are spent on scores."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "one.json").write_text(json.dumps(_ONE_ROW), encoding="utf-8")
        (folder / FILE).write_text(json.dumps({"one": {"file_name": "one.json"}}), encoding="utf-8")
        request = Request("one", folder, model, "", tuple(settings))
        arguments = [*command(request, folder / "run"), "--dry-run"]
        tried = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if tried.returncode:
        last = (tried.stderr.strip().splitlines() or ["it said nothing"])[-1]
        why = last.removeprefix("error:").strip().replace("--set ", "--train-set ")
        raise UsageError(f"what is trained in between: {why}")


def train_at(
    place: Place, name: str, model: str, settings: Sequence[str], seed: int = 0, trust: bool = False
) -> Trained:
    """Return a model after one epoch on a data set of a place; `trust` lets its own code run."""
    mark, chosen = fingerprint_of(files_of(model, trust)), tuple(settings)
    return train_on(Request(name, place.output, model, mark, chosen, place.saves, seed))


def train_on(request: Request, tell: Callable[[str], object] = say) -> Trained:
    """Return a model after one epoch on a data set, trained now or found where it was kept.

    `tell` hears what the training says, line by line; a log keeps it, too.
    """
    path = request.dataset_dir / f"{request.dataset}.manifest.json"
    output = (read_manifest(path) or {}).get("output")
    digest = output.get("sha256") if isinstance(output, dict) else None
    if not isinstance(digest, str):
        raise OutputError(
            f"{path} has gone or says nothing of its data; give the same command again"
        )
    folder = request.saves / f"{request.dataset}-{key(request, digest)}"
    run = read_run(folder)
    if run and run.state == "done":
        tell(f"the model is there from an earlier run: {folder}")
        return _finished(folder, run, digest, found=True)
    resume = ["--resume"] if run else []
    say(f"{'continuing' if run else 'training'} on {request.dataset}, kept in {folder}")
    _run([*command(request, folder), *resume], folder, tell)
    return _finished(folder, read_run(folder), digest, found=False)


def key(request: Request, data_sha256: str) -> str:
    """Return 8 hex digits of all that decides the model."""
    parts = [data_sha256, request.model_fingerprint, *ONE_EPOCH, *request.settings]
    parts += [f"seed={request.seed}"] if request.seed else []
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8]


def command(request: Request, folder: Path) -> list[str]:
    """Return the command that trains, as a list of arguments."""
    chosen = dict(setting.split("=", 1) for setting in (*ONE_EPOCH, *request.settings))
    arguments = ["--dataset", request.dataset, "--dataset-dir", str(request.dataset_dir)]
    arguments += ["--model", request.model, "--output", str(folder), "--seed", str(request.seed)]
    for name, value in chosen.items():
        arguments += ["--set", f"{name}={value}"]
    return [sys.executable, "-m", "train", "sft", *arguments]


def _run(arguments: Sequence[str], folder: Path, tell: Callable[[str], object]) -> None:
    """Run the command to its end and tell what it says, as it says it."""
    log = cache_dir() / "logs" / f"{folder.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    last, offset, code = "it said nothing", 0, None
    child = start(arguments, log)
    with stopping(child, _DEADLINE):
        while code is None:
            code = child.wait(_EVERY)
            lines, offset = new_lines(log, offset)
            for last in filter(str.strip, lines):
                tell(f"  {last}")
    if code != 0:
        why = last.removeprefix("error:").strip()
        raise OutputError(
            f"the training in between ended with exit code {code}: {why}; all it said is in {log}. "
            "Scores so far are kept: put that right and give the same command again"
        )


def _finished(folder: Path, run: RunRecord | None, data_sha256: str, found: bool) -> Trained:
    trained_on = run.dataset.get("data_sha256") if run else None
    if run is None or run.state != "done" or trained_on not in (None, data_sha256):
        raise OutputError(
            f"{folder} does not hold a finished run on these rows ({RUN} says state "
            f"{run.state if run else 'nothing'}); move it away and give the same command again"
        )
    adapter = is_adapter(folder)
    if adapter and not (folder / ADAPTER_WEIGHTS).is_file():
        raise OutputError(
            f"{folder} has lost its {ADAPTER_WEIGHTS}; move the folder away and give the same "
            "command again"
        )
    learned = adapter_fingerprint(folder) if adapter else fingerprint(folder)
    return Trained(folder, learned, run, found)
