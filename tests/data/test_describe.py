"""What rows look like at a glance, counted by hand."""

import html
import json

import pytest

from curate.data.describe import (
    QUANTILES,
    counted,
    how_read,
    notes_on,
    to_html,
    to_text,
)
from curate.data.read import read
from curate.data.schema import Source


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


def says(*texts):
    roles = ("user", "assistant") * len(texts)
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


ROWS = [
    {"messages": says("头痛", "休息。")},
    {"messages": says("头痛", "休息。")},
    {"messages": says("What?", "No.", "Why not?", "So it is.")},
    {"messages": says("1 + 1", "2")},
    {"messages": says("a", "")},
    {"messages": says("only asked")},
    {"messages": "no list"},
]


def test_counts_by_hand(write):
    found = read(write(json.dumps(ROWS))).description()
    assert found.rows == 7
    assert found.sources == (("rows.json", 7, "sharegpt, JSON, UTF-8"),)
    # The last row says nothing that could be counted.
    assert found.turns == {0: 1, 1: 4, 2: 1}
    assert found.languages == {"en": 3, "zh": 2, "other": 1}
    # Prompts have 1, 2, 2, 5, 8 and 10 characters, responses 0, 0, 1, 3, 3 and 9.
    assert QUANTILES[1] == 0.5
    assert found.prompt_characters[1] == 3
    assert found.prompt_characters[-1] == 10
    assert found.prompt_characters[0] == 1
    assert found.response_characters == (0, 2, 7, 8, 9)
    assert found.repeats == 1
    assert found.flaws == {"empty_response": 2, "not_text": 1}
    assert found.notes == ()


def test_as_text_and_as_html(write):
    rows = read(write(json.dumps(ROWS)))
    text = to_text(rows.description())
    assert text == repr(rows)
    assert text.split("\n") == [
        "7 rows",
        "  rows.json: sharegpt, JSON, UTF-8: 7 rows",
        "  responses a row: 0: 1, 1: 4, 2: 1",
        "  languages: en: 3, zh: 2, other: 1",
        "  prompt, characters: median 3; 90 % within 1–9; 99 % up to 9; longest 10",
        "  response, characters: median 2; 90 % within 0–7; 99 % up to 8; longest 9",
        "  repeat an earlier row: 1",
        "  flaws: empty_response: 2, not_text: 1",
    ]
    for line in text.split("\n")[2:]:
        name, _, what = line.strip().partition(": ")
        assert f"{name}</td>" in to_html(rows.description())
        assert html.escape(what) in to_html(rows.description())


def test_what_a_file_says_is_escaped(write):
    values = [
        {"instruction": "a", "output": "{{name}}<script>"},
        {"instruction": "<b>", "output": "x"},
    ]
    rows = read(write(json.dumps(values), "<img src=x>&.json"))
    shown = rows._repr_html_()
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;img src=x&gt;&amp;.json" in shown
    assert "{{name}} in 1 row" in shown


def test_rows_of_which_none_can_be_understood(write):
    good = json.dumps({"messages": says("a", "b")})
    rows = read(write(f'{good}\n{{"messages": 3}}\n'))
    assert rows.description().prompt_characters == (1,) * 5
    assert rows.description().turns == {1: 1}


def test_an_answer_to_compare_is_a_response(write):
    pair = {"instruction": "ab", "chosen": "cde", "rejected": "f"}
    found = read(write(json.dumps([pair]))).description()
    assert found.turns == {1: 1}
    assert found.response_characters == (3,) * 5


def test_in_words():
    source = Source("a.csv", "0", "toyhom", "csv", "gb18030", 5)
    assert how_read(source) == "Toyhom, CSV, GB18030"
    assert how_read(Source("a", "0", "gone", "parquet", "binary", 5)) == "gone, parquet"
    assert notes_on(source) == []
    changed = Source("a.csv", "0", "qa", "csv", "utf-8", 5, {"x done": 1, "y done": 2000})
    assert notes_on(changed) == ["a.csv: x done: 1 row", "a.csv: y done: 2,000 rows"]
    assert counted(0) == "0 rows"
