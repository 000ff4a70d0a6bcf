"""What `deploy merge` is given: a run of `train`, or an adapter's folder, and if it will do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from curate.errors import DataError, ModelError, UsageError, did_you_mean
from curate.system.files import sha256_of
from curate.system.model_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG,
    adapter_base,
    is_adapter,
    read_json,
)
from curate.system.run_record import RUN, RunRecord, read_run

SAVES = Path("saves")
_VALUE_HEADS = ("value_head.safetensors", "value_head.bin")


@dataclass(frozen=True)
class Adapter:
    """A trained adapter that can be merged.

    Attributes:
        base: The model that it is added to, as a name, a folder or a hub id.
        base_name: The same as the user typed it; of a folder that nobody typed, the last part.
        sha256: Of its weights.
        run: Its record; None for a folder without one.
    """

    folder: Path
    base: str
    base_name: str
    sha256: str
    run: RunRecord | None

    @property
    def template(self) -> str | None:
        """LLaMA-Factory's template that it was trained with, None where nothing says it."""
        return (self.run.template or None) if self.run else None


def find_folder(given: Path) -> Path:
    """Return the folder that the user means: as typed, or of that name among the runs."""
    if given.is_dir():
        return given
    if given.exists():
        raise UsageError(f"{given} is a file; give the folder that holds it: {given.parent}")
    if (SAVES / given).is_dir() and not given.is_absolute():
        return SAVES / given
    known = sorted(path.parent.name for path in SAVES.glob(f"*/{RUN}"))
    runs = f"{SAVES} has {', '.join(known[:8])}" if known else f"there are no runs in {SAVES}"
    raise UsageError(
        f"there is no folder {given}.{did_you_mean(given.name, known)} Give a run; {runs}"
    )


def read_adapter(given: Path, base: str | None = None) -> Adapter:
    """Return the adapter of a run, or of a folder that LLaMA-Factory or peft wrote."""
    folder = find_folder(given)
    run = read_run(folder)
    _check_run(folder, run)
    if not is_adapter(folder):
        raise UsageError(_no_adapter(folder))
    weights = folder / ADAPTER_WEIGHTS
    if not weights.is_file():
        raise DataError(
            f"{folder} has no {ADAPTER_WEIGHTS}, only what describes it; copy the file there, or "
            "train again (.bin files are not loaded: they can run code)"
        )
    config = read_json(folder / ADAPTER_CONFIG)
    if (task := config.get("task_type")) not in (None, "CAUSAL_LM"):
        raise UsageError(
            f"{folder} is an adapter for {task}, and merged are those that answer (CAUSAL_LM)"
        )
    if (kind := config.get("peft_type")) not in ("LORA", "OFT"):
        raise UsageError(
            f"{folder} is an adapter of type {kind}, which cannot be added to weights; allowed "
            "are LORA and OFT"
        )
    sha256 = sha256_of(weights)
    noted = run.adapter.get("sha256") if run and run.adapter else None
    if noted and noted != sha256:
        raise DataError(
            f"{weights} is not what its run wrote ({RUN} has sha256 {noted[:12]}…, the file "
            f"{sha256[:12]}…); train again, or remove {RUN} to merge it as it is"
        )
    if base:
        return Adapter(folder, base, base, sha256, run)
    base = adapter_base(folder)
    typed = run.typed_base if run else ""
    name = typed or (Path(base).name if Path(base).is_dir() else base)
    return Adapter(folder, base, name, sha256, run)


def resolve_base(adapter: Adapter) -> tuple[Path, str]:
    """Return the folder and the fingerprint of the model that an adapter is added to."""
    from curate.models.resolve import fingerprint, resolve

    try:
        files = resolve(adapter.base)
    except ModelError as error:
        raise ModelError(
            f"the model that {adapter.folder} was trained on is not to be had: {error} Where it "
            "has been moved, name it with --base MODEL"
        ) from error
    if read_json(files.folder / CONFIG).get("quantization_config"):
        raise ModelError(
            f"the base {adapter.base} is quantised, and adapters cannot be added to quantised "
            "weights; give the model it was made from with --base MODEL"
        )
    actual = fingerprint(files.folder)
    noted = adapter.run.model_fingerprint if adapter.run else None
    if noted and noted != actual:
        raise ModelError(
            f"the base {adapter.base} is not the model that {adapter.folder} was trained on "
            f"(fingerprint {actual[:12]}…, {RUN} has {noted[:12]}…); give that one with --base "
            "MODEL"
        )
    return files.folder, actual


def _check_run(folder: Path, run: RunRecord | None) -> None:
    if run and run.state == "running":
        raise UsageError(
            f"the run {folder} has not ended ({RUN}: running); wait for it, or if it was killed, "
            "`train … --resume` goes on"
        )
    if run and run.state != "done":
        raise UsageError(
            f"the run {folder} {'was stopped' if run.state == 'stopped' else 'failed'} before its "
            f"end ({RUN}: {run.state}); give the same `train` command with --resume first"
        )
    if (run and run.stage == "rm") or any((folder / head).is_file() for head in _VALUE_HEADS):
        raise UsageError(
            f"{folder} is a reward model: it judges answers and gives none, so there is nothing to "
            "merge. It is used as it is: curate mods --reward, deploy compare --judge"
        )
    full = run is not None and run.method == "full"
    if full or (not is_adapter(folder) and (folder / CONFIG).is_file()):
        raise UsageError(
            f"{folder} {'trained all weights' if full else 'is a whole model'} and has no adapter: "
            f"it needs no merge. It can be used: deploy serve {folder}, deploy quantize {folder}"
        )


def _no_adapter(folder: Path) -> str:
    steps = sorted(folder.glob(f"checkpoint-*/{ADAPTER_CONFIG}"), key=lambda p: p.stat().st_mtime)
    if steps:
        return (
            f"{folder} has no adapter of its own ({ADAPTER_CONFIG}), only of steps on the way; to "
            f"merge the newest: deploy merge {steps[-1].parent}"
        )
    inside = sorted(path.parent.name for path in folder.glob(f"*/{ADAPTER_CONFIG}"))
    more = f"; it has these inside: {', '.join(inside[:8])}" if inside else ""
    return (
        f"{folder} is no run: it has neither {RUN} nor {ADAPTER_CONFIG}{more}. Give a folder that "
        "`train` wrote"
    )
