"""Kills, runs at the same moment, memory: what only processes of their own can show."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.memory import own_memory
from tests.mix.mixing import emitted, rows, save, table

pytestmark = pytest.mark.usefixtures("scratch_cache")
LONG = "x" * 20_000


def start(*arguments: object, cwd: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "curate", "mix", *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=100)
    assert process.returncode == 0, said.decode()


def seen(folder: Path) -> set[str]:
    """Return the files that anybody would take for a data set."""
    return {each.name for each in folder.iterdir() if not each.name.startswith(".")}


@pytest.mark.parametrize("moment", ["while lines are written", "before the table", "at once"])
def test_a_killed_run_leaves_no_half_data_set(tmp_path, moment):
    """kill -9 at the moment when the data's unfinished file has grown, or others are there."""
    save(tmp_path / "d.json", [{**row, "output": LONG} for row in rows("d", 300)])
    save(tmp_path / "g.json", [{**row, "output": LONG} for row in rows("g", 900)])
    typed = ("--domain", "d.json", "--general", "g.json", "--ratio", "1:3", "--name", "x")
    data = tmp_path / "data"
    process = start(*typed, cwd=tmp_path)
    waited = {
        "while lines are written": lambda: part(data, "jsonl") > 1 << 20,
        "before the table": lambda: part(data, "jsonl") > 22 << 20,
        "at once": lambda: data.is_dir(),
    }[moment]
    deadline = time.monotonic() + 60
    while not waited() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    whole = process.returncode == 0  # it was quicker than we
    assert seen(data) <= (seen(data) if whole else {"x.jsonl"})
    if not whole and "x.jsonl" in seen(data):
        assert len(emitted(data, "x")) == 1200
    end(start(*typed, cwd=tmp_path))
    assert seen(data) == {"x.jsonl", "x.scores.parquet", "x.manifest.json", "dataset_info.json"}
    assert len(emitted(data, "x")) == 1200
    assert not [each for each in data.iterdir() if each.name.endswith(".part")]


def part(folder: Path, suffix: str) -> int:
    try:
        return (folder / f".x.{suffix}.part").stat().st_size
    except OSError:
        return 0


def test_two_runs_at_the_same_moment_both_have_their_entry(tmp_path):
    save(tmp_path / "d.json", rows("d", 200))
    save(tmp_path / "g.json", rows("g", 2000))
    typed = ("--domain", "d.json", "--general", "g.json")
    ratios = {f"x{k}": f"1:{k}" for k in (1, 2, 3, 5)}
    both = [start(*typed, "--ratio", r, "--name", n, cwd=tmp_path) for n, r in ratios.items()]
    for process in both:
        end(process)
    entries = json.loads((tmp_path / "data" / "dataset_info.json").read_text("utf-8"))
    assert set(entries) == set(ratios)
    for name, ratio in ratios.items():
        assert len(emitted(tmp_path / "data", name)) == 200 + 200 * int(ratio[2:])
        assert sum(line["times"] for line in table(tmp_path / "data", name)) == 200 * (
            1 + int(ratio[2:])
        )


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="memory is read from /proc")
def test_one_line_of_any_length_is_read_in_the_same_memory(tmp_path):
    """A JSON array without a line end: three times the bytes in the same memory."""
    most = {}
    for size in (2500, 7500):
        folder = tmp_path / str(size)
        folder.mkdir()
        for name, count in (("d", 10), ("g", size)):
            with (folder / f"{name}.json").open("w", encoding="utf-8") as out:
                out.write("[")
                for at, row in enumerate(rows(name, count)):
                    out.write("," * bool(at) + json.dumps({**row, "output": f"{at} {LONG}"}))
                out.write("]")
        ratio = f"1:{size // 10}"
        process = start("--domain", "d.json", "--general", "g.json", "--ratio", ratio, cwd=folder)
        most[size] = own_memory(process)
        end(process)
        data = folder / "data" / "d_mix.jsonl"
        assert data.stat().st_size > 20_000 * size
        assert sum(1 for _ in data.open("rb")) == size + 10
    # 100 MB more of rows; both are larger than what is put in order at a time (32 MB).
    assert most[7500] - most[2500] < 50, most
