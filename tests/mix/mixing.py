"""Rows to mix, and what is read back of a mixture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def rows(name: str, count: int, first: int = 0) -> list[dict[str, str]]:
    return [
        {"instruction": f"{name} {each}?", "input": "", "output": f"{name} answer {each}"}
        for each in range(first, first + count)
    ]


def save(path: Path, values: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    return path


def emitted(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").open("rb")]


def table(folder: Path, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(folder / f"{name}.scores.parquet").to_pylist()
    return found


def manifest(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.manifest.json").read_text(encoding="utf-8"))


def sides(values: list[dict[str, Any]]) -> dict[str, int]:
    """Count rows by the first word of their question: the name that rows() was given."""
    counts: dict[str, int] = {}
    for value in values:
        text = value.get("instruction") or value["conversations"][0]["value"]
        counts[text.split()[0]] = counts.get(text.split()[0], 0) + 1
    return dict(sorted(counts.items()))
