"""Texts of other encodings that decode as GB18030 without a fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.data.text import sniff
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
def test_another_encoding_is_refused_and_not_read_as_rare_characters(
    tmp_path: Path, text: str, encoding: str
) -> None:
    path = tmp_path / "rows.csv"
    raw = (text * 4).encode(encoding)
    raw.decode("gb18030")  # no fault in it
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"rows\.csv is not UTF-8.*iconv -f ENCODING"):
        sniff(path)


@pytest.mark.parametrize("text", [TRADITIONAL, SIMPLIFIED, "党参 12 克", "a,b\n1,甲\n"])
def test_chinese_of_either_script_and_any_length_is_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes((text * 4).encode("gb18030"))
    assert sniff(path).encoding == "gb18030"
