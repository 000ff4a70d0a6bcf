"""What a response looks like, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.models.ranking.writing_style import FORM_NAMES, form_features, is_chinese


def seen(response, prompt="Name two fruits."):
    return dict(zip(FORM_NAMES, form_features([(prompt, response)])[0].tolist(), strict=True))


def test_english_by_hand():
    found = seen("Here are two fruits:\n\n1. An apple.\n2. A pear, because I like you!")
    assert found["words"] == pytest.approx(math.log(14), abs=1e-6)
    assert found["lines"] == pytest.approx(math.log(3), abs=1e-6)
    assert found["items"] == pytest.approx(math.log1p(2), abs=1e-6)
    assert (found["numbered"], found["bullets"], found["opening"]) == (1, 0, 1)
    assert (found["ended"], found["stopped"], found["broken_off"]) == (1, 1, 0)
    assert found["connectives"] == pytest.approx(math.log1p(1), abs=1e-6)
    assert found["prompt_covered"] == pytest.approx(2 / 3)
    assert found["from_prompt_share"] == pytest.approx(2 / 14)
    assert (found["self"], found["reader"], found["refusal"]) == (1, 1, 0)
    assert found["other_language"] == 0


def test_chinese_by_hand():
    found = seen("苹果，因为好吃。", "说出两种水果。")
    assert found["words"] == pytest.approx(math.log(6), abs=1e-6)
    assert found["connectives"] == pytest.approx(math.log1p(1), abs=1e-6)
    assert found["commas_share"] == pytest.approx(1 / 6)
    assert found["from_prompt_share"] == pytest.approx(1 / 6)
    assert found["stopped"] == 1
    assert seen("apple", "说出两种水果。")["other_language"] == 1


def test_repetition_and_ends():
    assert seen("a b c a b c a b c")["repeated"] == pytest.approx(1 - 3 / 7)
    assert seen("It is like")["broken_off"] == 1
    assert seen("as follows:")["ends_with_colon"] == 1
    assert seen("Name two fruits.")["copied"] == 1


def test_language():
    assert is_chinese("你好 world")
    assert is_chinese("hello 你")
    assert not is_chinese("12 + 3")


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_has_finite_numbers(prompt, response):
    found = form_features([(prompt, response)])
    assert found.shape == (1, len(FORM_NAMES))
    assert np.isfinite(found).all()


def test_no_pairs_have_no_lines():
    assert form_features([]).shape == (0, len(FORM_NAMES))
