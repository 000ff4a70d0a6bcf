"""Formats that are told by their keys, and which one wins where several fit."""

import json

import pytest

from curate.data import formats as all_formats
from curate.data.canonical import parse
from curate.data.formats import (
    ITEMS,
    KEYS_ALONE,
    LISTS,
    ONE_TEXT,
    OWN_KEYS,
    detected,
    formats,
    named,
)
from curate.data.read import read
from curate.data.schema import Shape, Turn
from curate.errors import DataError, UsageError


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


def found(*rows, format=""):
    return detected("x.json", "json", rows, format)


# One row as it is published, the format it is told to be, and what it says.
SAMPLES = [
    (
        {
            "id": 0,
            "question": "曲匹地尔片的用法用量",
            "answer": "注意：同种药品可由于不同的包装规格有不同的用法。",
            "label": "药品",
            "related_diseases": "",
            "score": 4,
        },
        "qa",
        "曲匹地尔片的用法用量",
        "注意：同种药品可由于不同的包装规格有不同的用法。",
    ),
    (
        {
            "query": "我有口苦的症状。要求：1. 请考虑所有症状。",
            "response": "建议您服用龙胆泻肝汤。",
        },
        "query",
        "我有口苦的症状。要求：1. 请考虑所有症状。",
        "建议您服用龙胆泻肝汤。",
    ),
    (
        {"kind": "NLI", "input": "自然语言推理：\n前提：a", "target": "中立"},
        "firefly",
        "自然语言推理：\n前提：a",
        "中立",
    ),
    (
        {"questions": "用盐泡脚可以吗", "answers": "不用担心。"},
        "qas",
        "用盐泡脚可以吗",
        "不用担心。",
    ),
    (
        {"问": "肛门病变可能是什么疾病的症状?", "答": "食管克罗恩病"},
        "wenda",
        "肛门病变可能是什么疾病的症状?",
        "食管克罗恩病",
    ),
    ({"prompt": "What is 1 + 1?", "completion": "2"}, "completion", "What is 1 + 1?", "2"),
    ({"prompt": "What is 1 + 1?", "response": "2"}, "prompt", "What is 1 + 1?", "2"),
    ({"input": "What is 1 + 1?", "output": "2"}, "io", "What is 1 + 1?", "2"),
    (
        {"instruction": "Why?", "context": "It is.", "response": "So.", "category": "closed_qa"},
        "dolly",
        "Why?\nIt is.",
        "So.",
    ),
    ({"instruction": "头痛怎么办", "input": "", "output": "休息"}, "alpaca", "头痛怎么办", "休息"),
    ({"instruction": "头痛怎么办", "output": "休息"}, "alpaca", "头痛怎么办", "休息"),  # QiZhen
    (
        {"Context": "I sleep badly.", "Response": "Since when?"},
        "context",
        "I sleep badly.",
        "Since when?",
    ),
    ({"Patient": "咳嗽", "Doctor": "多久了"}, "speakers", "咳嗽", "多久了"),
    ({"Question": "咳嗽怎么办", "Response": "喝水"}, "qa", "咳嗽怎么办", "喝水"),
    ({"inputs": "1 + 1", "targets": "2"}, "firefly", "1 + 1", "2"),
    ({"问题": "几点了", "回答": "三点"}, "qa", "几点了", "三点"),
]


@pytest.mark.parametrize(("row", "name", "prompt", "response"), SAMPLES)
def test_a_row_of_each_format_is_told_and_read_as_it_is(row, name, prompt, response):
    form, shape = found(row)
    assert form.name == shape.format == name
    made = form.convert(row, shape)
    assert (made.row, made.changes, made.flaw) == (row, (), "")
    assert parse(row, shape).turns == (Turn("user", prompt), Turn("assistant", response))
    assert parse(row, shape).flaw == ""
    assert all(key in row for key in shape.columns.values())


def test_every_named_format_has_a_sample():
    told = {name for _, name, *_ in SAMPLES} | {"alpaca", "pretraining", "reward", "preference"}
    told |= {
        "responses",
        "stack",
        "coachlm",
        "comet",
        "swift",
    }  # in test_layouts, test_field_layouts
    assert {form.name for form in named.FORMATS} <= told


OLD_DPO = {
    "system": "你是一个医生。",
    "history": [["你好", "您好，请问哪里不舒服？"]],
    "question": "头痛",
    "response_chosen": "休息",
    "response_rejected": "不知道",
}


def test_preferences_under_other_names():
    form, shape = found(OLD_DPO)
    assert form.name == "reward"
    assert shape.ranking
    assert shape.columns == {
        "prompt": "question",
        "chosen": "response_chosen",
        "rejected": "response_rejected",
        "system": "system",
        "history": "history",
    }
    view = parse(OLD_DPO, shape)
    assert view.system == "你是一个医生。"
    assert [turn.content for turn in view.turns] == ["你好", "您好，请问哪里不舒服？", "头痛"]
    assert (view.chosen, view.rejected, view.flaw) == ("休息", "不知道", "")
    short = {key: OLD_DPO[key] for key in ("question", "response_chosen", "response_rejected")}
    assert found(short)[1].columns == {
        "prompt": "question",
        "chosen": "response_chosen",
        "rejected": "response_rejected",
    }
    form, shape = found({"prompt": "a", "chosen": "b", "rejected": "c"})
    assert (form.name, shape.ranking, shape.kind) == ("preference", True, "preference")


def test_a_verdict_makes_it_kto_and_a_word_under_label_does_not():
    form, shape = found({"prompt": "a", "completion": "b", "label": True})
    assert (form.name, shape.kind, shape.columns["kto_tag"]) == ("completion", "kto", "label")
    assert found({"question": "a", "answer": "b", "label": "药品"})[1].kind == "sft"


# Which one wins


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        # A text that was rendered from the other keys is the least that a row says.
        ("text instruction input output", "alpaca"),
        ("text question answer", "qa"),
        # LLaMA-Factory's own names before those that many use.
        ("instruction output question answer", "alpaca"),
        ("instruction input output response", "alpaca"),
        ("prompt instruction chosen rejected", "alpaca"),
        # More keys before fewer.
        ("question answer response_chosen response_rejected", "reward"),
        ("prompt response chosen rejected", "preference"),
        ("department title question answer", "toyhom"),
        ("department title ask answer", "toyhom"),
        ("title ask answer question", "toyhom"),
        ("question answer history query response", "qa or query"),
        # What has no rival.
        ("question answer department", "qa"),
        ("text", "pretraining"),
    ],
)
def test_the_most_specific_wins(keys, name):
    row = {key: "x" for key in keys.split()}
    if "or" in name:
        with pytest.raises(DataError, match="qa and as query; say which with --format, for"):
            found(row)
        assert found(row, format="qa")[0].name == "qa"
        assert found(row, format="query")[0].name == "query"
    else:
        assert found(row)[0].name == name


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"text": "x"}, "sharegpt"),
        ({"prompt": "x", "response": "y"}, "sharegpt"),
        ({"instruction": "x", "output": "y"}, "sharegpt"),
    ],
)
def test_a_list_of_messages_says_more_than_texts_beside_it(more, name):
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    assert found({**more, **row})[0].name == name


def test_the_order_of_names_plays_no_part(monkeypatch):
    row = {key: "x" for key in ("text", "question", "answer", "instruction", "input", "output")}
    assert found(row)[0].name == "alpaca"
    turned = dict(reversed(formats().items()))
    monkeypatch.setattr(all_formats, "formats", lambda: turned)
    assert found(row)[0].name == "alpaca"


def test_ranks_are_what_they_say():
    ranks = {name: form.rank for name, form in formats().items()}
    assert ranks["pretraining"] == ONE_TEXT < KEYS_ALONE < OWN_KEYS < LISTS < ITEMS
    assert ranks["openai"] == ITEMS
    assert {ranks[name] for name in ("sharegpt", "huatuogpt", "meddialog")} == {LISTS}
    assert {ranks[name] for name in ("alpaca", "toyhom")} == {OWN_KEYS}
    assert {line.name for line in named.LAYOUTS if line.rank > KEYS_ALONE} == {"alpaca"}


# --format


def test_a_format_that_the_rows_do_not_have_is_told_with_its_keys():
    with pytest.raises(DataError, match=r"not what --format says, qas \(questions, answers\)"):
        found({"question": "a", "answer": "b"}, format="qas")
    with pytest.raises(UsageError, match=r"--format shargpt: no such .* Did you mean 'sharegpt'\?"):
        read("nowhere.json", format="shargpt")


def test_unknown_rows_are_told_with_the_formats_and_what_to_do():
    with pytest.raises(DataError) as error:
        found({"Quesion": "a", "Respose": "b", "\ud800": "c"})
    told = str(error.value)
    assert "rows with the keys ?, Quesion, Respose: no format that is read" in told
    assert "--columns prompt=KEY response=KEY" in told
    assert all(name in told for name in formats())
    assert len(told) < 640


def test_a_format_said_is_another_cache_entry(write):
    path = write(json.dumps([{"prompt": "a", "response": "b", "text": "c"}]))
    assert read(path).shape == Shape(
        "prompt", "alpaca", {"prompt": "prompt", "response": "response"}
    )
    assert read(path, format="pretraining").shape.kind == "pretraining"
    assert read(path).shape.kind == "sft"


# Real files


@pytest.mark.parametrize(
    ("name", "form", "rows", "container"),
    [
        ("care_qa.jsonl", "qas", 2000, "jsonl"),
        ("medical_corpus.txt", "wenda", 87, "jsonl"),
        ("c4_demo.jsonl", "pretraining", 300, "jsonl"),
        ("alpaca_zh.json", "alpaca", 600, "json"),
        ("toyhom_internal_medicine_gb18030.csv", "toyhom", 5000, "csv"),
    ],
)
def test_real_files_are_read_whole(real, name, form, rows, container):
    found = read(real(name))
    (source,) = found.sources
    assert (source.format, source.rows, source.container) == (form, rows, container)
    assert len(found) == rows
    assert found.flaws() == {}


def test_old_and_new_generation_of_a_preference_have_the_same_ids(write, real):
    lines = real("dpo_zh.jsonl").read_text(encoding="utf-8").split("\n")
    new = [json.loads(line) for line in lines if line]
    old = []
    for row in new:
        said = [each["value"] for each in row["conversations"]]
        system = said.pop(0) if row["conversations"][0]["from"] == "system" else ""
        pairs = [list(pair) for pair in zip(said[:-1:2], said[1:-1:2], strict=True)]
        old.append(
            {
                "system": system,
                "history": pairs,
                "question": said[-1],
                "response_chosen": row["chosen"],
                "response_rejected": row["rejected"],
            }
        )
    first = read(real("dpo_zh.jsonl"))
    second = read(write(json.dumps(old, ensure_ascii=False)))
    assert second.sources[0].format == "reward"
    assert list(first.ids) == list(second.ids)
    assert len(first) == 350
