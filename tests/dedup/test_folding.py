"""What is compared as the same text, and what is not."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curate.duplicates.folding import fold

QUESTION = "医生您好，我血压150/95，每天吃1.5mg药，还能喝酒吗？"


@pytest.mark.parametrize(
    "other",
    [
        "医生您好,我血压150/95,\n每天吃1.5mg药,\n还能喝酒吗?",
        "医 生 您 好 我 血 压 150/95 每 天 吃 1.5mg 药 还 能 喝 酒 吗",
        "医生您好！我血压１５０／９５，每天吃１．５ＭＧ药。还能喝酒吗？？？",
        "<p>医生您好，<br/>我血压150/95，每天吃1.5mg药，<b class='x'>还能喝酒吗</b>？</p>",
        "医生您好，&nbsp;我血压150/95，每天吃1.5mg药，还能喝酒吗&#65311;",
        "医\u200b生您好，我\ufeff血压150/95，每天吃1.5mg药，还能喝酒\u00ad吗？",
        "醫生您好，我血壓150/95，每天吃1.5mg藥，還能喝酒嗎？",
        "「医生您好」——我血压150/95…每天吃1.5mg药～还能喝酒吗",
        "&lt;p&gt;医生您好，我血压150/95，每天吃1.5mg药，还能喝酒吗？&lt;/p&gt;",
    ],
)
def test_the_same_question_written_otherwise(other):
    assert fold(other) == fold(QUESTION)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("吃1.5 mg", "吃15 mg"),
        ("血压150/95", "血压15095"),
        ("2-3天", "23天"),
        ("2～3天", "23天"),
        ("白细胞10⁹", "白细胞109"),
        ("½片", "12片"),
        ("零下-5度", "零下5度"),
        ("占5%", "占5"),
        ("x < 5", "x > 5"),
        ("list<int> x", "list x"),
        ("C#", "C"),
        ("now here", "nowhere"),
        ("???", "!!!"),
        ("头痛", "头晕"),
    ],
)
def test_what_changes_the_question_stays(one, other):
    assert fold(one) != fold(other)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ＡＢＣ，高血压", "abc高血压"),
        ("  a\t\n b \u3000c ", "a b c"),
        ("Straße", "strasse"),
        ("", ""),
        (" \n", ""),
        ("①㎏", "1kg"),
    ],
)
def test_width_and_case(text, folded):
    assert fold(text) == folded


def test_english_keeps_its_words_apart():
    assert fold("Hello,world!  It’s\tme.") == fold("hello world its me")


@given(st.text())
@example("&amp;amp;lt;")
@example("<br>")
@example("，。")
def test_a_text_is_never_lost(text):
    folded = fold(text)
    visible = any(unicodedata.category(c)[0] in "LN" for c in text)
    assert folded or not visible
    assert folded == folded.strip(" ")


@given(st.text(alphabet="头痛 1.5mg。，-ab\n"))
def test_folding_again_changes_nothing(text):
    assert fold(fold(text)) == fold(text)
