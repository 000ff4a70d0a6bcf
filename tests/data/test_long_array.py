"""A JSON array of any size on one line is read in the memory of a few rows."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from curate.data.read import read
from curate.errors import DataError

MEGABYTES = 50
_CHILD = """
import re, sys, threading
from pathlib import Path
from curate.data.read import read

def own():
    # Pages of mapped files are not counted: the system takes them back when it needs them.
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

def watch():
    while not done.wait(0.01):
        seen.append(own())

small, large = sys.argv[1:]
print(len(read(small)))
seen, done = [own()], threading.Event()
watcher = threading.Thread(target=watch)
watcher.start()
rows = read(large)
text = repr(rows)
done.set()
watcher.join()
print(len(rows), len(seen), max(seen) - seen[0])
"""


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


def rows_of(count, text):
    return ({"question": f"能吃党参吗？{each}", "answer": text} for each in range(count))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_one_line_of_150_megabytes(tmp_path):
    small, large = tmp_path / "small.json", tmp_path / "large.json"
    small.write_text(json.dumps(list(rows_of(3, "a"))), encoding="utf-8")
    with large.open("w", encoding="utf-8") as out:
        out.write("[")
        for place, row in enumerate(rows_of(90_000, "可以，但是要先问医生。" * 50)):
            out.write(", " * bool(place) + json.dumps(row, ensure_ascii=False))
        out.write("]")
    assert large.stat().st_size > 150e6
    command = [sys.executable, "-c", _CHILD, str(small), str(large)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    first, count, samples, megabytes = map(int, re.findall(r"\d+", run.stdout))
    assert (first, count) == (3, 90_000)
    assert samples > 20
    assert megabytes < MEGABYTES


@pytest.mark.parametrize("before", ["[", ""])
def test_a_single_row_over_the_limit_is_refused_with_a_way_out(tmp_path, before):
    path = tmp_path / "one.json"
    with path.open("w", encoding="utf-8") as out:
        out.write(before + '{"question": "a", "answer": "')
        for _ in range(70):
            out.write("x" * (1 << 20))
        out.write('"}' + ("]" if before else "\n"))
    with pytest.raises(DataError) as error:
        read(path)
    told = str(error.value)
    assert told.startswith("one.json, row 1 (line 1)") or told.startswith("one.json, line 1")
    assert "longer than 67,108,864 characters, the most that is read; take that row out" in told
    assert "if one object wraps the whole file, save the list in it alone" in told
