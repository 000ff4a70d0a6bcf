"""What `deploy` is given: a run of `train`, or an adapter's folder, and whether it can be used."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate.errors import DataError, ModelError, UsageError, did_you_mean
from curate.system.files import sha256_of

RUN = "run.json"
ADAPTER = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
SAVES = Path("saves")
_VALUE_HEADS = ("value_head.safetensors", "value_head.bin")


@dataclass(frozen=True)
class Adapter:
    """A trained adapter that can be merged.

    Attributes:
        name: Its folder's.
        folder: Its files.
        base: The model that it is added to, as a name, a folder or a hub id.
        sha256: Of its weights.
        run: What run.json says; empty for a folder without one.
        moved: Whether the user has named the base.
    """

    name: str
    folder: Path
    base: str
    sha256: str
    run: dict[str, Any] = field(default_factory=dict)
    moved: bool = False

    @property
    def base_name(self) -> str:
        """The base as the user typed it; of a folder that nobody typed, the last part."""
        typed, path = self.run.get("model"), Path(self.base)
        if (self.run.get("parents") or {}).get("adapter"):
            typed = None  # an adapter was trained further, and its folder was typed
        if isinstance(typed, str) and typed and not self.moved:
            return typed
        return path.name if path.is_dir() and not self.moved else self.base

    @property
    def template(self) -> str | None:
        """LLaMA-Factory's template that it was trained with, None where nothing says it."""
        told = self.run.get("template")
        return told if isinstance(told, str) and told else None


def find_folder(given: Path, what: str) -> Path:
    """Return the folder that the user means: as typed, or of that name among the runs.

    Example:
        >>> find_folder(Path("medical"), "a run")
        PosixPath('saves/medical')
    """
    if given.is_dir():
        return given
    if given.exists():
        raise UsageError(f"{given} is a file; give the folder that holds {what}: {given.parent}")
    if (SAVES / given).is_dir() and not given.is_absolute():
        return SAVES / given
    known = sorted(path.parent.name for path in SAVES.glob(f"*/{RUN}"))
    told = f"{SAVES} has {', '.join(known[:8])}" if known else f"there are no runs in {SAVES}"
    raise UsageError(
        f"there is no folder {given}.{did_you_mean(given.name, known)} Give {what}; {told}"
    )


def read_adapter(given: Path, base: str | None = None) -> Adapter:
    """Return the adapter of a run, or of a folder that LLaMA-Factory or peft wrote."""
    folder = find_folder(given, "a run of `train`")
    run = read_run(folder)
    _check_run(folder, run)
    if not (folder / ADAPTER).is_file():
        raise UsageError(_no_adapter(folder))
    if not (folder / WEIGHTS).is_file():
        raise DataError(
            f"{folder} has no {WEIGHTS}, only what describes it; copy the file there, or train "
            "again (.bin files are not loaded: they can run code)"
        )
    told = _json(folder / ADAPTER)
    _check_kind(folder, told, run)
    sha256 = sha256_of(folder / WEIGHTS)
    noted = (run.get("adapter") or {}).get("sha256")
    if noted and noted != sha256:
        raise DataError(
            f"{folder / WEIGHTS} is not what its run wrote ({RUN} has sha256 {noted[:12]}…, the "
            f"file {sha256[:12]}…); train again, or remove {RUN} to merge it as it is"
        )
    named = base or _base_of(folder, told, run)
    return Adapter(folder.resolve().name, folder, named, sha256, run, base is not None)


def read_run(folder: Path) -> dict[str, Any]:
    """Return what run.json says, nothing for a folder without one."""
    if not (folder / RUN).is_file():
        return {}
    told = _json(folder / RUN)
    if told.get("format") != 1:
        raise DataError(
            f"{folder / RUN} is not what this `train` writes (format {told.get('format')!r}, known "
            "is 1); train again, or merge with the release that wrote it"
        )
    return told


def _check_run(folder: Path, run: dict[str, Any]) -> None:
    state = run.get("state", "done")
    if state == "running":
        raise UsageError(
            f"the run {folder} has not ended ({RUN}: running); wait for it, or if it was killed, "
            "`train … --resume` goes on"
        )
    if state != "done":
        raise UsageError(
            f"the run {folder} {'was stopped' if state == 'stopped' else 'failed'} before its end "
            f"({RUN}: {state}); give the same `train` command with --resume first"
        )
    if run.get("stage") == "rm" or any((folder / each).is_file() for each in _VALUE_HEADS):
        raise UsageError(
            f"{folder} is a reward model: it judges answers and gives none, so there is nothing to "
            "merge. It is used as it is: curate mods --reward, deploy compare --judge"
        )
    if run.get("method") == "full":
        raise UsageError(
            f"the run {folder} trained all weights and has no adapter: it needs no merge. It is a "
            f"whole model already: deploy serve {folder}, deploy quantize {folder}"
        )


def _no_adapter(folder: Path) -> str:
    if (folder / "config.json").is_file():
        return (
            f"{folder} is a whole model and has no adapter: it needs no merge. deploy serve "
            f"{folder}, deploy quantize {folder}"
        )
    steps = sorted(folder.glob(f"checkpoint-*/{ADAPTER}"), key=lambda path: path.stat().st_mtime)
    if steps:
        return (
            f"{folder} has no adapter of its own ({ADAPTER}), only of steps on the way; to merge "
            f"the newest: deploy merge {steps[-1].parent}"
        )
    inside = sorted(path.parent.name for path in folder.glob(f"*/{ADAPTER}"))
    more = f"; it has these inside: {', '.join(inside[:8])}" if inside else ""
    return (
        f"{folder} is no run: it has neither {RUN} nor {ADAPTER}{more}. Give a folder that "
        "`train` wrote"
    )


def _check_kind(folder: Path, told: dict[str, Any], run: dict[str, Any]) -> None:
    task = told.get("task_type")
    if task not in (None, "CAUSAL_LM"):
        raise UsageError(
            f"{folder} is an adapter for {task}, and merged are those that answer (CAUSAL_LM)"
        )
    kind = told.get("peft_type")
    if kind not in ("LORA", "OFT"):
        raise UsageError(
            f"{folder} is an adapter of type {kind}, which cannot be added to weights; allowed "
            "are LORA and OFT"
        )


def _base_of(folder: Path, told: dict[str, Any], run: dict[str, Any]) -> str:
    """Return the base by where it lay in training; by the name given to `train` if it is gone."""
    lay, typed = told.get("base_model_name_or_path"), run.get("model")
    if (run.get("parents") or {}).get("adapter"):
        typed = None
    if isinstance(lay, str) and lay and (Path(lay).is_dir() or not typed):
        return lay
    if isinstance(typed, str) and typed:
        return typed
    raise DataError(
        f"{folder / ADAPTER} does not name the model that it was trained on; give it with "
        "--base MODEL"
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); copy it again, or train again"
        ) from error
    if not isinstance(told, dict):
        raise DataError(f"{path} is not a JSON object; copy it again, or train again")
    return told


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
    if _json(files.folder / "config.json").get("quantization_config"):
        raise ModelError(
            f"the base {adapter.base} is quantised, and adapters cannot be added to quantised "
            "weights; give the model it was made from with --base MODEL"
        )
    found, noted = fingerprint(files.folder), adapter.run.get("model_fingerprint")
    if noted and noted != found:
        raise ModelError(
            f"the base {adapter.base} is not the model that {adapter.folder} was trained on "
            f"(fingerprint {found[:12]}…, {RUN} has {noted[:12]}…); give that one with --base MODEL"
        )
    return files.folder, found
