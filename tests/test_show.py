"""`curate show`: whole rows, which of them, and nothing in a row that a terminal obeys."""

import json

import pytest

from tests.calling import Caller
from tests.conftest import SAMPLE

ROWS = [
    {
        "instruction": "头痛怎么办？",
        "input": "三天了\n睡不好",
        "output": "多休息。",
        "科室": "内科",
    },
    {"instruction": "Say hi", "output": "\x1b[31mhi\x1b[0m\u202e [bold]there[/bold]"},
    {"instruction": "Name a fruit", "output": ""},
    {"instruction": "Name a fruit", "output": "apple"},
    {"instruction": "Name a fruit", "output": "apple"},
]


@pytest.fixture
def call(capsys):
    return Caller(capsys)


@pytest.fixture
def file(write_json):
    return write_json(ROWS)


def test_a_row_is_shown_whole(call, file):
    out = call("show", file, "-n", 1).out.splitlines()
    assert out[0].endswith("· rows.json · row 1 (line 1)")
    assert out[1:5] == ["  user: 头痛怎么办？", "    三天了", "    睡不好", "  assistant: 多休息。"]
    assert out[5] == "  科室: 内科"


def test_a_row_cannot_command_the_terminal_nor_the_markup(call, file):
    out = call("show", file).out
    assert "\x1b" not in out
    assert "\\u001b[31mhi\\u001b[0m\\u202e [bold]there[/bold]" in out


def test_rows_are_named_by_id_or_by_its_start(call, file):
    every = json.loads(call("show", file, "-n", 9, "--json").out)["rows"]
    assert [row["id"] for row in every][4] == every[3]["id"] + "-2"
    shown = json.loads(call("show", file, "--id", every[3]["id"], every[0]["id"][:6], "--json").out)
    assert [row["id"] for row in shown["rows"]] == [every[0]["id"], every[3]["id"]]
    assert shown["rows"][0]["value"] == ROWS[0]
    both = json.loads(call("show", file, "--id", every[3]["id"][:9], "--json").out)
    assert both["matching"] == 2
    call.refused("--id zz: no row has it", "show", file, "--id", "zz")


def test_rows_are_chosen_by_an_expression(call, file):
    answer = call("show", file, "--where", "flaw == 'empty_response'", "--json")
    assert [row["value"] for row in json.loads(answer.out)["rows"]] == [ROWS[2]]
    answer = call("show", file, "--where", "response_characters > 0", "-n", 1)
    assert "1 of 4 rows; -n 4 shows all of them" in answer.err
    call.refused("no column 'quality' .* There are flaw", "show", file, "--where", "quality > 1")


def test_scores_beside_a_data_set_stand_on_its_cards(call, tmp_path):
    call(
        "select",
        "--input",
        SAMPLE,
        "--recipe",
        "random",
        "--keep",
        5,
        "--output",
        tmp_path,
        "--name",
        "five",
    )
    scores = tmp_path / "five.scores.parquet"
    out = call("show", tmp_path / "five.jsonl", "-n", 1).out
    assert "kept True" in out
    answer = call("show", SAMPLE, "--scores", scores, "--where", "kept", "-n", 9, "--json")
    found = json.loads(answer.out)["rows"]
    assert len(found) == 5
    assert all(row["scores"]["kept"] for row in found)
