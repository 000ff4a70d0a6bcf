"""Which names and folders are taken, and how dataset_info.json is shared."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curate.data.read import read
from curate.emission.emit import check_target, default_name, write
from curate.errors import DataError, OutputError, UsageError
from curate.llamafactory.dataset_info import data_file, read_registry, register
from tests.emitting import CHINESE, emit, lines_of

__all__ = ["emit"]
pytestmark = pytest.mark.usefixtures("scratch_cache")


def registered(folder: Path, **entries: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "dataset_info.json").write_text(json.dumps(entries), encoding="utf-8")


def test_a_name_registered_by_hand_is_refused_unless_overwritten(tmp_path):
    registered(tmp_path, mine={"file_name": "elsewhere.json"})
    with pytest.raises(OutputError, match="'mine' is already in .*--overwrite"):
        check_target(tmp_path, "mine", "ifd", overwrite=False)
    check_target(tmp_path, "mine", "ifd", overwrite=True)
    check_target(tmp_path, "mine_too", "ifd", overwrite=False)


@pytest.mark.parametrize("suffix", [".jsonl", ".scores.parquet", ".manifest.json"])
def test_a_file_of_the_user_is_refused(tmp_path, suffix):
    (tmp_path / f"x{suffix}").write_text("not curate's")
    with pytest.raises(OutputError, match="something other than curate"):
        check_target(tmp_path, "x", "ifd", overwrite=False)
    assert (tmp_path / f"x{suffix}").read_text() == "not curate's"


def test_the_same_recipe_may_replace_and_another_may_not(emit):
    folder = emit(CHINESE)
    check_target(folder, "rows_ifd", "ifd", overwrite=False)
    with pytest.raises(OutputError, match="made by the recipe ifd; give another --name"):
        check_target(folder, "rows_ifd", "car", overwrite=False)


@pytest.mark.parametrize("name", ["a,b", "a b", "../x", ".x", "", "a/b", "x\n", "名 字"])
def test_names_that_cannot_be_one(tmp_path, name):
    with pytest.raises(UsageError, match="allowed are letters"):
        check_target(tmp_path, name, "ifd", overwrite=False)


def test_a_name_too_long_for_a_file_is_refused_before_the_work(tmp_path):
    with pytest.raises(OutputError, match="File name too long"):
        check_target(tmp_path, "长" * 100, "ifd", overwrite=False)


def test_the_longest_name_can_be_written(emit):
    name = "n" * 220
    folder = emit(CHINESE, name=name)
    assert len(lines_of(folder, name)) == 4


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("raw/huatuo v1.json", "huatuo_v1_ifd"),
        ("中文.jsonl", "中文_ifd"),
        ("a,b.json", "a_b_ifd"),
        ("....json", "rows_ifd"),
        (".hidden", "hidden_ifd"),
        ("bad\udcffname.json", "bad_name_ifd"),
    ],
)
def test_default_names_are_allowed_ones(tmp_path, path, name):
    assert default_name(Path(path), "ifd") == name
    check_target(tmp_path, name, "ifd", overwrite=False)


def test_a_folder_gives_its_name(tmp_path, monkeypatch):
    (tmp_path / "my data").mkdir()
    monkeypatch.chdir(tmp_path / "my data")
    assert default_name(Path("."), "ifd") == "my_data_ifd"


TURNS = 20


def emit_one(path: Path, folder: Path, number: int, together: Any) -> None:
    rows = read(path)
    everything = np.ones(len(rows), dtype=bool)
    together.wait(60)
    for turn in range(TURNS):
        name = f"set{number}_{turn}"
        write(folder, name, rows, everything, pa.table({"n": [1]}), {"recipe": "ifd"})


def test_four_processes_at_once_lose_no_entry(write_json, tmp_path):
    registered(tmp_path / "data", mine={"file_name": "x.json"})
    path = write_json(CHINESE)
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(4)
    runs = [
        context.Process(target=emit_one, args=(path, tmp_path / "data", number, together))
        for number in range(4)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0] * 4
    entries = json.loads((tmp_path / "data" / "dataset_info.json").read_text(encoding="utf-8"))
    assert set(entries) == {"mine", *(f"set{n}_{turn}" for n in range(4) for turn in range(TURNS))}


# dataset_info.json


def test_other_entries_stay_as_they_were(emit, tmp_path):
    others = {
        "z_first": {
            "file_name": "z.json",
            "unknown": [1, {"中": None}],
            "columns": {"b": 1, "a": 2},
        },
        "hub": {"hf_hub_url": "someone/something", "subset": "x"},
    }
    registered(tmp_path / "data", **others)
    folder = emit(CHINESE)
    text = (folder / "dataset_info.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert list(found) == ["z_first", "hub", "rows_ifd"]
    del found["rows_ifd"]
    assert json.dumps(found) == json.dumps(others)
    assert "中" in text


def test_an_entry_of_the_same_name_keeps_its_place(tmp_path):
    registered(tmp_path, a={"file_name": "a"}, b={"file_name": "b"})
    register(tmp_path, "a", {"file_name": "new"})
    assert list(read_registry(tmp_path).items()) == [
        ("a", {"file_name": "new"}),
        ("b", {"file_name": "b"}),
    ]


def test_a_byte_order_mark_is_no_error(emit, tmp_path):
    (tmp_path / "data").mkdir()
    info = tmp_path / "data" / "dataset_info.json"
    info.write_bytes(b"\xef\xbb\xbf" + json.dumps({"mine": {"file_name": "x"}}).encode())
    emit(CHINESE)
    assert list(json.loads(info.read_text(encoding="utf-8"))) == ["mine", "rows_ifd"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is broken"), ("[]", "no JSON object"), ("", "is broken"), ("\xff", "is broken")],
)
def test_a_broken_file_is_told_before_the_work_and_stays(tmp_path, text, message):
    (tmp_path / "dataset_info.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(OutputError, match=message):
        check_target(tmp_path, "x", "ifd", overwrite=text == "{")
    assert (tmp_path / "dataset_info.json").read_bytes() == text.encode("latin-1")


def test_a_link_stays_a_link_and_the_mode_stays(emit, tmp_path):
    registered(tmp_path / "llamafactory", mine={"file_name": "x"})
    real = tmp_path / "llamafactory" / "dataset_info.json"
    real.chmod(0o664)
    (tmp_path / "data").mkdir()
    link = tmp_path / "data" / "dataset_info.json"
    link.symlink_to(real)
    emit(CHINESE)
    assert link.is_symlink()
    assert list(json.loads(real.read_text(encoding="utf-8"))) == ["mine", "rows_ifd"]
    assert real.stat().st_mode & 0o777 == 0o664


def test_an_output_that_is_a_file_is_told(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(OutputError, match="cannot write to .*data"):
        check_target(tmp_path / "data", "x", "ifd", overwrite=False)


def test_a_registered_name_leads_to_its_file_or_folder(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "rows.jsonl").touch()
    registered(tmp_path, a={"file_name": "rows.jsonl"}, b={"file_name": "parts"})
    assert data_file(tmp_path, "a") == tmp_path / "rows.jsonl"
    assert data_file(tmp_path, "b") == tmp_path / "parts"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rowz", "no data set 'rowz'. Did you mean 'rows'.* It has rows, hub, listed, bare"),
        ("hub", "hf_hub_url takes it from elsewhere"),
        ("listed", "is no JSON object but \\[1\\]"),
        ("bare", "has no file_name .it has columns"),
        ("rows", "no 'row.json' in .* Did you mean 'rows.json'"),
    ],
)
def test_a_name_that_leads_to_no_file_says_why(tmp_path, name, message):
    entries = {"rows": {"file_name": "row.json"}, "hub": {"hf_hub_url": "a/b"}, "listed": [1]}
    registered(tmp_path, **entries, bare={"columns": {}})
    (tmp_path / "rows.json").touch()
    with pytest.raises(DataError, match=message):
        data_file(tmp_path, name)
    with pytest.raises(DataError, match="no dataset_info.json with data sets"):
        data_file(tmp_path / "elsewhere", name)
