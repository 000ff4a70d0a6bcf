"""Files of East Asia that decode as GB18030 without a fault, and are in another encoding."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from curate.data.encoding import sniff
from curate.data.read import read
from curate.errors import DataError

JAPANESE = (
    "これは日本語で書かれた文章です。患者は昨日から熱があり、頭が痛いと言っています。"
    "薬を飲んでも治らない場合は、すぐに病院へ行ってください。健康のために毎日運動することが大切です。"
)
KOREAN = "환자는 어제부터 열이 있고 머리가 아프다고 합니다. 의사에게 진찰을 받아야 할까요?"
TRADITIONAL = "高血壓患者可以吃人參嗎？這兩天女婿來的時候給我拿了些人參泡水喝，建議您定期測量血壓。"
SIMPLIFIED = (
    "高血压患者能吃党参吗？我有高血压这两天女婿来的时候给我拿了些党参泡水喝，您好可以吃吗？"
)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (KOREAN, "euc_kr"),
        (TRADITIONAL, "big5"),
    ],
)
def test_another_encoding_is_read_and_not_as_rare_characters(
    tmp_path: Path, text: str, encoding: str
) -> None:
    path = tmp_path / "rows.csv"
    raw = (text * 4).encode(encoding)
    assert raw.decode("gb18030") != text * 4  # no fault in it
    path.write_bytes(raw)
    assert path.read_text(encoding=sniff(path).encoding) == text * 4


@pytest.mark.parametrize("encoding", ["shift_jis", "euc_kr", "big5"])
def test_rows_of_another_encoding_are_the_rows(tmp_path: Path, encoding: str) -> None:
    text = {"shift_jis": JAPANESE, "euc_kr": KOREAN, "big5": TRADITIONAL}[encoding]
    row = {"instruction": text, "input": "", "output": text[:20]}
    path, plain = tmp_path / "rows.json", tmp_path / "plain.json"
    path.write_bytes(json.dumps([row], ensure_ascii=False).encode(encoding))
    plain.write_text(json.dumps([row]))
    assert list(read(path).ids) == list(read(plain).ids)
    assert codecs.lookup(read(path).sources[0].encoding)


@pytest.mark.parametrize("text", [TRADITIONAL, SIMPLIFIED, "党参 12 克", "a,b\n1,甲\n"])
def test_chinese_of_either_script_and_any_length_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes((text * 4).encode("gb18030"))
    assert sniff(path).encoding == "gb18030"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Пациент со вчерашнего дня жалуется на температуру и головную боль. ", "cp1251"),
        ("ผู้ป่วยมีไข้ตั้งแต่เมื่อวานและบอกว่าปวดหัว ถ้ากินยาแล้วไม่หายให้ไปพบแพทย์", "cp874"),
        ("يعاني المريض من الحمى منذ أمس ويقول إن رأسه يؤلمه.", "cp1256"),
    ],
)
def test_what_is_not_read_is_refused_with_its_likely_encoding(
    tmp_path: Path, text: str, encoding: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes((text * 8).encode(encoding))
    with pytest.raises(DataError, match=rf"rows\.csv is n.*iconv -f {encoding}"):
        sniff(path)
