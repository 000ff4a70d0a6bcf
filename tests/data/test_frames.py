"""Rows out of a DataFrame and a Dataset, and rows handed out as a Dataset."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

import curate
from curate.data.read import read
from curate.errors import DataError, UsageError


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


ALPACA = [
    {"instruction": f"能吃党参吗？{place}", "input": "", "output": f"可以。{place % 7}"}
    for place in range(2500)
]
SHAREGPT = [
    {"conversations": [{"from": "human", "value": "头痛"}, {"from": "gpt", "value": "休息"}]},
    {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}] * 2},
]
NOT_THERE = [{"instruction": "c", "input": "d", "output": "e"}, {"instruction": "a", "output": "b"}]


@pytest.mark.parametrize("values", [ALPACA, SHAREGPT, NOT_THERE])
@pytest.mark.parametrize("frame", [pd.DataFrame, Dataset.from_list])
def test_a_row_has_the_id_that_it_has_in_a_file(write_json, values, frame):
    from_file, from_frame = read(write_json(values)), read(frame(values))
    assert list(from_frame.ids) == list(from_file.ids)
    assert [row.parsed for row in from_frame] == [row.parsed for row in from_file]
    assert from_frame.shape.columns == from_file.shape.columns


@pytest.mark.parametrize(
    "name", ["alpaca_zh.json", "dpo_zh.jsonl", "kto_en_demo.json", "c4_demo.jsonl"]
)
def test_real_rows(real, name):
    from_file = read(real(name))
    values = [row.value for row in from_file]
    assert list(read(pd.DataFrame(values)).ids) == list(from_file.ids)
    assert list(read(Dataset.from_list(values)).ids) == list(from_file.ids)


def test_a_dataset_is_read_as_it_was_filtered_and_shuffled(write_json):
    data = Dataset.from_list(ALPACA).shuffle(seed=1).select(range(40))
    assert list(read(data).ids) == list(read(write_json(data.to_list())).ids)


def test_frames_beside_files_and_each_other(write_json, tmp_path):
    rows = read([write_json(ALPACA[:3]), pd.DataFrame(ALPACA[3:5]), Dataset.from_list(ALPACA[5:9])])
    assert [(source.name, source.rows) for source in rows.sources] == [
        ("rows.json", 3),
        ("dataframe", 2),
        ("dataset", 4),
    ]
    assert list(rows.ids) == list(read(write_json(ALPACA[:9])).ids)
    emitted = curate.emit(curate.control(curate.select(rows, recipe="random", keep=5)), tmp_path)
    assert emitted


def test_what_stays_in_the_cache_folder_is_what_a_file_leaves(cache):
    read(pd.DataFrame(ALPACA[:3]))
    assert {path.name for path in cache.rglob("*") if path.is_file()} == {
        path.name for path in (cache / "rows").iterdir()
    }


def test_cells_of_any_kind(write_json):
    values = [
        {"instruction": "a", "output": "b", "tools": [{"name": "x"}], "n": 1},
        {"instruction": "c", "output": "\ud800", "tools": "[]", "n": "two"},
    ]
    rows = read(pd.DataFrame(values))
    assert list(rows.ids) == list(read(write_json(values)).ids)
    assert rows[1].flaw == "lone_surrogate"


def test_what_is_no_text_is_named():
    frame = pd.DataFrame({"instruction": ["a"], "output": ["b"], "image": [b"\x89PNG"]})
    for given in (frame, Dataset.from_pandas(frame)):
        with pytest.raises(DataError, match=r"row 0: column 'image' .*bytes is no JSON.*without"):
            read(given)


def test_two_columns_of_one_name():
    with pytest.raises(DataError, match="two columns named 'a'; rename"):
        read(pd.DataFrame([["x", "y"]], columns=["a", "a"]))


def test_a_frame_without_rows():
    for given in (pd.DataFrame(ALPACA[:0]), Dataset.from_list(ALPACA[:3]).select([])):
        with pytest.raises(DataError, match=r"^data\w+ is empty"):
            read(given)


def test_splits_are_refused_with_what_to_do():
    with pytest.raises(UsageError, match=r"splits train, test; .*data\['train'\]"):
        read(DatasetDict(train=Dataset.from_list(ALPACA[:3]), test=Dataset.from_list(ALPACA[:3])))
    with pytest.raises(UsageError, match="int is nothing that holds rows; give a path"):
        read([1])


def test_class_labels_stay_numbers():
    features = Features(
        instruction=Value("string"), output=Value("string"), kind=ClassLabel(names=["x", "y"])
    )
    data = Dataset.from_dict({"instruction": ["a"], "output": ["b"], "kind": ["y"]}, features)
    assert read(data)[0].value["kind"] == 1


def test_rows_as_a_dataset_and_back(write_json):
    rows = read([write_json(ALPACA[:1500]), write_json(ALPACA[1500:], "other.json")])
    data = rows.dataset
    assert data is rows.dataset
    assert len(data) == len(rows)
    assert data[1600]["raw"] == json.dumps(rows[1600].value, ensure_ascii=False).replace(
        '": "', '":"'
    ).replace('", "', '","')
    assert data["hash"][:] == rows.hashes.tolist()
    assert list(read(data).ids) == list(rows.ids)
    longest = data.filter(lambda row: row["prompt_characters"] > 8).select(range(0, 900, 3))
    kept = [row.id for row in rows if len(row.prompt) > 8][:900:3]
    assert list(read(longest).ids) == kept


def test_a_dataset_goes_to_another_process(write_json):
    rows = read(write_json(ALPACA))
    again = pickle.loads(pickle.dumps(rows.dataset))  # noqa: S301 - our own bytes
    assert again["hash"][:] == rows.hashes.tolist()


def test_fingerprints_tell_rows_apart(write_json):
    one, other = read(write_json(ALPACA)), read(write_json(ALPACA[:9], "other.json"))
    assert one.dataset._fingerprint == read(write_json(ALPACA)).dataset._fingerprint
    assert one.dataset._fingerprint != other.dataset._fingerprint


_CHILD = """
import re, sys
from pathlib import Path
from curate.data.read import read
import datasets

def own():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

rows = read(sys.argv[1])
len(rows.hashes)
before = own()
data = rows.dataset
total = sum(table.num_rows for table in data.with_format("arrow").iter(1000))
print(total, own() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_a_dataset_maps_the_file_and_does_not_hold_it(tmp_path):
    path = tmp_path / "rows.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for place in range(100_000):
            row = {"instruction": f"{place}", "output": "可以，但是要先问医生。" * 25}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    assert path.stat().st_size > 80e6
    run = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path)], capture_output=True, text=True, check=True
    )
    count, megabytes = map(int, re.findall(r"-?\d+", run.stdout))
    assert count == 100_000
    assert megabytes < 30
