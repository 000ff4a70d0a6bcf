"""The cache of parsed files: made once, made again when it is damaged, small in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from curate.data import row_cache
from curate.data.read import read
from curate.errors import DataError, OutputError

VALUES = [{"instruction": f"{each}?", "input": "", "output": "yes"} for each in range(50)]
# 200,000 rows have 65 MB of text; their hashes and counts have 3.
MEGABYTES = 50


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache / "rows"


@pytest.fixture
def parsed(monkeypatch):
    """Files that were parsed, not taken from the cache."""
    names = []
    real = row_cache._ingest

    def ingest(path, name, *rest):
        names.append(name)
        return real(path, name, *rest)

    monkeypatch.setattr(row_cache, "_ingest", ingest)
    return names


def test_the_second_time_a_file_is_not_parsed(write_json, parsed):
    path = write_json(VALUES)
    first, second = read(path), read(path)
    assert parsed == ["rows.json"]
    assert first.table.equals(second.table)
    assert (first.shape, first.sources) == (second.shape, second.sources)


def test_the_same_bytes_under_another_name_are_not_parsed_and_have_that_name(write_json, parsed):
    read(write_json(VALUES))
    assert read(write_json(VALUES, "other.json")).sources[0].name == "other.json"
    assert parsed == ["rows.json"]


def test_other_bytes_under_the_same_name_are_parsed(write_json, parsed):
    read(write_json(VALUES))
    assert len(read(write_json(VALUES[:3]))) == 3
    assert parsed == ["rows.json"] * 2


def cut(size):
    return lambda path: os.truncate(path, path.stat().st_size * size // 100)


def emptied(path):
    path.write_bytes(b"")


def rubbish(path):
    path.write_bytes(b"\xff" * path.stat().st_size)


def halved(path):
    known = json.loads(path.read_text())
    path.write_text(json.dumps({"shape": known["shape"]}))


@pytest.mark.parametrize("damage", [cut(99), cut(50), cut(1), emptied, rubbish, os.unlink])
@pytest.mark.parametrize("suffix", [".arrow", ".json"])
def test_a_damaged_cache_is_made_again(write_json, cache, parsed, damage, suffix):
    path = write_json(VALUES)
    before = read(path).table.to_pylist()
    (victim,) = cache.glob(f"*{suffix}")
    damage(victim)
    assert read(path).table.to_pylist() == before
    assert parsed == ["rows.json"] * 2
    read(path)
    assert len(parsed) == 2


@pytest.mark.parametrize("card", ["{}", "[]", "null", '{"source": {}, "shape": {}}'])
def test_a_card_that_says_nothing_is_made_again(write_json, cache, parsed, card):
    path = write_json(VALUES)
    read(path)
    (victim,) = cache.glob("*.json")
    victim.write_text(card)
    assert len(read(path)) == 50
    assert len(parsed) == 2


def test_a_card_without_its_source_is_made_again(write_json, cache, parsed):
    path = write_json(VALUES)
    read(path)
    (victim,) = cache.glob("*.json")
    halved(victim)
    assert len(read(path)) == 50
    assert len(parsed) == 2


def test_what_fails_leaves_nothing_behind(tmp_path, cache):
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(VALUES)[:-20])
    for _ in range(2):
        with pytest.raises(DataError, match="broken.json ends inside row 50"):
            read(path)
    assert [each.name for each in cache.iterdir() if not each.name.endswith(".lock")] == []


def test_what_a_killed_run_left_is_written_over(write_json, cache):
    path = write_json(VALUES)
    read(path)
    (whole,) = cache.glob("*.arrow")
    (card,) = cache.glob("*.json")
    card.unlink()
    whole.rename(whole.with_name(f".{whole.name}.part"))
    assert len(read(path)) == 50
    assert sorted(each.suffix for each in cache.iterdir()) == [".arrow", ".json", ".lock"]


def test_a_cache_that_cannot_be_written_is_told(write_json, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CURATRAIN_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="rows cannot be written .*CURATRAIN_CACHE"):
        read(write_json(VALUES))


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
for row in read(small): pass
seen, done = [own()], threading.Event()
watcher = threading.Thread(target=watch)
watcher.start()
count = sum(1 for row in read(large))
done.set()
watcher.join()
print(count, len(seen), max(seen) - seen[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_memory_does_not_grow_with_the_rows(write_json, tmp_path, parsed):
    large = tmp_path / "large.jsonl"
    with large.open("w", encoding="utf-8") as out:
        for each in range(200_000):
            answer = f"可以，但是要先问医生{each}。" * 8
            out.write(f'{{"instruction": "能吃党参吗？{each}", "output": "{answer}"}}\n')
    assert large.stat().st_size > 60e6
    command = [sys.executable, "-c", _CHILD, str(write_json(VALUES)), str(large)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    count, samples, megabytes = map(int, run.stdout.split())
    assert count == 200_000
    assert samples > 20
    assert megabytes < MEGABYTES
    assert len(read(large)) == 200_000
    assert parsed == []


def test_cards_that_another_process_takes_away_are_passed_over(write_json, cache):
    rows = read(write_json(VALUES))
    (cache / "gone.json").symlink_to(cache / "nowhere")
    assert len(list(row_cache.read_before(rows.sources[0]))) == 1
