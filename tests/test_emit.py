"""What lies in the output folder after a run, to the byte."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
import pytest

from curate.data.read import read
from curate.emission import emit as module
from curate.emission.emit import check_target, write
from curate.errors import DataError, OutputError
from tests.emitting import CHINESE, HUATUO, MANIFEST, as_table, emit, entry_in, lines_of

__all__ = ["emit"]

pytestmark = pytest.mark.usefixtures("scratch_cache")

# Files


def test_rows_are_whole_in_input_order_and_in_chinese(emit):
    folder = emit(CHINESE, kept=[2, 0])
    text = (folder / "rows_ifd.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line) for line in text.splitlines()] == [CHINESE[0], CHINESE[2]]
    assert "高血压患者能吃党参吗？0" in text
    assert "\\u" not in text
    assert text.endswith("\n")


def test_the_four_files_and_nothing_else(emit):
    folder = emit(CHINESE)
    assert sorted(each.name for each in folder.iterdir() if not each.name.endswith(".lock")) == [
        "dataset_info.json",
        "rows_ifd.jsonl",
        "rows_ifd.manifest.json",
        "rows_ifd.scores.parquet",
    ]
    assert pq.read_table(folder / "rows_ifd.scores.parquet").num_rows == 4


def test_manifest_has_the_output_and_its_sha256(emit):
    folder = emit(CHINESE, kept=[1, 3])
    made = json.loads((folder / "rows_ifd.manifest.json").read_text(encoding="utf-8"))
    data = (folder / "rows_ifd.jsonl").read_bytes()
    assert made["output"] == {
        "file": "rows_ifd.jsonl",
        "sha256": hashlib.sha256(data).hexdigest(),
        "rows": 2,
    }
    assert {key: made[key] for key in MANIFEST} == MANIFEST


def test_the_manifest_comes_last(emit, monkeypatch):
    order = []
    real = os.replace

    def replace(source, target):
        order.append(Path(target).name)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    emit(CHINESE)
    assert order[-4:] == [
        "rows_ifd.jsonl",
        "rows_ifd.scores.parquet",
        "dataset_info.json",
        "rows_ifd.manifest.json",
    ]


def test_twice_is_the_same_bytes(emit):
    folders = [emit(HUATUO, folder=name) for name in ("a", "b")]
    for file in ("rows_ifd.jsonl", "rows_ifd.scores.parquet", "dataset_info.json"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()


# The entry


def test_alpaca_entry_names_all_columns(emit):
    assert entry_in(emit(CHINESE)) == {
        "file_name": "rows_ifd.jsonl",
        "formatting": "alpaca",
        "columns": {"prompt": "instruction", "query": "input", "response": "output"},
    }


def test_sharegpt_entry_has_all_seven_tags(emit):
    assert entry_in(emit(HUATUO)) == {
        "file_name": "rows_ifd.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "conversations"},
        "tags": {
            "role_tag": "from",
            "content_tag": "value",
            "user_tag": "human",
            "assistant_tag": "gpt",
            "observation_tag": "observation",
            "function_tag": "function_call",
            "system_tag": "system",
        },
    }


def test_role_and_content_is_sharegpt_and_never_openai(emit):
    turns = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]
    entry = entry_in(emit([{"messages": turns}] * 2))
    assert entry["formatting"] == "sharegpt"
    assert entry["columns"] == {"messages": "messages"}
    assert (entry["tags"]["role_tag"], entry["tags"]["user_tag"]) == ("role", "user")
    assert len(entry["tags"]) == 7


def test_ranking_entry(emit):
    pair = {"instruction": "?", "input": "", "chosen": "good", "rejected": "bad"}
    entry = entry_in(emit([pair]))
    assert entry["ranking"] is True
    assert entry["columns"] == {
        "prompt": "instruction",
        "query": "input",
        "chosen": "chosen",
        "rejected": "rejected",
    }


def test_a_column_that_only_dropped_rows_have_is_not_named(emit):
    values = [{**CHINESE[0], "history": [["a", "b"]], "system": "s"}, CHINESE[1], CHINESE[2]]
    folder = emit(values, kept=[1, 2])
    columns = entry_in(folder)["columns"]
    assert set(columns.values()) == set(as_table(folder).column_names)
    assert set(entry_in(emit(values, kept=[0, 1], name="all"), "all")["columns"]) == {
        *columns,
        "history",
        "system",
    }


def test_a_column_that_turns_up_late_is_named_and_every_row_has_it(emit):
    values = [{"instruction": f"{each}?", "output": "yes"} for each in range(300)]
    values[250]["system"] = "be brief"
    folder = emit(values, kept=[0, 250])
    assert entry_in(folder)["columns"]["system"] == "system"
    assert [line["system"] for line in lines_of(folder)] == [None, "be brief"]


# What must not be emitted


def test_a_row_with_half_an_emoji_is_left_out_and_breaks_nothing(emit, write_json, tmp_path):
    path = tmp_path / "rows.json"
    broken = r'{"instruction": "cut \ud83d", "input": "", "output": "x"}'
    path.write_text(f"[{broken}, {json.dumps(CHINESE[0])}]", encoding="utf-8")
    rows = read(path)
    assert [row.flaw for row in rows] == ["lone_surrogate", ""]
    kept = np.array([False, True])
    write(tmp_path / "data", "x_ifd", rows, kept, pa.table({"id": rows.ids.tolist()}), MANIFEST)
    assert lines_of(tmp_path / "data", "x_ifd") == [CHINESE[0]]


def test_a_flawed_row_is_refused_with_its_id_before_anything_is_written(emit, tmp_path):
    values = [CHINESE[0], {**CHINESE[1], "output": ""}, {**CHINESE[2], "output": ""}]
    with pytest.raises(DataError, match=r"rows\.json, row 2 .*id [0-9a-f]{16}: .*empty_response"):
        emit(values)
    assert not (tmp_path / "data").exists()


# A kill, a full disk


@pytest.mark.parametrize("at", range(5))
def test_a_run_that_ends_between_two_renames_can_be_given_again(emit, tmp_path, monkeypatch, at):
    whole = emit(CHINESE, folder="whole")
    count = 0
    real = os.replace

    def replace(source, target):
        nonlocal count
        if "data" in str(target):
            count += 1
            if count > at:
                raise KeyboardInterrupt
        real(source, target)

    # Rows are read before, so that only the renames of the output are counted.
    monkeypatch.setattr(module.os, "replace", replace)
    if at < 4:
        with pytest.raises(KeyboardInterrupt):
            emit(CHINESE)
    monkeypatch.undo()
    monkeypatch.setenv("CURATRAIN_CACHE", str(tmp_path / "cache"))
    check_target(tmp_path / "data", "rows_ifd", "ifd", overwrite=False)
    folder = emit(CHINESE)
    files = sorted(each.name for each in whole.iterdir())
    assert sorted(each.name for each in folder.iterdir()) == files
    for name in files:
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_what_a_killed_run_left_is_still_refused_to_another_recipe(emit, tmp_path, monkeypatch):
    folder = emit(CHINESE)
    (folder / "rows_ifd.manifest.json").rename(folder / ".rows_ifd.manifest.json.part")
    check_target(folder, "rows_ifd", "ifd", overwrite=False)
    with pytest.raises(OutputError, match="was made by the recipe ifd"):
        check_target(folder, "rows_ifd", "car", overwrite=False)
    (folder / "rows_ifd.jsonl").write_text("mine\n")
    with pytest.raises(OutputError, match="something other than curate"):
        check_target(folder, "rows_ifd", "ifd", overwrite=False)


def test_an_error_while_writing_leaves_what_was_there(emit, monkeypatch):
    folder = emit(CHINESE)
    before = {each.name: each.read_bytes() for each in folder.iterdir()}

    def full(*arguments):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(module.pq, "write_table", full)
    with pytest.raises(OutputError, match="No space left on device; make room"):
        emit(CHINESE[:2])
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before
