"""Questions inside texts, against a naive loop: none is missed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.duplicates import contained
from curate.duplicates.contained import held, questions
from tests.dedup.naive import grams

QUESTION = "高血压患者能吃党参吗,每天可以吃多少克"
ENGLISH = "is it safe to take ginseng if you have high blood pressure?"


def test_by_hand():
    asked = questions([QUESTION, ENGLISH], 0.8)
    assert asked.sought == 2
    which, share = held(
        asked, [f"医生您好。{QUESTION}?谢谢", "无关的话", "", ENGLISH[:-9], ENGLISH]
    )
    assert which.tolist() == [0, -1, -1, 1, 1]
    # Of 55 n-grams those of the last nine letters are gone.
    assert share.tolist() == [1, 0, 0, 46 / 55, 1]


def test_a_share_just_below_is_not_enough():
    asked = questions([ENGLISH], 0.8)
    assert held(asked, [ENGLISH[:48]])[1].tolist() == [44 / 55]
    assert held(asked, [ENGLISH[:47]])[0].tolist() == [-1]


@pytest.mark.parametrize(
    ("text", "sought"),
    [("怎么办?", 0), (QUESTION[:13], 0), (QUESTION[:14], 1), ("what is it?", 0), (ENGLISH[:40], 1)],
)
def test_short_questions_are_not_looked_for(text, sought):
    asked = questions([text], 0.8)
    assert asked.sought == sought
    assert held(asked, [f"... {text} ..."])[0].tolist() == [0 if sought else -1]


def test_the_form_of_the_questions_is_no_question():
    form = "以下是一道单项选择题,请从四个选项中选出唯一正确的答案,并且说明理由:"
    rng = np.random.default_rng(0)
    own = ["".join(map(chr, rng.integers(0x4E00, 0x9F00, 20))) for _ in range(30)]
    asked = questions([form + each for each in own], 0.8)
    found, share = held(asked, [form + "别的问题", own[7], form + own[9], own[3][:15]])
    assert found.tolist() == [-1, -1, 9, -1] or found.tolist() == [-1, 7, 9, -1]
    assert share[2] == 1


def test_no_questions_and_no_texts():
    nothing = questions([], 0.8)
    assert nothing.sought == 0
    assert held(nothing, [QUESTION])[0].tolist() == [-1]
    assert held(questions([QUESTION], 0.8), [])[0].tolist() == []


TEXT = st.text(alphabet="ab c", min_size=0, max_size=30)


@given(st.lists(TEXT, max_size=8), st.lists(TEXT, max_size=5), st.sampled_from([0.3, 0.8, 1.0]))
def test_as_the_naive_loop(asked, texts, near):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contained, "LEAST_BYTES", 8)
        which, share = held(questions(asked, near), texts)
    for at, text in enumerate(texts):
        inside = [
            len(grams(each, 5) & grams(text, 5)) / max(1, len(grams(each, 5)))
            if len(each) >= 5 and len(grams(each, 5)) + 4 >= 8
            else 0
            for each in asked
        ]
        best = max(inside, default=0)
        if best < near:
            assert which[at] == -1
        else:
            assert (which[at], share[at]) == (inside.index(best), best)
