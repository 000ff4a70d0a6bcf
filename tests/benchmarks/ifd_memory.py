"""Peak memory of `curate ifd` with 1,000 and with 20,000 rows.

python -m tests.benchmarks.ifd_memory [--rows 1000 20000]

Rows are made up, with the same mix of lengths in both files; each run is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from curate.system.cache import cache_dir


def write_rows(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    words = np.array(["the", "patient", "should", "rest", "and", "drink", "water", "if", "fever"])
    with path.open("w", encoding="utf-8") as out:
        for number in range(rows):
            asked = " ".join(rng.choice(words, 2 + number % 5))
            said = " ".join(rng.choice(words, 3 + number % 7))
            row = {"instruction": f"{number}: {asked}", "input": "", "output": said}
            out.write(json.dumps(row) + "\n")


def peak(path: Path, cache: Path, output: Path) -> tuple[float, float]:
    """Return peak resident memory in MB and seconds of a run of the command."""
    arguments = ["curate", "ifd", "--input", str(path), "--output", str(output)]
    arguments += ["--template", "none"]  # short sequences: many rows in little time
    environment = {**os.environ, "CURATRAIN_CACHE": str(cache)}
    child = os.posix_spawn(sys.executable, [sys.executable, "-m", *arguments], environment)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"curate ifd ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 20000])
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch) / "cache"
        cache.mkdir()
        (cache / "models").symlink_to(cache_dir() / "models")
        for rows in parser.parse_args().rows:
            path = Path(scratch) / f"rows{rows}.jsonl"
            write_rows(path, rows)
            memory, seconds = peak(path, cache, Path(scratch) / "out")
            print(f"{rows:,} rows: peak {memory:,.0f} MB, {seconds:,.0f} s of processor time")


if __name__ == "__main__":
    main()
