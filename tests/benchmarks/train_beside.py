"""A step of training beside a busy neighbour, with threads that spin and with threads that wait.

python -m tests.benchmarks.train_beside [--pairs 3]

Each pair runs the two steps by which `train` chooses a precision (LoRA on smollm2, 256 tokens) as
libgomp does by default and with OMP_WAIT_POLICY=PASSIVE, which `train` gives its children, one
after the other: first alone, then beside one process that keeps one core busy. Printed are the
least seconds of a step over the pairs, and how many times as long the default takes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curate.models.inventory import fetched
from train.checks import precision

WAYS = {"spinning": {}, "waiting": {"OMP_WAIT_POLICY": "PASSIVE"}}


def seconds(folder: Path, variables: dict[str, str]) -> dict[str, float]:
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch, "seconds.json")
        command = [sys.executable, str(precision.__file__), str(folder), "256", "lora"]
        subprocess.run(
            [*command, str(result)],
            check=True,
            env={**environment, **variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return json.loads(result.read_text())


@contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    if not busy:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3)
    pairs = parser.parse_args().pairs
    folder = fetched("smollm2")
    for busy in (False, True):
        best: dict[tuple[str, str], float] = {}
        with neighbour(busy):
            for _ in range(pairs):
                for way, variables in WAYS.items():
                    for dtype, took in seconds(folder, variables).items():
                        best[way, dtype] = min(took, best.get((way, dtype), took))
        for dtype in ("float32", "bfloat16"):
            spinning, waiting = best["spinning", dtype], best["waiting", dtype]
            where = "beside one busy process" if busy else "alone"
            times = f"{spinning:.2f} s spinning, {waiting:.2f} s waiting"
            print(f"{where}, {dtype}: {times}, {spinning / waiting:.1f} times", flush=True)


if __name__ == "__main__":
    main()
