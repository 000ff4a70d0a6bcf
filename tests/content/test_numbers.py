"""Numbers that stand for somebody: check digits worked out on paper, other dress, look-alikes."""

# ruff: noqa: E501 - a case is a line
from __future__ import annotations

import pytest

from curate.content.gate import identifiers
from curate.content.numbers import check_character, luhn


@pytest.mark.parametrize(
    ("digits", "sum_", "character"),
    [
        # 7+9+0+5+0+20+2+9+24+27+7+18+30+5+0+0+4, the example of GB 11643
        ("11010519491231002", 167, "X"),
        ("11010519800615301", 215, "6"),  # 7+9+0+5+0+20+2+9+48+0+0+54+10+25+24+0+2
        ("44030619750420118", 255, "X"),  # 28+36+0+15+0+24+2+9+42+15+0+36+20+0+8+4+16
    ],
)
def test_the_check_character_as_on_paper(digits, sum_, character):
    assert check_character(digits) == character == "10X98765432"[sum_ % 11]
    # Any other character at the end is a wrong number, and stands for nobody without a cue.
    right = f"编码{digits}{character}"
    assert [span.kind for span in identifiers(right)] == ["id_number"]
    wrong = "0" if character != "0" else "1"
    assert identifiers(f"编码{digits}{wrong}") == []
    assert [span.kind for span in identifiers(f"身份证：{digits}{wrong}")] == ["id_number"]


@pytest.mark.parametrize(
    ("digits", "passes"),
    [
        # From the right 3 1 7 8 9 3 7 2 9 9 7; every second one doubled, 9 taken off: 3+2+7+7+9+6+7+4+9+9+7 = 70.
        ("79927398713", True),
        *[(f"7992739871{last}", False) for last in "012456789"],
        ("4111111111111111", True),  # 8 + 7·2 + 8·1 = 30
    ],
)
def test_luhn_as_on_paper(digits, passes):
    assert luhn(digits) is passes


# A text, and what stands in it.
IN_OTHER_DRESS = [
    ("身份证 110105-19491231-002X 已登记", "110105-19491231-002X", "id_number"),
    ("本人证件号１１０１０５１９４９１２３１００２ｘ。", "１１０１０５１９４９１２３１００２ｘ", "id_number"),
    ("证件号码是1101 0519 4912 3100 2X", "1101 0519 4912 3100 2X", "id_number"),
    ("老身份证：110105491231002，已换", "110105491231002", "id_number"),
    ("110105194912310021（身份证）", "110105194912310021", "id_number"),
    ("刷的4111 1111 1111 1111", "4111 1111 1111 1111", "bank_card"),
    ("银行卡号：6217-0000-1234-5678-901", "6217-0000-1234-5678-901", "bank_card"),
    ("我的１３８－１２３４－５６７８", "１３８－１２３４－５６７８", "phone"),
    ("138\u200b1234\u200b5678", "138\u200b1234\u200b5678", "phone"),
    ("打幺三八一二三四五六七八找我", "幺三八一二三四五六七八", "phone"),
    ("家里0571-8765 4321有人", "0571-8765 4321", "phone"),
    ("座机：62345678", "62345678", "phone"),
    ("电话 1 3 8 1 2 3 4 5 6 7 8", "1 3 8 1 2 3 4 5 6 7 8", "phone"),
    ("住院号：2023-ZY-00456，", "2023-ZY-00456", "record_number"),
    ("门诊病历号 MZ/2024/03312", "MZ/2024/03312", "record_number"),
    ("CT检查号为CT20230518-032", "CT20230518-032", "record_number"),
    ("病案号2023年住字第0456号", "2023年住字第0456", "record_number"),
    ("MRN: 00345621", "00345621", "record_number"),
    ("床号：加5，", "加5", "record_number"),
    ("三病区16床患者发热", "16床", "record_number"),
    ("护照号E12345678", "E12345678", "passport"),
    ("持E87654321号护照入境", "E87654321", "passport"),
    ("来信li.na_1990＠qq．com。", "li.na_1990＠qq．com", "email"),
    ("来信li13812345678@139.com。", "li13812345678@139.com", "email"),
    ("微信号：wxid_abc123", "wxid_abc123", "account"),
    ("加QQ 123456789", "123456789", "account"),
    ("手机+86 138-1234-5678。", "+86 138-1234-5678", "phone"),
    ("电话 (+86)10-6512 3456", "(+86)10-6512 3456", "phone"),
    ("旧号110105491231002，", "110105491231002", "id_number"),
    ("筛选号S02-031，", "S02-031", "record_number"),
    ("片号DR1190457的片子", "DR1190457", "record_number"),
    ("RT No. RT-20458；", "RT-20458", "record_number"),
    ("处方笺  NO.0057824", "0057824", "record_number"),
    ("安排在加床加13", "加13", "record_number"),
    ("德国护照C5K8LM93N，", "C5K8LM93N", "passport"),
    ("扣扣1865029835也行", "1865029835", "account"),
    ("微信zhao-tpe，", "zhao-tpe", "account"),
    ("农行6228480012345678901已到账", "6228480012345678901", "bank_card"),
    # The number in groups, in other letters, behind an aside.
    ("住院号 3 0 0 5 6 1 8，", "3 0 0 5 6 1 8", "record_number"),
    ("住院号（新）№３００５６１", "３００５６１", "record_number"),
    ("病案号：30 056 18", "30 056 18", "record_number"),
    ("案号（2022）沪0101民初3005号", "（2022）沪0101民初3005", "record_number"),
    ("| 住院号 | 3005618 |", "3005618", "record_number"),
    ('"inpatient_id": "I3005618"', "I3005618", "record_number"),
    # A word, a question or a break between.
    ("住院号我记得好像是300561", "300561", "record_number"),
    ("病理号报一下。\n甲：22-30056，", "22-30056", "record_number"),
    ("床号？\n家属：31。", "31", "record_number"),
    # What bears the number is named alone.
    ("封存病历（No.3005-618）一册", "No.3005-618", "record_number"),
    ("理疗卡LL30056。", "LL30056", "record_number"),
    ("病理2022-30056：腺癌", "2022-30056", "record_number"),
    ("胸部CT330056两张", "CT330056", "record_number"),
    # The number stands first.
    ("3005618是我的住院号", "3005618", "record_number"),
    ("3005618（病案号）", "3005618", "record_number"),
    ("300561号病历请归档", "300561", "record_number"),
    # Beds of a ward.
    ("骨科K-31床", "K-31床", "record_number"),
    ("送到31+1床", "31+1床", "record_number"),
    ("妇02床发热", "妇02床", "record_number"),
    ("留观3床", "留观3床", "record_number"),
    ("机位C-31", "C-31", "record_number"),
    ("12、13和15床停早餐", "12、13和15床", "record_number"),
    ("病床 31，", "31", "record_number"),
]  # fmt: skip
NOBODY = [
    "血压140/90mmHg，心率 72 次/分，血糖6.1 5.8 7.2，白细胞12.5×10^9/L",
    "2023-05-12 10:30 复查，电话联系20230512，共21片，0.25g 每日3次",
    "国药准字H20065051，批号20230615，有效期至20250614，条形码6901234567892，追溯码81234567890123456789",
    "2020;382(8):727-733. doi:10.1056/NEJMoa2001017，ISBN 978-7-117-12345-6",
    "共有床位1200张，其中ICU 50张，开放300床，12床被子",
    "圆周率3.14159265358979323846264338327950288",
    "HBV-DNA 4.1359e+007，1.00E+005拷贝，批号：NO.20230918X",
    "热线120，价格1388888元，10 11 12 13 14 15 16 17 18 19",
    "电话联系20230512复查，拨打2023-05-12",
    "校验码错误的号码110105194912310021不应算身份证",
    "检查CA125 350，CYFRA21-1 3.5，CD117阳性，HPV16/18，HBV-DNA 230000copies/ml",
    "门诊号源2023年5月起每天2000个，挂号费15元，出院 142093 人次，病人100000例",
    "CT20230512复查，CT值1200HU，病理3.5cm，定量检验7816.00，检查2023-05-12",
    "病床1200张，卧床3天，起床10分钟，临床1200例，4号床单元，Nov 2023, DOI 10.3760/cma.j.cn115791-20210221",
    "国械注准20193070418，GB 9706.1-2020，NCT04816279，ICD编码I63.902，房号1203",
    "身份证丢了怎么办？病历号在哪里看，微信公众号健康管家",
]


@pytest.mark.parametrize(("text", "number", "kind"), IN_OTHER_DRESS)
def test_numbers_in_other_dress(text, number, kind):
    assert [(text[start:end], what) for start, end, what in identifiers(text)] == [(number, kind)]


SEVERAL = [
    ("住院号分别为300561、300562和300570，", ["300561", "300562", "300570"]),
    ("影像号：P30056，P30057，余下见P30058", ["P30056", "P30057", "P30058"]),
    ("住院号300561（母）、300561-1（婴）", ["300561", "300561-1"]),
    ("标本号B2301～B2309", ["B2301", "B2309"]),
    ("病历号、床号分别是300561、31床", ["300561", "31床"]),
    ("31床 女 3005618 肺炎", ["31床", "3005618"]),
    ("住院号,床号,诊断\n300561,31,肺炎\n300562,加2,胸痛", ["300561", "31", "300562", "加2"]),
    ("| 姓名 | 门诊号 |\n|---|---|\n| 王秀英 | M30056 |", ["王秀英", "M30056"]),
    # Beside something that tells who it is, a number is one by its form.
    ("申请人身份证110105194912310021，另附ZH300561-2", ["110105194912310021", "ZH300561-2"]),
]


@pytest.mark.parametrize("text", NOBODY)
def test_numbers_of_nobody(text):
    assert identifiers(text) == []


@pytest.mark.parametrize(("text", "numbers"), SEVERAL)
def test_several_numbers(by_rules, text, numbers):
    assert [text[start:end] for start, end, _ in identifiers(text)] == numbers


@pytest.mark.parametrize("text", ["1-", "1 ", "12、", "A1-", "住院号", "|", "床 "])
def test_long_repeats_are_read_in_bounded_steps(text):
    assert len(identifiers("电话13812345678，" + text * 20000)) < 20000
