"""Other sets whose rows cannot be compared: an error for all, a number for some."""

import json

import pytest

import curate
from curate.data.read import read
from curate.errors import DataError
from tests.calling import Caller
from tests.dedup.conftest import pair

LONG = "高血压病人可以口服党参的。党参有降血脂，降血压的作用，可以清除血液中的垃圾，对冠心病有效。"


@pytest.fixture
def call(capsys):
    return Caller(capsys)


@pytest.fixture
def write(tmp_path):
    def write(values, name):
        path = tmp_path / name
        path.write_text(json.dumps(values), encoding="utf-8")
        return path

    return write


def test_a_set_of_which_no_row_can_be_compared_is_an_error(call, write, tmp_path):
    data = write([pair(LONG)], "rows.json")
    other = write([{"question": {"a": 1}, "answer": {"b": 2}}] * 3, "eval.json")
    call_it = ("dedup", "--input", data, "--against", other, "--output", tmp_path / "o")
    answer = call(*call_it)
    assert answer.code == 2
    (error,) = answer.errors
    assert "eval.json: none of its 3 rows can be compared" in error
    assert "3 of them for not_text" in error
    assert not list((tmp_path / "o").glob("*.jsonl"))
    with pytest.raises(DataError, match="none of its 3"):
        curate.dedup(read(data), read(other))


def test_rows_that_cannot_be_compared_are_counted(call, write, tmp_path):
    data = write([pair(LONG), pair("another question altogether")], "rows.json")
    flawed = {"question": {"a": 1}, "answer": {"b": 2}}
    other = write([{"question": LONG, "answer": "yes"}, flawed, flawed], "eval.json")
    answer = call(
        "dedup", "--input", data, "--against", other, "--output", tmp_path / "o", "--json"
    )
    assert answer.code == 0, answer.err
    found = json.loads(answer.out.splitlines()[-1])
    expected = [{"name": "eval.json", "rows": 3, "not_compared": 2, "flaws": {"not_text": 2}}]
    assert found["against"] == expected
    assert found["kept"] == 1
    assert "2 of 3 rows of eval.json cannot be compared (2 not_text)" in answer.err + answer.out
    assert "too short" not in answer.err + answer.out
    manifest = json.loads((tmp_path / "o" / "rows_dedup.manifest.json").read_text())
    assert manifest["against"] == expected


def test_lists_of_lists_are_read_as_a_reference_set(rows):
    other = rows([{"questions": [[LONG, "党参？"]], "answers": ["可以。"]}], "huatuo26m.json")
    assert (other[0].prompt, other[0].response, other[0].flaw) == (LONG, "可以。", "")
    assert other.sources[0].changes == {"the first of several texts of 'questions' taken": 1}
    found = curate.dedup(rows([pair(LONG, "no"), pair("another question altogether")]), other)
    assert found.summary().dropped == {"in_against": 1}


@pytest.mark.parametrize("value", [[], [[]], [["a", 1]], [None]])
def test_lists_that_hold_other_things_stay_a_flaw(rows, value):
    good = {"questions": [["q"]], "answers": ["a"]}
    read_rows = rows([good, {"questions": value, "answers": ["a"]}])
    assert [row.flaw for row in read_rows] == ["", "not_text"]
