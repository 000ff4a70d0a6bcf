"""How many of the rows that `--recipe like` takes are of the wanted part, on real rows.

python -m tests.benchmarks.like_share --toyhom FILE --alpaca FILE [--pool 800] [--model smollm2]

For each department of Toyhom's internal medicine: 40 of its questions with answers are asked, a
pool of rows drawn from the others is chosen from, 60 rows are kept: by the encoder of prompt and
response, of prompts alone, by RDS+ (with --model) and at random. Then a pool of the medical rows
and of alpaca's, from which questions of each are asked. A share of 1 is what is wanted; a random
choice has the part's share of the pool.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import curate

Lines = list[dict[str, Any]]
DEPARTMENTS = ("肝病科", "心血管科", "神经科", "消化科")


def share(kept: Any, wanted: Callable[[Any], bool]) -> float:
    rows = [kept.rows[place] for place in np.flatnonzero(kept.choice.kept).tolist()]
    return sum(wanted(row) for row in rows) / len(rows)


def table(
    pool: Lines, parts: dict[str, tuple[Lines, Callable[[Any], bool]]], keep: int, model: str | None
) -> None:
    rows = curate.read(pool)
    ways: dict[str, Callable[[Lines], Any]] = {
        "random": lambda asked: curate.select(rows, recipe="random", keep=keep),
        "encoder, prompt and response": lambda asked: called(rows, asked, keep),
        "encoder, prompts alone": lambda asked: called(rows, questions(asked), keep),
    }
    if model:
        ways[f"RDS+ by {model}"] = lambda asked: called(rows, asked, keep, model)
    print(f"{len(rows):,} rows, {keep} kept | " + " | ".join(parts) + " | seconds")
    for name, way in ways.items():
        began = time.perf_counter()
        shares = [share(way(asked), wanted) for asked, wanted in parts.values()]
        told = " | ".join(f"{each:.2f}" for each in shares)
        print(f"{name} | {told} | {time.perf_counter() - began:.0f}", flush=True)


def called(rows: Any, asked: Lines, keep: int, model: str | None = None) -> Any:
    return curate.select(
        rows, recipe="like", like=curate.read(asked, questions=True), keep=keep, model=model
    )


def questions(rows: Sequence[dict[str, Any]]) -> Lines:
    return [{"question": "\n".join(filter(None, (r["instruction"], r["input"])))} for r in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--toyhom", type=Path, required=True)
    parser.add_argument("--alpaca", type=Path, required=True)
    parser.add_argument("--pool", type=int, default=800)
    parser.add_argument("--asked", type=int, default=40)
    parser.add_argument("--keep", type=int, default=60)
    parser.add_argument("--model")
    given = parser.parse_args()
    read = curate.read(given.toyhom)
    medical = [row.value for row in read if not row.flaw]
    order = np.random.default_rng(0).permutation(len(medical)).tolist()
    asked: dict[str, Lines] = {name: [] for name in DEPARTMENTS}
    pool: Lines = []
    for place in order:
        row = medical[place]
        mine = asked.get(row["department"])
        if mine is not None and len(mine) < given.asked:
            mine.append(row)
        elif len(pool) < given.pool:
            pool.append(row)
    parts = {
        name: (rows, lambda row, name=name: row.value["department"] == name)
        for name, rows in asked.items()
    }
    table(pool, parts, given.keep, given.model)
    general = json.loads(given.alpaca.read_text(encoding="utf-8"))
    general = [{key: row[key] for key in ("instruction", "input", "output")} for row in general]
    plain = [{key: row[key] for key in ("instruction", "input", "output")} for row in medical]
    english = {row["instruction"] for row in general}
    half = min(given.pool // 2, len(general) - given.asked)
    drawn = [plain[place] for place in order]
    both = {
        "alpaca": (general[half:][: given.asked], lambda row: row.value["instruction"] in english),
        "Toyhom": (
            drawn[half:][: given.asked],
            lambda row: row.value["instruction"] not in english,
        ),
    }
    table([*drawn[:half], *general[:half]], both, given.keep, given.model)


if __name__ == "__main__":
    main()
