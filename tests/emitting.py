"""Rows to emit, and what is read back of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json
import pytest

from curate.data.read import read
from curate.emission.emit import write

MANIFEST = {"recipe": "ifd", "counts": {"read": 4, "kept": 2, "dropped": {"below_cut": 2}}}
CHINESE = [
    {"instruction": f"高血压患者能吃党参吗？{each}", "input": "", "output": f"可以{each}。"}
    for each in range(4)
]
HUATUO = [
    {
        "conversations": [
            {"from": "human", "value": f"问{each}"},
            {"from": "gpt", "value": f"答{each}"},
        ],
        "id": each,
    }
    for each in range(4)
]


@pytest.fixture
def emit(write_json: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Emit those of some rows whose places are given, and return the folder."""

    def emit(
        values: list[Any], kept: Any = None, name: str = "rows_ifd", folder: str = "data"
    ) -> Path:
        rows = read(write_json(values))
        mask = np.zeros(len(rows), dtype=bool)
        mask[list(range(len(rows)) if kept is None else kept)] = True
        scores = pa.table({"id": pa.array(rows.ids, pa.string()), "kept": mask})
        write(tmp_path / folder, name, rows, mask, scores, MANIFEST)
        return tmp_path / folder

    return emit


def lines_of(folder: Path, name: str = "rows_ifd") -> list[Any]:
    return [json.loads(each) for each in (folder / f"{name}.jsonl").open(encoding="utf-8")]


def entry_in(folder: Path, name: str = "rows_ifd") -> Any:
    return json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))[name]


def as_table(folder: Path, name: str = "rows_ifd") -> pa.Table:
    return pyarrow.json.read_json(folder / f"{name}.jsonl")
