"""The reward model that ppo asks: a run of `train rm` on the same base."""

from __future__ import annotations

from pathlib import Path

from curate.errors import ModelError, UsageError
from curate.system.run_record import read_run
from train.planning.models import Found, find


def choose(given: Path | None, model: str, saves: Path) -> Path:
    """Return the folder of the reward model."""
    folder = given or _newest(saves)
    if not folder.is_dir():
        raise UsageError(f"--reward {folder}: no such folder; give that of a `train rm` run")
    record = read_run(folder)
    if record is not None and record.stage != "rm":
        raise ModelError(
            f"--reward {folder} is a run of stage {record.stage}; ppo wants one of `train rm`"
        )
    if not any((folder / f"value_head.{ending}").is_file() for ending in ("safetensors", "bin")):
        raise ModelError(
            f"--reward {folder} has no value_head.safetensors; ppo wants the whole output of "
            "`train rm`"
        )
    if is_adapter(folder):
        reward, policy = find(str(folder)), find(model)
        if not _same(reward, policy):
            raise ModelError(
                f"--reward {folder} is an adapter on {reward.base}, and {model} is built on "
                f"{policy.base or policy.name}; ppo puts both on one base: train them on the same"
            )
    return folder


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter and no whole model."""
    return (folder / "adapter_config.json").is_file()


def _same(one: Found, other: Found) -> bool:
    if one.folder is not None and other.folder is not None:
        return one.folder.resolve() == other.folder.resolve()
    return one.path == other.path


def _newest(saves: Path) -> Path:
    found = []
    for path in saves.glob("*/run.json"):
        record = read_run(path.parent)
        if record is not None and record.stage == "rm" and record.state == "done":
            found.append((path.stat().st_mtime_ns, path.parent))
    if not found:
        raise UsageError(
            f"ppo needs a reward model, and {saves} has no finished run of stage rm; `train rm "
            "--dataset PAIRS` makes one, --reward DIR names one elsewhere"
        )
    return max(found)[1]
