"""The sha256 of all that a run is made from and of what it makes: the links of `run.json`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from curate.llamafactory.dataset_info import read_registry
from curate.system.cache import fingerprint
from curate.system.files import sha256_of
from curate.system.run_record import RunRecord
from train.planning.plan import Plan, to_yaml

ADAPTER = "adapter_model.safetensors"


def begun(plan: Plan) -> RunRecord:
    """Return the record of a run as it is when it begins."""
    return RunRecord(
        name=plan.name,
        stage=plan.stage,
        method=plan.method,
        state="running",
        model=plan.model.name,
        template=plan.template,
        dataset=_dataset(plan),
        config_sha256=hashlib.sha256(to_yaml(plan.config).encode()).hexdigest(),
        model_fingerprint=_model(plan.model.folder),
        parents=_parents(plan),
        precision=plan.step_seconds,
    )


def weights(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of weights that a finished run left."""
    return {each.name: sha256_of(each) for each in sorted(folder.glob("*.safetensors"))}


def adapter(found: dict[str, str]) -> dict[str, str] | None:
    """Return the adapter among the weights, None if there is none."""
    return {"file": ADAPTER, "sha256": found[ADAPTER]} if ADAPTER in found else None


def _dataset(plan: Plan) -> dict[str, Any]:
    folder, names = plan.dataset.folder, plan.dataset.name.split(",")
    entries = read_registry(folder)
    data = [_file(folder, entries.get(each.strip())) for each in names]
    manifests = [folder / f"{each.strip()}.manifest.json" for each in names]
    return {
        "name": plan.dataset.name,
        "dataset_dir": str(folder),
        "data_sha256": _joined(data, _content),
        "manifest_sha256": _joined(manifests, sha256_of),
    }


def _file(folder: Path, entry: Any) -> Path | None:
    named = entry.get("file_name") if isinstance(entry, dict) else None
    return folder / named if isinstance(named, str) else None


def _content(path: Path) -> str:
    """Return the sha256 of a file, or over those of all files of a folder."""
    if path.is_file():
        return sha256_of(path)
    files = sorted(each for each in path.rglob("*") if each.is_file())
    told = "".join(f"{each.relative_to(path)} {sha256_of(each)}\n" for each in files)
    return hashlib.sha256(told.encode()).hexdigest()


def _joined(paths: Sequence[Path | None], sha256: Callable[[Path], str]) -> str | None:
    """Return the sha256 of one file; over those of several; None if one is not here."""
    there = [each for each in paths if each is not None and each.exists()]
    if len(there) < len(paths):
        return None
    found = [sha256(each) for each in there]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def _model(folder: Path | None) -> str | None:
    there = folder is not None and any(folder.glob("*.safetensors"))
    return fingerprint(folder) if folder is not None and there else None


def _parents(plan: Plan) -> dict[str, str]:
    """Return the adapter that is trained further, and that of the reward model."""
    folders = {
        "adapter": plan.config.get("adapter_name_or_path"),
        "reward_model": plan.config.get("reward_model"),
    }
    files = {what: Path(str(each)) / ADAPTER for what, each in folders.items() if each}
    return {what: sha256_of(each) for what, each in files.items() if each.is_file()}
