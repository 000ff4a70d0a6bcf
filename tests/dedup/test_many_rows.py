"""Many rows: in several processes, and where a killed run has begun, as in one process at once."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

import curate
from curate.choices.emitting import emit
from curate.duplicates import sketches
from curate.duplicates.journal import Journal
from curate.recipes import dedup
from tests.benchmarks import made_rows

pytestmark = pytest.mark.timeout(300)
ROWS = 21_000


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    path = tmp_path_factory.mktemp("many") / "rows.jsonl"
    made_rows.write("mixed", path, ROWS)
    return path


def run(path, folder, wait=None):
    """Run `curate dedup`; end it by SIGKILL once so many bytes are kept, if it is to be."""
    line = [sys.executable, "-m", "curate", "dedup", "--input", str(path), "--name", "x"]
    cache = folder / "cache"
    environment = {**os.environ, "CURATRAIN_CACHE": str(cache)}
    process = subprocess.Popen(
        [*line, "--output", str(folder / "data")],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = time.monotonic() + 120
    while wait and sum(kept.stat().st_size for kept in cache.glob("scratch/dedup-*")) < wait:
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.005)
    if wait:
        process.kill()
    said = process.communicate(timeout=120)[1]
    assert process.returncode == (-signal.SIGKILL if wait else 0), said
    return said


def test_killed_runs_go_on_and_end_with_the_same_bytes(many, tmp_path, monkeypatch):
    for wait in (2_000_000, 5_000_000, None):
        said = run(many, tmp_path / "killed", wait)
    signed = re.search(r"([\d,]+) rows were signed by a run that had ended", said)
    assert 2000 <= int(signed[1].replace(",", "")) < ROWS
    assert list((tmp_path / "killed/cache/scratch").glob("dedup-*.sqlite*")) == []
    monkeypatch.setattr(dedup, "MANY", ROWS + 1)
    choice = curate.dedup(many)
    assert {"exact_duplicate", "near_duplicate"} <= choice.summary().dropped.keys()
    emit(choice, tmp_path / "one", "x")
    for name in ("x.jsonl", "x.scores.parquet"):
        one, killed = (tmp_path / each / name for each in ("one", "killed/data"))
        assert one.read_bytes() == killed.read_bytes()


def test_pairs_that_were_compared_are_not_compared_again(rows, monkeypatch):
    values = [{"instruction": f"{n} " + "many of the same words " * 9, "output": f"{n % 7}"}
              for n in range(300)]  # fmt: skip
    rows, compared = rows(values), []

    def counted(texts, *pairs):
        compared.append(len(pairs[0]))
        if len(compared) == stop:
            raise KeyboardInterrupt
        return jaccard(texts, *pairs)

    jaccard = sketches.jaccard
    monkeypatch.setattr(sketches, "jaccard", counted)
    monkeypatch.setattr(sketches, "cores", lambda: 1)
    monkeypatch.setattr(sketches, "_PAIRS", 100)
    stop = 0
    at_once = curate.dedup(rows)
    monkeypatch.setattr(dedup, "MANY", 100)
    monkeypatch.setattr("curate.duplicates.alike.BLOCK", 50)
    whole = compared.copy()
    compared.clear()
    curate.dedup(rows)
    whole, stop = compared.copy(), len(compared) // 2
    compared.clear()
    with pytest.raises(KeyboardInterrupt):
        curate.dedup(rows)
    stop = 0
    compared.clear()
    again = curate.dedup(rows)
    assert 0 < sum(compared) < sum(whole)
    assert (again.choice.reason == at_once.choice.reason).all()


def test_a_file_that_is_held_or_damaged_is_done_without(tmp_path):
    first = Journal(tmp_path / "kept.sqlite")
    assert first.get("a", "<i8", lambda: [1, 2]).tolist() == [1, 2]
    second = Journal(tmp_path / "kept.sqlite")
    assert second.get("a", "<i8", lambda: [3]).tolist() == [3]
    second.close(ended=True)
    assert first.get("a", "<i8", lambda: [3]).tolist() == [1, 2]
    first.close(ended=False)
    assert Journal(tmp_path / "kept.sqlite").get("a", "<i8", lambda: [3]).tolist() == [1, 2]
    (tmp_path / "spoiled.sqlite").write_bytes(b"no database" * 400)
    spoiled = Journal(tmp_path / "spoiled.sqlite")
    assert "a" not in spoiled
    assert spoiled.get("a", "<i8", lambda: [4]).tolist() == [4]
    assert "a" in spoiled
