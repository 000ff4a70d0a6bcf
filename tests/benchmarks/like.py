"""Rows that questions call, out of half a million vectors on disk, against the dense loop.

python -m tests.benchmarks.like [--rows 500000] [--wide 512] [--questions 100 1000] [--keep 50000]

Each way runs in a process of its own, on the same file in float16: seconds of all cores together,
so that other work beside it counts less, and the most memory that the process had for itself (the
file, mapped, is not counted). The dense loop holds the
similarity of every row to every question and looks through a question's line in every turn; of
its turns --turns are run and the time for all is scaled. The rows chosen in these turns are
compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.selectors.kept_and_dropped import Candidates, Choice, unit
from curate.selectors.like import nearness, select
from curate.selectors.top_k import TopKParams
from tests.benchmarks.clouds import cloud, ids_of
from tests.memory import own_memory


def ours(file: Path, questions: NDArray[np.float32], keep: int) -> tuple[list[int], float, float]:
    vectors = np.load(file, mmap_mode="r")
    choice = Choice(np.full(len(vectors), "", dtype=object))
    candidates = Candidates(choice, ids_of(len(vectors)), vectors=vectors, questions=(questions,))
    began = time.process_time()
    order = select(candidates, TopKParams(keep)).order
    chosen = time.process_time()
    nearness(candidates)
    return order.tolist(), chosen - began, time.process_time() - chosen


def dense(
    file: Path, questions: NDArray[np.float32], keep: int, turns: int
) -> tuple[list[int], float, float]:
    began = time.process_time()
    table = unit(questions) @ unit(np.load(file).astype(np.float32)).T
    made = time.process_time()
    order: list[int] = []
    for turn in range(min(turns, keep)):
        order.append(int(table[turn % len(table)].argmax()))
        table[:, order[-1]] = -np.inf
    each = (time.process_time() - made) / max(1, len(order))
    return order, made - began + each * keep, 0.0


def child(way: str, folder: Path, asking: int, keep: int, turns: int) -> None:
    questions = np.load(folder / "questions.npy")[:asking]
    file = folder / "vectors.npy"
    found = ours(file, questions, keep) if way == "ours" else dense(file, questions, keep, turns)
    (folder / "found.json").write_text(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--wide", type=int, default=512)
    parser.add_argument("--questions", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--keep", type=int, default=50_000)
    parser.add_argument("--turns", type=int, default=2000)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        way, folder, asking = given.child
        child(way, Path(folder), int(asking), given.keep, given.turns)
        return
    with tempfile.TemporaryDirectory() as folder:
        both = cloud(given.rows + max(given.questions), given.wide)
        np.save(Path(folder) / "vectors.npy", both[: given.rows].astype(np.float16))
        np.save(Path(folder) / "questions.npy", both[given.rows :])
        del both
        for asking in given.questions:
            print(f"{given.rows:,} x {given.wide}, {asking:,} questions, {given.keep:,} kept")
            found = {}
            for way in ("ours", "dense"):
                command = [sys.executable, "-m", "tests.benchmarks.like", "--keep", str(given.keep)]
                command += ["--turns", str(given.turns), "--child", way, folder, str(asking)]
                memory = own_memory(subprocess.Popen(command))
                order, seconds, more = found[way] = json.loads(
                    (Path(folder) / "found.json").read_text()
                )
                what = f", how near all are {more:.1f} s" if more else ""
                print(f"  {way:6} {seconds:8.1f} s{what}, {memory:,} MB")
            one, other = found["ours"][0], found["dense"][0]
            same = sum(a == b for a, b in zip(one, other, strict=False))
            print(f"  {same:,} of {len(other):,} turns the same row; dense takes "
                  f"{found['dense'][1] / found['ours'][1]:.1f} times as long")  # fmt: skip


if __name__ == "__main__":
    main()
