"""Speed and memory of `curate mix` on up to ten million rows.

python -m tests.benchmarks.mix_stream [--rows 100000 1000000 10000000] [--folder /somewhere/roomy]

Rows are made up and short (about 170 bytes), one domain row to five general ones, and mixed 1:5;
nothing is left out, so every row is read, drawn and written. The first run parses the files into
the cache; the second, with another seed, finds them there and mixes only.

Printed are megabytes of output a second, and the peak of the memory that the process has for
itself. Pages of mapped files are not counted: the system takes them back when it needs them. Ten
million rows take about 10 GB in the folder and half an hour.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.memory import own_memory

_BLOCK = 10_000


def write_rows(path: Path, name: str, rows: int) -> None:
    with path.open("w", encoding="utf-8") as out:
        for start in range(0, rows, _BLOCK):
            out.writelines(
                f'{{"instruction": "{name} {at}: 高血压患者能吃党参吗？", "input": "", '
                f'"output": "{at * 7919 % 99991}: 可以，但应在医生指导下服用，并注意监测血压。"}}\n'
                for at in range(start, min(rows, start + _BLOCK))
            )


def run(folder: Path, seed: int) -> tuple[float, int, int]:
    """Return seconds, peak memory in MB and bytes of the output."""
    typed = ["--domain", "domain.jsonl", "--general", "general.jsonl", "--ratio", "1:5"]
    command = [sys.executable, "-m", "curate", "mix", *typed, "--name", "x", "--seed", str(seed)]
    environment = {**os.environ, "CURATRAIN_CACHE": str(folder / "cache")}
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    memory = own_memory(process)
    if process.wait():
        raise SystemExit(f"curate mix ended with {process.returncode}")
    return time.perf_counter() - began, memory, (folder / "data" / "x.jsonl").stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--folder", type=Path, help="where to work; default: the system's")
    given = parser.parse_args()
    for rows in given.rows:
        with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
            folder = Path(scratch)
            domain = rows // 6
            write_rows(folder / "domain.jsonl", "domain", domain)
            write_rows(folder / "general.jsonl", "general", 5 * domain)
            for seed, what in ((0, "parsed and mixed"), (1, "mixed")):
                seconds, memory, size = run(folder, seed)
                print(
                    f"{6 * domain:,} rows {what}: {size / 1e6 / seconds:,.1f} MB/s, "
                    f"{6 * domain / seconds:,.0f} rows/s, {seconds:,.0f} s, "
                    f"peak {memory:,} MB of its own",
                    flush=True,
                )


if __name__ == "__main__":
    main()
