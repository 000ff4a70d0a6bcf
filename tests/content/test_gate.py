"""Texts and rows as a whole: what a mask keeps, what of a row is looked at, what may be sent."""

# ruff: noqa: E501 - a case is a line
from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import curate
from curate.content import IDENTIFIERS
from curate.content.gate import (
    identifiers,
    look,
    look_before_sending,
    policy_for,
    without_identifiers,
)
from curate.content.spans import plain
from curate.errors import UsageError

PIECES = (
    *("患者", "王秀英", "，女，", "身份证", "11010519491231002X", "138 1234", " 5678", "电话：", "６２", "0"),
    *("住院号", "A-12", "住", "北京市朝阳区", "望京路6号", "3号楼", "12床", "。", "*", "@qq.com", "li", "微信"),
    *("签名：", "Zhang Wei", "的母亲", "\n", "幺三八", "一二三四五六七八", "护照", "E12345678", "\ud800", "😀", "某"),
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(max_size=40)


@settings(deadline=None)
@given(TEXTS)
@example("患者王秀英的母亲王芳，电话138 1234 5678转12")
def test_a_mask_is_as_long_as_what_it_covers_and_covers_nothing_else(text):
    found = identifiers(text)
    hidden = without_identifiers(text)
    assert len(hidden) == len(text) == len(plain(text))
    places = {place for start, end, _ in found for place in range(start, end)}
    assert all(hidden[place] == "*" for place in places)
    assert all(one in (other, "*") for one, other in zip(hidden, text, strict=True))
    assert without_identifiers(hidden) == hidden
    assert identifiers(hidden) == []
    ends = [0, *(each for start, end, _ in found for each in (start, end)), len(text)]
    assert ends == sorted(ends)  # in order, apart from each other, and within the text
    assert {kind for _, _, kind in found} <= set(IDENTIFIERS)


def test_what_a_mask_brings_to_light_is_masked(by_rules):
    text = "住北京市朝阳区望京路6号李岩医生"
    assert len(identifiers(text)) == 1
    assert without_identifiers(text) == "住" + "*" * 13 + "医生"


def test_kinds_are_masked_by_themselves():
    text = "患者王秀英，电话13812345678"
    assert without_identifiers(text, ["phone"]) == "患者王秀英，电话***********"
    assert without_identifiers(text, ["name"]) == "患者***，电话13812345678"
    assert without_identifiers(text, []) == text


def seen(value, mask=()):
    rows = curate.read([value])
    counts, said = look(rows[0], rows.shape, mask)
    return SimpleNamespace(counts=counts, value=said)


GOOD = "可以适量吃。"
SHAPES = {
    "alpaca": {"instruction": "问", "input": "病人王秀英，女", "output": GOOD, "system": "", "history": []},
    "history": {"instruction": "问", "input": "", "output": GOOD, "history": [["病人王秀英，女", "好的。"]]},
    "sharegpt": {"conversations": [{"from": "human", "value": "病人王秀英，女"}, {"from": "gpt", "value": GOOD}]},
    "messages": {"messages": [{"role": "user", "content": "病人王秀英，女"}, {"role": "assistant", "content": GOOD}]},
    "preference": {"instruction": "问", "input": "", "chosen": GOOD, "rejected": "病人王秀英，女。"},
    "kto": {"instruction": "病人王秀英，女", "input": "", "output": GOOD, "kto_tag": False},
    "pretraining": {"text": "病人王秀英，女，发热。"},
    "beside": {"instruction": "问", "input": "", "output": GOOD, "姓名": "王秀英"},
    "nested": {"instruction": "问", "input": "", "output": GOOD, "case": {"病人": ["王秀英"]}},
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_of_every_shape(shape, by_rules):
    value = SHAPES[shape]
    found = seen(value, ["name"])
    assert dict(found.counts) == {"name": 1}
    masked = json.dumps(found.value, ensure_ascii=False)
    assert masked == json.dumps(curate.read([value])[0].value, ensure_ascii=False).replace(
        "王秀英", "***"
    )


def test_numbers_pictures_and_verdicts():
    row = {
        "instruction": "问",
        "input": "",
        "output": GOOD,
        "手机": 13812345678,
        "id": 12,
        "ok": True,
    }
    assert seen(row, ["phone"]).value["手机"] == "*" * 11
    pictures = {
        "conversations": [{"from": "human", "value": "<image>问"}, {"from": "gpt", "value": GOOD}],
        "images": ["患者王秀英，女13812345678.jpg"],
    }
    found = seen(pictures, IDENTIFIERS)
    assert not found.counts
    assert found.value["images"] == pictures["images"]


def test_flaws_of_what_a_model_would_learn():
    refused = "抱歉，我无法回答这个问题。"
    row = {"instruction": "问", "input": "", "chosen": GOOD, "rejected": refused}
    assert not seen(row).counts
    assert dict(seen({**row, "chosen": refused, "rejected": GOOD}).counts) == {"refusal": 1}
    kto = {"instruction": "问", "input": "", "output": refused, "kto_tag": True}
    assert dict(seen(kto).counts) == {"refusal": 1}
    assert not seen({**kto, "kto_tag": False}).counts
    first = {"instruction": "问", "input": "", "output": GOOD, "history": [["问", refused]]}
    assert dict(seen(first).counts) == {"refusal": 1}
    assert dict(seen({"text": "多喝热水。" * 8}).counts) == {"loop": 1}


@pytest.mark.parametrize(
    ("url", "policy"),
    [
        ("http://127.0.0.1:8000/v1", "allow"),
        ("http://localhost:8000/v1#m", "allow"),
        ("http://[::1]:8000/v1", "allow"),
        ("127.8.0.1:80/v1", "allow"),
        ("https://api.example.com/v1", "mask"),
        ("http://10.0.0.5/v1", "mask"),
        ("http://0.0.0.0:8000/v1", "mask"),
        ("http://127.0.0.1.example.com/v1", "mask"),
        ("http://localhost.example.com/v1", "mask"),
        ("http://127.0.0.1@example.com/v1", "mask"),
        ("", "mask"),
    ],
)
def test_what_is_done_by_default(url, policy):
    assert policy_for(url) == policy


def test_before_sending():
    texts = ["我叫李建国", "发热怎么办？"]
    assert look_before_sending(texts, "mask") == ("我叫***", texts[1])
    assert look_before_sending(texts, "refuse") is None
    assert look_before_sending(texts, "allow") == tuple(texts)
    assert look_before_sending(texts[1:], "refuse") == (texts[1],)
    with pytest.raises(UsageError, match="allowed are refuse, mask, allow"):
        look_before_sending(texts, "masc")
