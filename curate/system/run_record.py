"""`run.json`: what a run of training was made from, how it stands, and what came of it.

It chains the data set's manifest, the config and the weights by sha256. `train` writes it, all
three commands read it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from curate.errors import DataError
from curate.system.files import write_text

RUN = "run.json"
FORMAT = 1
State = Literal["running", "done", "failed", "stopped"]
# What a field's type is in JSON, by its first word.
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    **{"str": str, "State": str, "int": int, "float": (int, float), "Mapping": dict}
}


@dataclass(frozen=True)
class RunRecord:
    name: str = ""  # of its folder
    stage: str = ""  # pt, sft, rm, ppo, dpo or kto
    method: str = ""  # lora, qlora, full, or LLaMA-Factory's freeze or oft
    state: State = "done"
    model: str = ""  # as the user typed it; of a folder where it lies
    template: str | None = None  # LLaMA-Factory's; None for the tokenizer's own
    # `name`, `dataset_dir`, `data_sha256`, `manifest_sha256` or None
    dataset: Mapping[str, Any] = field(default_factory=dict)
    config_sha256: str = ""  # of the YAML that LLaMA-Factory was given
    model_fingerprint: str | None = None  # sha256 over the model's files; None if not here
    # sha256 of the `adapter` that was trained further and of the `reward_model`
    parents: Mapping[str, str] = field(default_factory=dict)
    adapter: Mapping[str, str] | None = None  # `file` and `sha256`; None for a whole model
    weights: Mapping[str, str] = field(default_factory=dict)  # sha256 of every file that it left
    steps: int = 0  # of the optimizer, as far as the run came
    # `first`, `last`, `eval_first` and `eval`, each None if it was never told
    loss: Mapping[str, float | None] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)  # of what trained
    # Seconds of a step in `float32` and `bfloat16`, where a CPU chose between them by these
    precision: Mapping[str, float] = field(default_factory=dict)
    # Of the environment that it was started with, where its command named them
    variables: Mapping[str, str] = field(default_factory=dict)
    processes: int = 0  # that trained together, on all machines; 0 where older releases wrote it
    seconds: float = 0.0  # from start to end, all attempts together
    error: str | None = None  # why it failed
    format: int = FORMAT  # of this file

    def as_json(self) -> dict[str, Any]:
        values = asdict(self)
        return {"format": values.pop("format"), **values}

    @property
    def typed_base(self) -> str:
        """The model as the user typed it; '' where an adapter was typed, to be trained further."""
        return "" if self.parents.get("adapter") else self.model


def read_run(folder: Path) -> RunRecord | None:
    path = folder / RUN
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); move the folder away") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        other = values.get("format") if isinstance(values, dict) else None
        raise DataError(
            f"{path} is of format {other}, and {FORMAT} is read here; it was written by another "
            "release of curatrain: use that one, or another folder"
        )
    known = {field.name: str(field.type) for field in fields(RunRecord)}
    wrong = [
        key
        for key, kind in known.items()
        if values.get(key) is not None
        and not isinstance(values[key], _KINDS[re.split(r"\W", kind)[0]])
    ]
    if wrong or "state" not in values:
        raise DataError(f"{path} is not whole ({(*wrong, 'state')[0]}); move the folder away")
    # null, as older releases wrote it for what was not known, is the field's own default.
    return RunRecord(**{k: v for k, v in values.items() if k in known and v is not None})


class FoundRun(NamedTuple):
    """A run that lies below a folder; without a record where that cannot be read, and why."""

    folder: Path
    changed: float  # when its record was last written
    record: RunRecord | None
    problem: str = ""


def runs_below(folder: Path) -> list[FoundRun]:
    """Return the runs in a folder and in those below it, the newest first."""
    runs = []
    patterns = ["*/" * depth + RUN for depth in range(4)]
    for path in (path for pattern in patterns for path in folder.glob(pattern)):
        changed = path.stat().st_mtime
        try:
            runs.append(FoundRun(path.parent, changed, read_run(path.parent)))
        except DataError as error:
            runs.append(FoundRun(path.parent, changed, None, str(error)))
    return sorted(runs, key=lambda run: -run.changed)


def write_run(folder: Path, record: RunRecord) -> None:
    """Put a record in its place at once: a reader sees the old one or the new one."""
    write_text(folder / RUN, json.dumps(record.as_json(), ensure_ascii=False, indent=2) + "\n")
