"""Files of pairs: three kinds, escapes decoded, and errors that name file and row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.data.preference_pairs import decode_escapes, read_pairs
from curate.errors import DataError

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        (r"one\ntwo", "one\ntwo"),
        (r"one\r\ntwo\r", "one\ntwo\n"),
        (r"1.\t2", "1.\t2"),
        (r"It\u2019s", "It’s"),
        (r"\ud83d\ude00", "😀"),
        (r"\uD83D alone", "\ufffd alone"),
        ("\ud83d", "\ufffd"),
        ("\ud83d\ude00", "😀"),
        (r"\text{x} \right)", r"\text{x} \right)"),
        (r"\u12 stays", r"\u12 stays"),
        ("plain 中文", "plain 中文"),
    ],
)
def test_escapes(text, decoded):
    assert decode_escapes(text) == decoded


@given(st.text(st.characters(codec=None), max_size=40))
def test_any_text_becomes_one_that_can_be_written(text):
    decoded = decode_escapes(text)
    decoded.encode("utf-8")
    if "\\" not in text:
        assert decoded == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def expert(**changes):
    row = {
        "Raw Instruction": "Add.",
        "Raw Input": "1, 2",
        "Raw Response": "3",
        "Revised Instruction": "Add the numbers.",
        "Revised Input": "1, 2",
        "Revised Response": "The sum is 3.",
    }
    return {**row, **changes}


def test_expert_revisions_are_compared_under_the_raw_prompt(write_json: Write):
    path = write_json([expert(), expert(**{"Raw Input": "", "Raw Response": r"a\nb"})])
    first, second = read_pairs([path]).pairs
    assert (first.prompt, first.better, first.worse) == ("Add.\n1, 2", "The sum is 3.", "3")
    assert (second.prompt, second.worse) == ("Add.", "a\nb")
    assert first.source == "rows.json"


def test_triples_and_what_is_left_out(write_json: Write):
    rows = [
        {"prompt": "p", "better": "good", "worse": "bad"},
        {"prompt": "p", "better": "good", "worse": "bad"},
        {"prompt": "p", "better": r"a\nb", "worse": "a\nb"},
        {"prompt": "p", "better": " ", "worse": ""},
        {"prompt": "q", "better": "good", "worse": "bad"},
    ]
    found = read_pairs([write_json(rows)])
    assert [pair.prompt for pair in found.pairs] == ["p", "q"]
    assert found.dropped == {"equal": 1, "repeated": 1, "empty": 1}


def test_preference_rows_of_both_formats(write_json: Write):
    alpaca = [{"instruction": "Say", "input": "it", "chosen": "good", "rejected": "bad"}]
    turns = [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}]
    sharegpt = [
        {
            "conversations": turns,
            "chosen": {"from": "gpt", "value": "yes"},
            "rejected": {"from": "gpt", "value": "no"},
        }
    ]
    found = read_pairs([write_json(alpaca, "a.json"), write_json(sharegpt, "b.json")])
    assert [(p.prompt, p.better, p.worse) for p in found.pairs] == [
        ("Say\nit", "good", "bad"),
        ("s\nq", "yes", "no"),
    ]
    assert set(found.sha256) == {"a.json", "b.json"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "p", "better": "x"}], r"bad\.json .*keys better, prompt"),
        ([{"prompt": 3, "better": "x", "worse": "y"}], r"bad\.json, row 1 .*not text"),
        ([expert(), {"Raw Instruction": 3}], r"bad\.json, row 2 .*not text"),
        ([{"prompt": "p", "better": "x", "worse": "x"}], r"bad\.json holds no pair"),
        ([{"instruction": "a", "input": "", "output": "b"}], "one response each"),
        ([expert(), {"Raw Instruction": "x"}], r"bad\.json, row 2 .*empty response"),
        (
            [
                {"instruction": "a", "input": "", "chosen": "b", "rejected": "c"},
                {"instruction": "a", "input": "", "chosen": "b"},
            ],
            r"bad\.json, .*2",
        ),
        ([[1, 2]], r"bad\.json"),
    ],
)
def test_bad_pairs_name_file_and_row(write_json: Write, rows, message):
    with pytest.raises(DataError, match=message) as caught:
        read_pairs([write_json(rows, "bad.json")])
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there():
    with pytest.raises(DataError, match=r"no file 'nowhere\.json'"):
        read_pairs([Path("nowhere.json")])


def test_real_files_are_read_whole(real):
    expected = {
        "coachlm_expert_revisions_train.json": 2054,
        "dpo_zh.jsonl": 350,
        "dpo_zh_demo.json": 198,
        "dpo_en_demo.json": 198,
    }
    for name, count in expected.items():
        found = read_pairs([real(name)])
        assert len(found) == count
