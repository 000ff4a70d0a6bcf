"""Checkpoints of a run, and which of them are whole: a kill leaves halves."""

from __future__ import annotations

import json
import re
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"checkpoint-(\d+)")
_STATE = "trainer_state.json"
# What the optimizer needs to go on as if nothing had been; DeepSpeed keeps it in a folder.
_OPTIMIZER = "optimizer.pt"
_DEEPSPEED = "global_step*"
_SCHEDULER = "scheduler.pt"
_RANDOM = "rng_state*.pth"
_VALUE_HEAD = "value_head.safetensors"
_LONGEST_HEADER = 100_000_000  # bytes; safetensors' own limit


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a run.

    Attributes:
        folder: Where it lies.
        step: After which it was written.
        lacks: What of it is missing or cut off, '' if it is whole.
    """

    folder: Path
    step: int
    lacks: str = ""


def found(run: Path, value_head: bool = False) -> list[Checkpoint]:
    """Return the checkpoints of a run, the last one first."""
    if not run.is_dir():
        return []
    steps = {each: _NAME.fullmatch(each.name) for each in run.iterdir() if each.is_dir()}
    listed = [
        Checkpoint(folder, int(match[1]), _lacks(folder, int(match[1]), value_head))
        for folder, match in steps.items()
        if match
    ]
    return sorted(listed, key=lambda each: -each.step)


def _lacks(folder: Path, step: int, value_head: bool) -> str:
    try:
        told = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _STATE
    if not isinstance(told, dict) or told.get("global_step") != step:
        return _STATE
    weights = sorted(folder.glob("*.safetensors"))
    if not any(each.name != _VALUE_HEAD for each in weights) or not _shards_are_there(folder):
        return "weights"
    for each in weights:
        if not is_whole(each):
            return each.name
    if value_head and not (folder / _VALUE_HEAD).is_file():
        return _VALUE_HEAD
    if not any(folder.glob(_DEEPSPEED)):
        for name in (_OPTIMIZER, _SCHEDULER):
            if not (folder / name).is_file():
                return name
    states = [*folder.glob("*.pt"), *folder.glob(_RANDOM)]
    # torch.save writes a zip, whose directory stands at its end.
    return next((each.name for each in states if not zipfile.is_zipfile(each)), "")


def _shards_are_there(folder: Path) -> bool:
    for index in folder.glob("*.safetensors.index.json"):
        try:
            files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return False
        if not all((folder / each).is_file() for each in files):
            return False
    return True


def is_whole(path: Path) -> bool:
    """Return whether a safetensors file has all the bytes that its header promises."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _LONGEST_HEADER:
                return False
            header = json.loads(stream.read(length))
        ends = [each["data_offsets"][1] for name, each in header.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return False
    return bool(path.stat().st_size == 8 + length + max(ends, default=0))
