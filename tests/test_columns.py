"""Emitted files are tables: one type a column, wherever in the file it shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curate.data.even_columns import columns_of
from tests.emitting import CHINESE, HUATUO, as_table, emit, lines_of

__all__ = ["emit"]
pytestmark = pytest.mark.usefixtures("scratch_cache")


@pytest.mark.parametrize(
    ("given", "written", "as_text"),
    [
        ([1, "x", None], ["1", "x", None], ["meta"]),
        ([1, 2.5, None], [1, 2.5, None], []),
        ([True, 1, 2], ["true", "1", "2"], ["meta"]),
        ([{"a": 1}, "x", [2]], ['{"a": 1}', "x", "[2]"], ["meta"]),
        ([float("nan"), 1.5, 2], [None, 1.5, 2], []),
        ([float("inf"), float("-inf"), "中"], ["Infinity", "-Infinity", "中"], ["meta"]),
        ([{"a": 1}, {"a": "x"}, {"b": 2}], [{"a": "1"}, {"a": "x"}, {"b": 2}], ["meta.a"]),
        ([[1, "x"], [], [None]], [["1", "x"], [], [None]], ["meta[]"]),
        ([{"a": {"b": float("nan")}}] * 3, [{"a": {"b": None}}] * 3, []),
        ([[["a"]], "", []], [[["a"]], None, []], []),
        ([{"a": 1}, "x", {"a": "y"}], ['{"a": 1}', "x", '{"a": "y"}'], ["meta"]),
        ([10**20, 1, 2], [10**20, 1, 2], []),
    ],
)
def test_mixed_columns_become_text_and_stay_readable(emit, given, written, as_text):
    values = [
        {**row, "meta": each} if each is not None else row
        for row, each in zip(CHINESE, given, strict=False)
    ]
    folder = emit(values)
    assert [line["meta"] for line in lines_of(folder)] == written
    made = json.loads((folder / "rows_ifd.manifest.json").read_text(encoding="utf-8"))
    assert made["columns_as_text"] == as_text
    assert as_table(folder).num_rows == len(values)


def test_a_column_nobody_uses_in_a_message_cannot_break_the_file(emit):
    values = json.loads(json.dumps(HUATUO))
    values[0]["conversations"][0]["loss"] = True
    values[1]["conversations"][0]["loss"] = "no"
    folder = emit(values)
    assert as_table(folder).num_rows == 4
    assert lines_of(folder)[1]["conversations"][0] == {
        "from": "human",
        "value": "问1",
        "loss": "no",
    }
    assert lines_of(folder)[2] == HUATUO[2]


def test_history_of_a_csv_is_a_list_or_nothing(emit):
    values = [{**CHINESE[0], "history": [["a", "b"]]}, {**CHINESE[1], "history": ""}]
    assert [line["history"] for line in lines_of(emit(values))] == [[["a", "b"]], None]


def test_rows_with_other_keys_become_one_table(emit):
    values = [{**CHINESE[0], "id": 1}, {"source": "x", **CHINESE[1]}]
    folder = emit(values)
    assert set(as_table(folder).column_names) == {"instruction", "input", "output", "id", "source"}
    assert lines_of(folder) == [{**values[0], "source": None}, {**values[1], "id": None}]


def load_as_datasets_does(path: Path, cache: Path) -> int:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(cache)
    )
    return len(loaded)


def test_datasets_reads_mixed_rows(emit, tmp_path):
    values = [{**row, "meta": each} for row, each in zip(CHINESE, [1, "x", None, [2]], strict=True)]
    path = emit(values) / "rows_ifd.jsonl"
    assert load_as_datasets_does(path, tmp_path / "hf") == 4


@pytest.mark.parametrize("format_", ["alpaca", "sharegpt"])
def test_datasets_reads_what_turns_up_after_its_first_ten_megabytes(emit, tmp_path, format_):
    pytest.importorskip("datasets")
    early = json.loads(json.dumps(CHINESE[0] if format_ == "alpaca" else HUATUO[0]))
    late = json.loads(json.dumps(early))
    early["note"] = "x" * 10_000
    late |= {"system": "s", "score": 1.5, "tags": ["a"], "extra": {"b": 1}, "note": "y"}
    if format_ == "alpaca":
        late["history"] = [["早", "好"]]
    if format_ == "sharegpt":
        late["conversations"][0] |= {"name": "n", "weight": 2}
    values = [{**early, "score": 1, "tags": []}] * 1300 + [late]
    folder = emit(values)
    path = folder / "rows_ifd.jsonl"
    assert path.stat().st_size > 12_000_000
    assert load_as_datasets_does(path, tmp_path / "hf") == 1301
    # A list that is read by name has to be one from the beginning.
    written = lines_of(folder)
    assert written[0 if format_ == "alpaca" else -1]["note"] == "y"
    assert sum(line["note"] == "y" for line in written) == 1


# Types that show late, with a beginning of a few characters


def evened(values, registered=(), head=10):
    columns = columns_of(values, registered, head)
    return [columns.even(value) for value in values], columns.as_text()


EARLY = {"text": "long enough to be the whole beginning"}


@pytest.mark.parametrize(
    ("first", "late", "expected"),
    [
        ({}, {"a": "x"}, ["", "x"]),
        ({"a": None}, {"a": "x"}, ["", "x"]),
        ({"a": "y"}, {"a": "x"}, ["y", "x"]),
        ({}, {"a": 1}, ["", "1"]),
        ({"a": None}, {"a": [1]}, ["", "[1]"]),
        ({"a": []}, {"a": ["中"]}, ["[]", '["中"]']),
        ({"a": 1}, {"a": 1.5}, [1.0, 1.5]),
        ({"a": 1.5}, {"a": 1}, [1.5, 1]),
        ({"a": {"b": 1}}, {"a": {"c": 2}}, [{"b": 1, "c": ""}, {"c": "2"}]),
        (
            {"a": [{"b": 1}]},
            {"a": [{"b": 1, "c": "x"}]},
            [[{"b": 1, "c": ""}], [{"b": 1, "c": "x"}]],
        ),
    ],
)
def test_a_type_that_shows_late_shows_from_the_beginning(first, late, expected):
    found, _ = evened([EARLY | first, EARLY | late])
    assert [row["a"] for row in found] == expected
    assert [type(row["a"]) for row in found] == [type(each) for each in expected]


def test_lists_that_are_read_by_name_stay_lists():
    values = [EARLY, {**EARLY, "history": [["a", "b"]]}]
    assert evened(values, registered={"history"})[0][1]["history"] == [["a", "b"]]
    assert evened(values)[0][1]["history"] == '[["a", "b"]]'


def test_the_first_row_with_a_list_that_is_read_by_name_is_written_first():
    late = {**EARLY, "history": [["a", "b"]]}
    rows = [EARLY, {**EARLY, "history": []}, late, late, {**EARLY, "images": ["a"]}]
    assert columns_of(rows, {"history", "images"}, 10).first == (2, 4)
    assert columns_of(rows, {"history", "images"}).first == ()
    assert columns_of(rows, (), 10).first == ()


def test_rows_that_agree_are_written_as_they_are():
    values = [{"a": 1, "b": [{"c": "x"}]}, {"b": [], "a": 2}]
    found, as_text = evened(values, head=1000)
    assert all(each is value for each, value in zip(found, values, strict=True))
    assert as_text == []


def test_rows_are_not_changed():
    values = [{"a": {"b": 1}}, {"a": {"b": "x", "c": 1}}]
    before = json.dumps(values)
    evened(values, head=1)
    assert json.dumps(values) == before


def test_no_rows_have_no_columns():
    assert columns_of([]).keys == ()
