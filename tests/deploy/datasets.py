"""Data sets, their sources and the runs that were trained on them, for `deploy compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from curate.system.files import sha256_of
from deploy.compare.held_out import choose_prompts


def write(name: str, rows: Any) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return path


def alpaca(*numbers: int, answer: str = "答") -> list[dict[str, str]]:
    return [
        {"instruction": f"问题{at}？", "input": "", "output": f"{answer}{at}"} for at in numbers
    ]


def emitted(numbers: range, source: list[dict[str, str]]) -> None:
    """A data set of some rows of a source, as curate writes it, and the source beside it."""
    write("source.json", source)
    write("data/chosen.jsonl", None)
    lines = [json.dumps(source[at], ensure_ascii=False) for at in numbers]
    Path("data/chosen.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    entry = {"file_name": "chosen.jsonl", "formatting": "alpaca", "columns": columns}
    write("data/dataset_info.json", {"chosen": entry})
    sources = [{"name": "source.json", "sha256": sha256_of(Path("source.json"))}]
    write("data/chosen.manifest.json", {"sources": sources})


def run(**more: Any) -> None:
    dataset = {
        "name": "chosen",
        "dataset_dir": "data",
        "data_sha256": sha256_of(Path("data/chosen.jsonl")),
        "manifest_sha256": None,
    }
    write(
        "saves/r/run.json",
        {"format": 1, "state": "done", "model": "smollm2", "dataset": dataset, **more},
    )


def ask(
    prompts: str | None = None,
    dataset: str | None = None,
    tuned: str = "saves/r",
    dataset_dir: str | None = None,
    base: str = "smollm2",
) -> Any:
    folder = Path(dataset_dir) if dataset_dir else None
    file = Path(prompts) if prompts else None
    return choose_prompts(file, dataset, folder, (base, tuned), 100, 0)


def questions(found: Any) -> list[int]:
    return [int(each.turns[0].content[2:-1]) for each in found.prompts]
