"""Every verdict against LLaMA-Factory's own program: the same rows, entries and stages."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings

from tests.conftest import SHARED
from tests.doctor.agreeing import disagreements
from tests.doctor.conftest import FILES
from tests.doctor.mutating import OPENAI_TAGS, PAIR, STAGES, TAGS, WHOLE, mutated

SHAREGPT = {"formatting": "sharegpt"}
README_TAGS = {tag: OPENAI_TAGS[tag] for tag in ("role_tag", "content_tag", "user_tag")}
README_TAGS["assistant_tag"] = "assistant"
PARTIAL_TAGS = {tag: word for tag, word in TAGS.items() if tag != "system_tag"}
MESSAGES = {"messages": "messages"}
ENTRIES = {
    "defaults": {},
    "sharegpt": SHAREGPT,
    "format": {"format": "sharegpt"},
    "sharegpt pair": {
        **SHAREGPT,
        "ranking": True,
        "columns": {"messages": "conversations", **PAIR},
    },
    "no messages": {**SHAREGPT, "columns": {"prompt": "x"}},
    "partial tags": {**SHAREGPT, "tags": PARTIAL_TAGS},
    "conversation": {**SHAREGPT, "columns": {"messages": "conversation"}, "tags": README_TAGS},
    "kto": {**SHAREGPT, "columns": {**MESSAGES, "kto_tag": "label"}, "tags": OPENAI_TAGS},
    "openai": {"formatting": "openai", "columns": MESSAGES, "tags": README_TAGS},
    "no query": {"columns": {"prompt": "instruction", "response": "output"}},
    "text": {"columns": {"prompt": "text"}},
    "alpaca pair": {"ranking": True, "columns": {"prompt": "instruction", **PAIR}},
    "questions": {"columns": {"prompt": "questions", "response": "answers"}},
}

# The extracts have every shape; of the whole files it is the rows that matter.
FOR_WHOLE_FILES = ("defaults", "sharegpt", "sharegpt pair", "conversation", "kto", "text")


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto", "pt"])
@pytest.mark.parametrize("name", FILES)
def test_public_files_under_every_entry(public, name, stage):
    path = public(name)
    compared = 0
    whole = path.parent == SHARED
    for called, entry in ENTRIES.items():
        if whole and called not in FOR_WHOLE_FILES:
            continue
        rows, wrong = disagreements(path, entry, stage, name)
        assert not wrong, (entry, wrong[:2])
        compared += rows
    # Some entries fit no stage, and a GB18030 file is not loaded at all.
    assert compared or whole or stage == "dpo" or name.endswith(".csv")


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto", "pt"])
@pytest.mark.parametrize("shape", WHOLE)
def test_whole_rows(shape, stage):
    row, entry = WHOLE[shape]
    assert disagreements([row] * 3, entry, stage)[1] == []


compared_rows = 0


@settings(
    max_examples=450, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(mutated(), STAGES)
def test_mutated_rows(pair, stage):
    global compared_rows
    row, entry = pair
    rows, wrong = disagreements([row, row], entry, stage)
    assert not wrong, (entry, stage, wrong)
    compared_rows += rows


def test_enough_mutated_rows_were_compared():
    """Files that are not even loaded give no rows; the others have to be enough."""
    if not compared_rows:
        pytest.skip("the test before did not run")
    assert compared_rows >= 200


def alpaca(**more):
    return {"instruction": "头痛", "input": "", "output": "休息", **more}


def lines(*rows):
    return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows)


def array(*rows):
    return json.dumps(rows, ensure_ascii=False)


KTO = {"columns": {**WHOLE["kto"][1]["columns"]}}
HISTORY = {"columns": {**KTO["columns"], "history": "history", "kto_tag": None}}
# Text of a file, its name, the entry, the stage.
FILES_AS_LOADED = {
    "numbers in text, array": (array(alpaca(output="1"), alpaca(output="2")), "a.json", {}, "sft"),
    "dates, array": (array(alpaca(output="2024-01-01")), "a.json", {}, "sft"),
    "dates, lines": (lines(alpaca(output="2024-01-01")), "a.jsonl", {}, "sft"),
    "two types, array": (array(alpaca(output="1"), alpaca(output=2)), "a.json", {}, "sft"),
    "two types, lines": (lines(alpaca(output="1"), alpaca(output=2)), "a.jsonl", {}, "sft"),
    "two types beside": (lines(alpaca(tag=1), alpaca(tag="x")), "a.jsonl", {}, "sft"),
    "key missing once": (array(alpaca(), {"instruction": "a"}), "a.json", {}, "sft"),
    "null once": (lines(alpaca(), alpaca(output=None)), "a.jsonl", {}, "sft"),
    "half a character, lines": (
        '{"instruction": "a", "input": "", "output": "\\ud83d"}',
        "a.jsonl",
        {},
        "sft",
    ),
    "half a character, array": (
        '[{"instruction": "a", "input": "", "output": "x\\ud83d"}]',
        "a.json",
        {},
        "sft",
    ),
    "nul": ('{"instruction": "a", "input": "", "output": "\\u0000"}', "a.jsonl", {}, "sft"),
    "byte order mark, lines": ("\ufeff" + lines(alpaca()), "a.jsonl", {}, "sft"),
    "byte order mark, array": ("\ufeff" + array(alpaca()), "a.json", {}, "sft"),
    "wrapped": ('{"data": [{"instruction": "a"}]}', "a.json", {}, "sft"),
    "empty": ("", "a.json", {}, "sft"),
    "empty array": ("[]", "a.json", {}, "sft"),
    "lists": ('[["a", "b"], ["c", "d"]]', "a.json", {}, "sft"),
    "texts": ('["a", "b"]', "a.json", {"columns": {"prompt": "text"}}, "pt"),
    "indented objects": (
        '{"instruction": "a",\n"input": "",\n"output": "b"}\n',
        "a.json",
        {},
        "sft",
    ),
    "broken": (lines(alpaca()) + '{"instruction"\n', "a.jsonl", {}, "sft"),
    "verdict in text": (lines(alpaca(kto_tag="true")), "a.jsonl", KTO, "kto"),
    "verdict in text, sft": (lines(alpaca(kto_tag="true")), "a.jsonl", KTO, "sft"),
    "verdict, sft": (lines(alpaca(kto_tag=True)), "a.jsonl", KTO, "sft"),
    "no verdict after one": (
        lines(alpaca(kto_tag=True), alpaca(output=None, kto_tag=None)),
        "a.jsonl",
        KTO,
        "kto",
    ),
    "number for an answer": (lines(alpaca(output=5, kto_tag=True)), "a.jsonl", KTO, "kto"),
    "good null": (
        lines(alpaca(output=None, kto_tag=True), alpaca(kto_tag=False)),
        "a.jsonl",
        KTO,
        "kto",
    ),
    "bad null": (
        lines(alpaca(output=None, kto_tag=False), alpaca(kto_tag=False)),
        "a.jsonl",
        KTO,
        "kto",
    ),
    "history of three": (lines(alpaca(history=[["a", "b", "c"]])), "a.jsonl", HISTORY, "sft"),
    "history with null": (lines(alpaca(history=[["a", None]])), "a.jsonl", HISTORY, "sft"),
    "csv of NA": ("instruction,input,output\na,,NA\nb,,无\n", "a.csv", {}, "sft"),
    "csv of numbers": ("instruction,input,output\n1,,2\n", "a.csv", {}, "sft"),
    "csv, more fields": ("instruction,input,output\na,b,c,d\n", "a.csv", {}, "sft"),
    "csv, a longer line": ("instruction,input,output\na,b,c\na,b,c,d\n", "a.csv", {}, "sft"),
    "csv, byte order mark": ("\ufeffinstruction,input,output\na,,c\n", "a.csv", {}, "sft"),
    "txt": ("eins\nzwei\n\ndrei", "a.txt", {"columns": {"prompt": "text"}}, "pt"),
    "tsv": ("instruction\toutput\na\tb\n", "a.tsv", {}, "sft"),
    "split": (lines(alpaca()), "a.jsonl", {"split": "test"}, "sft"),
    **{
        f"{key}, {value}": (lines(alpaca()), "a.jsonl", {key: value}, "sft")
        for key, value in (
            *(("split", value) for value in ("train[x]", "train[:1]", "train[:100%]")),
            *(("num_samples", value) for value in (None, "3", -1, 1.5, 1)),
        )
    },
    "formatting": (lines(alpaca()), "a.jsonl", {"formatting": "multilingual-thinking"}, "sft"),
    "columns null": (lines(alpaca()), "a.jsonl", {"columns": None}, "sft"),
}


@pytest.mark.parametrize("case", FILES_AS_LOADED)
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_files_as_they_are_loaded(case, encoding):
    text, name, entry, stage = FILES_AS_LOADED[case]
    assert disagreements(text.encode(encoding), entry, stage, name)[1] == []


@pytest.mark.parametrize(
    "late",
    [
        {"more": "x"},
        {"tag": "text"},
        {"tag": None},
        {"tags": ["a"]},
        {"about": {"who": "a"}},
        {"about": {"who": "a", "what": "b"}},
    ],
)
def test_what_comes_after_the_first_10_megabytes(late):
    first = lines(alpaca(output="休" * 1000, tag=1, tags=[], about={"who": None, "why": "x"}))
    count = 11_000_000 // len(first.encode())
    text = first * count + lines(alpaca(**{"tag": 1, "tags": [], "about": None, **late}))
    assert disagreements(text.encode(), {}, "sft")[1] == []


def test_an_entry_that_is_no_object():
    assert disagreements([alpaca()], {"tags": "x"}, "sft")[1] == []
