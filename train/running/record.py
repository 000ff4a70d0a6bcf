"""`run.json`: what a run of training was made from, how it stands, and what came of it.

It chains the data set's manifest, the config and the weights by sha256. Other commands read it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from curate.errors import DataError

FILE = "run.json"
FORMAT = 1
State = Literal["running", "done", "failed", "stopped"]


@dataclass(frozen=True)
class Record:
    """A run of training.

    Attributes:
        name: Of its folder.
        stage: pt, sft, rm, ppo, dpo or kto.
        method: `lora`, `qlora` or `full`.
        state: `running`, `done`, `failed` or `stopped`.
        model: As the user typed it.
        model_fingerprint: sha256 over the files of the model; None where they are not here.
        parents: sha256 of the `adapter` that was trained further and of the `reward_model`.
        template: LLaMA-Factory's; None for the tokenizer's own.
        dataset: `name`, `dataset_dir` as typed, `data_sha256`, `manifest_sha256` or None.
        config_sha256: Of the YAML that LLaMA-Factory was given.
        adapter: `file` and `sha256`; None where a whole model was trained, or nothing yet.
        weights: sha256 of every file of weights that the run left.
        steps: Of the optimizer, as far as the run came.
        loss: `first`, `last` and `eval`, each None if it was never told.
        versions: Of what trained.
        precision: Seconds of a step in `float32` and `bfloat16` by which a CPU chose between
            them; empty where nothing was measured.
        seconds: From start to end, all attempts together.
        error: Why it failed.
        format: Of this file.
    """

    name: str
    stage: str
    method: str
    state: State
    model: str
    template: str | None
    dataset: Mapping[str, Any]
    config_sha256: str
    model_fingerprint: str | None = None
    parents: Mapping[str, str] = field(default_factory=dict)
    adapter: Mapping[str, str] | None = None
    weights: Mapping[str, str] = field(default_factory=dict)
    steps: int = 0
    loss: Mapping[str, float | None] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    precision: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None
    format: int = FORMAT

    def as_json(self) -> dict[str, Any]:
        """Return it as run.json holds it."""
        told = asdict(self)
        return {"format": told.pop("format"), **told}


def read(folder: Path) -> Record | None:
    """Return the record of a run, None if the folder holds none."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is no JSON ({error}); move the folder away") from error
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        given = told.get("format") if isinstance(told, dict) else None
        raise DataError(
            f"{path} is of format {given}, and {FORMAT} is read here; it was written by another "
            "release of curatrain: use that one, or another folder"
        )
    known = {each.name for each in fields(Record)}
    try:
        return Record(**{key: value for key, value in told.items() if key in known})
    except TypeError as error:
        raise DataError(f"{path} is not whole ({error}); move the folder away") from error


def write(folder: Path, record: Record) -> None:
    """Put a record in its place at once: a reader sees the old one or the new one."""
    part = folder / f".{FILE}.part"
    with part.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(json.dumps(record.as_json(), ensure_ascii=False, indent=2) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(folder / FILE)
