"""The sha256 of all that a run is made from and of what it makes: the links of `run.json`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from curate.llamafactory.dataset_info import data_file, read_registry
from curate.system.cache import fingerprint
from curate.system.files import sha256_of
from curate.system.model_folder import ADAPTER_WEIGHTS
from curate.system.run_record import RunRecord
from train.config.plan import Plan, to_yaml


def begun(plan: Plan) -> RunRecord:
    """Return the record of a run as it is when it begins."""
    folder, names = plan.dataset.folder, [name.strip() for name in plan.dataset.name.split(",")]
    entries = read_registry(folder)
    files = [data_file(folder, name, entries) for name in names]
    manifests = [folder / f"{name}.manifest.json" for name in names]
    model = plan.model.folder
    # The adapter that is trained further, and that of the reward model.
    parents = {
        "adapter": plan.config.get("adapter_name_or_path"),
        "reward_model": plan.config.get("reward_model"),
    }
    adapters = {what: Path(str(path)) / ADAPTER_WEIGHTS for what, path in parents.items() if path}
    has_weights = model is not None and any(model.glob("*.safetensors"))
    return RunRecord(
        name=plan.output.name,
        stage=plan.stage,
        method=plan.method,
        state="running",
        model=plan.model.name,
        template=plan.config.get("template"),
        dataset={
            "name": plan.dataset.name,
            "dataset_dir": str(folder),
            "data_sha256": _of_all(files, _content),
            "manifest_sha256": _of_all(manifests, sha256_of),
        },
        config_sha256=hashlib.sha256(to_yaml(plan.config).encode()).hexdigest(),
        model_fingerprint=fingerprint(model) if model is not None and has_weights else None,
        parents={what: sha256_of(path) for what, path in adapters.items() if path.is_file()},
        precision=plan.step_seconds,
    )


def weights(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file of weights that a finished run left."""
    return {path.name: sha256_of(path) for path in sorted(folder.glob("*.safetensors"))}


def _content(path: Path) -> str:
    """Return the sha256 of a file, or over those of all files of a folder."""
    if path.is_file():
        return sha256_of(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = "".join(f"{file.relative_to(path)} {sha256_of(file)}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _of_all(paths: Sequence[Path], sha256: Callable[[Path], str]) -> str | None:
    """Return the sha256 of one file; over those of several; None if one is not here."""
    if not all(path.exists() for path in paths):
        return None
    hashes = [sha256(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
