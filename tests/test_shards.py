"""Folders of many files: read in processes, and of those that cannot be read all are named."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curate
from curate.data import read as reading
from curate.errors import DataError
from tests.calling import Caller


@pytest.fixture
def shards(scratch_cache: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(6):
        rows = [{"instruction": f"{number} {n}", "output": "yes", "input": ""} for n in range(40)]
        if number % 2:
            pq.write_table(pa.Table.from_pylist(rows), folder / f"{number}.parquet")
        else:
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{number}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def broken(folder: Path) -> None:
    for name in ("2.jsonl", "3.parquet"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) - 70])


def test_several_processes_read_what_one_reads(shards, scratch_cache, monkeypatch):
    one = curate.read(shards)
    for file in (scratch_cache / "rows").iterdir():
        file.unlink()
    monkeypatch.setattr(reading, "cores", lambda: 2)
    monkeypatch.setattr(reading, "LEAST", 1)
    two = curate.read(shards)
    assert two.table.equals(one.table)
    assert (two.sources, list(two.ids)) == (one.sources, list(one.ids))


@pytest.mark.parametrize("processes", [1, 2])
def test_every_bad_shard_is_named_or_left_out_and_counted(shards, monkeypatch, processes):
    broken(shards)
    monkeypatch.setattr(reading, "cores", lambda: processes)
    monkeypatch.setattr(reading, "LEAST", 1)
    with pytest.raises(DataError, match=r"2 of 6 files cannot be read: 2\.jsonl .*; 3\.parquet "):
        curate.read(shards)
    rows = curate.read(shards, skip_bad_shards=True)
    assert len(rows) == 160
    assert "left out: 2 of 6 files that cannot be read: 2.jsonl, 3.parquet: " not in str(rows)
    assert "left out: 2 of 6 files that cannot be read: 2.jsonl, 3.parquet" in str(rows)


def test_on_the_command_line(shards, tmp_path, monkeypatch, capsys):
    broken(shards)
    monkeypatch.chdir(tmp_path)
    call = Caller(capsys)
    arguments = ("dedup", "--input", str(shards), "--name", "d")
    answer = call(*arguments)
    assert (answer.code, "2.jsonl" in answer.err, "3.parquet" in answer.err) == (2, True, True)
    assert call(*arguments, "--skip-bad-shards").code == 0
    assert len(Path("data/d.jsonl").read_text(encoding="utf-8").splitlines()) == 160


def test_where_none_can_be_read(shards):
    for path in shards.iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"6 of 6 files cannot be read"):
        curate.read(shards, skip_bad_shards=True)
