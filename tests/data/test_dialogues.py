"""HuatuoGPT and MedDialog: who speaks stands in the text."""

import json

import pytest

from curate.data.formats import dialogues, formats
from curate.data.formats.dialogues import MERGED, OPENED, TRIMMED, Utterance, spoken, utterance_of
from curate.data.read import read


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


def turns(row):
    return [(each["from"], each["value"]) for each in row["conversations"]]


def made(*texts, opening=""):
    return spoken(list(texts), "given", opening)


def said(dialogue):
    return [(turn.role, turn.content) for turn in dialogue.parsed.turns]


def converted(name, good, row):
    form = formats()[name]
    return form.convert(row, form.detect([good]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("问：头痛三天怎么办？", Utterance(True, "头痛三天怎么办？")),
        ("问:头痛", Utterance(True, "头痛")),
        ("答： 休息", Utterance(False, "休息")),
        (" 病人：头痛", Utterance(True, "头痛")),
        ("患者:头痛", Utterance(True, "头痛")),
        ("医生：多久了：三天？", Utterance(False, "多久了：三天？")),
        ("Patient: I cough", Utterance(True, "I cough")),
        ("doctor : how long?", Utterance(False, "how long?")),
        ("\ufeff问：a", Utterance(True, "a")),
        ("医生：\n多久了？", Utterance(False, "多久了？")),
        ("答：", Utterance(False, "")),
        ("头痛", None),
        ("问题：头痛", None),
        ("é—®ï¼š头痛", None),
        ("", None),
        (None, None),
        (3, None),
        (["问：a"], None),
    ],
)
def test_who_speaks(text, expected):
    assert utterance_of(text) == expected


def test_turns_in_turn_are_kept_as_they_are():
    row = made("问：a", "答：b", "问：c", "答：d")
    assert said(row) == [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    assert (row.changes, row.parsed.flaw) == ((), "")


def test_a_speaker_twice_in_a_row_is_joined():
    row = made("病人：a", "病人：b", "医生：c", "医生：", "医生：d")
    assert said(row) == [("user", "a\nb"), ("assistant", "c\nd")]
    assert row.changes == (MERGED,)


def test_a_question_at_the_end_is_left_out_and_told():
    row = made("问：a", "答：b", "问：c", "问：d")
    assert said(row) == [("user", "a"), ("assistant", "b")]
    assert row.changes == (MERGED, TRIMMED)
    only = made("问：a")
    assert said(only) == [("user", "a")]
    assert only.changes == ()


def test_a_doctor_who_speaks_first():
    row = made("医生：多久了？", "病人：三天", "医生：吃药", opening="发烧")
    assert said(row) == [
        ("user", "发烧"),
        ("assistant", "多久了？"),
        ("user", "三天"),
        ("assistant", "吃药"),
    ]
    assert row.changes == (OPENED,)
    assert said(made("医生：a", "病人：b", "医生：c"))[0] == ("assistant", "a")
    assert made("病人：b", "医生：c", opening="发烧").changes == ()


@pytest.mark.parametrize(
    ("texts", "flaw"),
    [
        (["问：a", "é—®ï¼šb"], "unknown_role"),
        (["问：a", 3], "not_text"),
        ("问：a", "not_text"),
        (None, "not_text"),
        (["问：a", None], "not_text"),
    ],
)
def test_what_cannot_be_understood_is_kept_whole(texts, flaw):
    given = {"data": texts, "id": 1}
    row = converted("huatuogpt", {"data": ["问：a"]}, given)
    assert (row.row, row.flaw) == (given, flaw)


# Files


HUATUO = [
    {"data": ["问：头痛三天怎么办？", "答：休息。", "问:还有呢？", "答：多喝水。"], "source": "x"},
    {"data": ["问：a", "问：b", "答：c", "问：d"]},
    {"data": ["答：a", "问：b", "答：c"]},
    {"data": ["é—®ï¼ša", "答：b"]},
    {"data": []},
]


def test_huatuogpt(write):
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in HUATUO)
    rows = read(write(text, "HuatuoGPT_sft_data_v1.jsonl"))
    assert rows.sources[0].format == "huatuogpt"
    assert rows.shape.formatting == "sharegpt"
    assert rows[0].value == {
        "conversations": [
            {"from": "human", "value": "头痛三天怎么办？"},
            {"from": "gpt", "value": "休息。"},
            {"from": "human", "value": "还有呢？"},
            {"from": "gpt", "value": "多喝水。"},
        ],
        "source": "x",
    }
    flaws = [row.flaw for row in rows]
    assert flaws == ["", "", "bad_turn_order", "unknown_role", "empty_response"]
    assert rows[3].value == HUATUO[3]
    assert rows.sources[0].changes == {MERGED: 1, TRIMMED: 1}
    assert f"note: HuatuoGPT_sft_data_v1.jsonl: {TRIMMED}: 1 row" in repr(rows)


@pytest.mark.parametrize("colon", ["：", ":"])
@pytest.mark.parametrize("key", [None, "utterances", "dialogue"])
def test_processed_meddialog(write, colon, key):
    lists = [
        [f"病人{colon}头痛", f"医生{colon}多久了？", f"医生{colon}吃药了吗？"],
        [f"医生{colon}你好", f"病人{colon}你好", f"医生{colon}再见"],
    ]
    given = [{key: each, "description": "发烧"} for each in lists] if key else lists
    rows = read(write(json.dumps(given, ensure_ascii=False)))
    assert rows.sources[0].format == "meddialog"
    assert turns(rows[0].value) == [("human", "头痛"), ("gpt", "多久了？\n吃药了吗？")]
    if key:
        assert rows[1].flaw == ""
        assert turns(rows[1].value)[0] == ("human", "发烧")
        assert rows[1].value["description"] == "发烧"
    else:
        assert rows[1].flaw == "bad_turn_order"


@pytest.mark.parametrize(
    "given",
    [
        {"speaker": [0, 1, 0, 1], "utterance": ["a", "b", "c", "d"]},
        [
            {"speaker": who, "utterance": text}
            for who, text in zip(("病人", "医生", "Patient", "Doctor"), "abcd", strict=True)
        ],
    ],
)
def test_turns_of_the_hubs_older_copy(write, given):
    rows = read(write(json.dumps([{"dialogue_id": 3, "dialogue_turns": given}])))
    assert rows.sources[0].format == "meddialog"
    assert turns(rows[0].value) == [("human", "a"), ("gpt", "b"), ("human", "c"), ("gpt", "d")]
    assert rows[0].value["dialogue_id"] == 3
    assert "dialogue_turns" not in rows[0].value


@pytest.mark.parametrize(
    "value",
    [
        None,
        "a",
        {"speaker": [0]},
        {"speaker": [0], "utterance": ["a", "b"]},
        [3],
        {"speaker": [2], "utterance": ["a"]},
        {"speaker": [0], "utterance": [{}]},
        {"speaker": [[0]], "utterance": ["a"]},
    ],
)
def test_turns_that_are_none(value):
    given = {"dialogue_turns": value}
    good = {"dialogue_turns": {"speaker": [0, 1], "utterance": ["a", "b"]}}
    made = converted("meddialog", good, given)
    assert (made.row, made.flaw) == (given, made.flaw)
    assert made.flaw in ("not_text", "unknown_role")


RAW = """id=1
https://www.haodf.com/doctorteam/flow_team_1.htm
Doctor faculty
某医院 内科

Description
疾病：
感冒
病情描述（发病时间、主要症状、就诊医院等）：
发烧两天。
咳嗽。
想得到怎样的帮助：
吃什么药？

Dialogue
医生{colon}
多久了？
病人{colon}
医生：您好，三天了，id=5。

医生{colon}
吃药。
医生{colon}
多喝水。
病人{colon}
谢谢。


id=2
https://www.haodf.com/doctorteam/flow_team_2.htm
Doctor faculty
某医院 外科

Description
疾病：
骨折

Dialogue
病人{colon}
还疼。
医生{colon}
拍片。

Diagnosis and suggestions
总结建议：
复查。

id=3
https://www.haodf.com/doctorteam/flow_team_3.htm
Description
头痛

"""


@pytest.mark.parametrize("colon", ["：", ":"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-8-sig"])
def test_raw_meddialog(write, colon, end, encoding):
    text = RAW.replace("{colon}", colon).replace("\n", end)
    rows = read(write(text.encode(encoding), "2020.txt"))
    (source,) = rows.sources
    assert (source.format, source.container, source.rows) == ("meddialog", "dialogue-text", 3)
    assert turns(rows[0].value) == [
        ("human", "发烧两天。\n咳嗽。"),
        ("gpt", "多久了？"),
        ("human", "医生：您好，三天了，id=5。"),
        ("gpt", "吃药。\n多喝水。"),
    ]
    assert rows[0].value["id"] == "1"
    assert rows[0].value["url"] == "https://www.haodf.com/doctorteam/flow_team_1.htm"
    assert rows[0].value["Doctor faculty"] == "某医院 内科"
    assert "想得到怎样的帮助：\n吃什么药？" in rows[0].value["Description"]
    assert turns(rows[1].value) == [("human", "还疼。"), ("gpt", "拍片。")]
    assert rows[1].value["Diagnosis and suggestions"] == "总结建议：\n复查。"
    assert [row.flaw for row in rows] == ["", "", "empty_response"]
    assert source.changes == {OPENED: 1, MERGED: 1, TRIMMED: 1}
    assert rows[1].where == f"line {text.split('id=2')[0].count(chr(10)) + 1}"


def test_raw_meddialog_in_english(write):
    text = (
        "id=1\nhttps://www.icliniq.com/x\nDescription\nQ. Is it a cold?\n"
        "Dialogue\nPatient:\nHello doctor,\nI cough.\nDoctor:\nHello.\n\nRest. Doctor: me.\n\n"
        "id=2\nhttps://www.icliniq.com/y\nDescription\nQ. Why?\nDialogue\nDoctor:\nWhat?\n"
    )
    rows = read(write(text, "icliniq.txt"))
    assert turns(rows[0].value) == [
        ("human", "Hello doctor,\nI cough."),
        ("gpt", "Hello.\n\nRest. Doctor: me."),
    ]
    assert turns(rows[1].value) == [("human", "Q. Why?"), ("gpt", "What?")]


def test_speakers_on_the_line_of_their_words():
    assert dialogues.in_block("病人：a\nb\n医生:c") == ["病人：a\nb", "医生:c"]
    assert dialogues.in_block("病人：\n医生：a\n医生：\nb") == ["病人：\n医生：a", "医生：\nb"]
    assert dialogues.in_block("") == [""]


def test_the_complaint_of_a_description():
    assert dialogues.complaint("疾病：\n感冒\n病情描述：\n发烧\n\n曾经治疗：\n无") == "发烧"
    assert dialogues.complaint("病情描述：\n\n疾病：\n感冒") == "病情描述：\n\n疾病：\n感冒"
    assert dialogues.complaint("  头痛 ") == "头痛"
