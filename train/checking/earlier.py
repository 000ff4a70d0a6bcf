"""What `--resume` goes on with: the run that was begun, with the options it was begun with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.errors import DataError, UsageError
from curate.system.run_record import RunRecord, read_run
from train.planning.plan import CONFIG


@dataclass(frozen=True)
class Begun:
    """A run that was begun.

    Attributes:
        folder: Of the run.
        record: Its run.json.
        config: What LLaMA-Factory was given.
    """

    folder: Path
    record: RunRecord
    config: Mapping[str, Any]


def find(output: Path | None, stage: str, saves: Path) -> Begun:
    """Return the run to go on with."""
    import yaml

    folder = output or _newest(saves, stage)
    record = read_run(folder)
    if record is None:
        raise UsageError(
            f"--resume: {folder} holds no run; `train ls` lists those that are there. Without "
            "--resume a new one begins"
        )
    if record.stage != stage:
        raise UsageError(
            f"--resume: {folder} is a run of stage {record.stage}; go on with it by "
            f"`train {record.stage} --resume --output {folder}`"
        )
    try:
        config = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise DataError(f"--resume: {folder / CONFIG} cannot be read ({error})") from error
    if not isinstance(config, dict):
        raise DataError(f"--resume: {folder / CONFIG} was edited and is no list of keys any more")
    return Begun(folder, record, config)


def _newest(saves: Path, stage: str) -> Path:
    found = []
    for path in saves.glob("*/run.json"):
        record = read_run(path.parent)
        if record is not None and record.stage == stage and record.state != "done":
            found.append((path.stat().st_mtime_ns, path.parent))
    if not found:
        raise UsageError(
            f"--resume: no run of stage {stage} in {saves} is unfinished; `train ls` lists those "
            "that are there, --output FOLDER names one elsewhere"
        )
    return max(found)[1]
