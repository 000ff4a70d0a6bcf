"""Numbers of answers and their intervals, by hand and against what published programs say."""

from __future__ import annotations

import numpy as np
import pytest

from curate.scorers.overlap import bleu, bleu_statistics, common_subsequence, rouge_l, words
from deploy.compare.asking import Answer
from deploy.compare.comparison import measures
from deploy.compare.pairs import FEWEST, Pair, interval, mean, numbers_of
from tests.deploy.comparing import prompts_from


def test_words_of_chinese_are_characters():
    assert words("每日2次，Vitamin-C。\n") == [*"每日", "2", "次", "vitamin", "c"]
    assert words(" \n\u3000……！") == []


# What rouge-score 0.1.2 (without stemming) and rouge-chinese 1.0.3 (characters with spaces
# between them) say: F1 of ROUGE-L. The latter counts a character once however often it occurs; no
# character of its rows here occurs twice.
PUBLISHED = [
    (
        "The patient should rest, drink water and see a doctor.",
        "Patients should drink water, rest well and see their doctor soon.",
        0.571429,
    ),
    (
        "Don't take it twice a day",
        "Take it twice a day; do not stop.",
        0.666667,
    ),
    ("高血压患者可以适量吃党参", "高血压患者不宜大量吃党参", 0.75),
]


@pytest.mark.parametrize(("answer", "reference", "figure"), PUBLISHED)
def test_rouge_is_what_the_published_programs_say(answer, reference, figure):
    assert rouge_l(words(answer), words(reference)) == pytest.approx(figure, abs=1e-6)
    assert rouge_l([], []) == 0


def test_the_common_subsequence_is_that_of_the_usual_table():
    def naive(first, second):
        table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
        for i, one in enumerate(first):
            for j, other in enumerate(second):
                longest = max(table[i][j + 1], table[i + 1][j])
                table[i + 1][j + 1] = table[i][j] + 1 if one == other else longest
        return table[-1][-1]

    draw = np.random.default_rng(0)
    for _ in range(60):
        first, second = (
            [str(each) for each in draw.integers(0, 5, draw.integers(0, 70))] for _ in range(2)
        )
        assert common_subsequence(first, second) == naive(first, second)


def test_bleu_of_many_answers_is_sacrebleus_own_and_by_hand():
    from sacrebleu import corpus_bleu

    rows = [each[:2] for each in PUBLISHED]
    sums = np.array([bleu_statistics(*each) for each in rows], dtype=float).sum(axis=0)
    answers, references = zip(*rows, strict=True)
    whole = corpus_bleu(list(answers), [list(references)], tokenize="zh").score
    assert bleu(sums) == pytest.approx(whole)
    # 多喝热水 against 多喝开水: 3 of 4 characters, 1 of 3 pairs; no triple (1/2 smoothed: 1/4),
    # no gram of four (1/1 smoothed: 1/4).
    found = bleu(np.array(bleu_statistics("多喝热水", "多喝开水"), dtype=float))
    assert found == pytest.approx(100 * (3 / 4 * 1 / 3 * 1 / 4 * 1 / 4) ** 0.25)
    assert bleu(np.array(bleu_statistics("", "多喝水"), dtype=float)) == 0


# Intervals


def test_an_interval_is_about_what_the_normal_distribution_says():
    values = np.random.default_rng(3).normal(0.5, 2, 400)
    found = mean(values, 0)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)
    assert mean(values, 0) == found
    assert mean(values, 1) != found


def test_what_an_interval_amounts_to():
    assert mean(np.full(FEWEST, 0.1), 0).verdict() == "higher"
    assert mean(np.full(FEWEST, -0.1), 0).verdict() == "lower"
    assert mean(np.full(FEWEST, -0.1), 0).verdict(-0.1) == "none"
    assert mean(np.array([1.0, -1.0] * FEWEST), 0).verdict() == "none"
    few = mean(np.full(FEWEST - 1, 0.1), 0)
    assert (few.verdict(), few.low, few.high) == ("too_few", None, None)


def test_the_models_numbers_on_a_prompt_stay_together():
    # Prompts differ a thousand times more than the models do: only paired draws can tell.
    level = np.linspace(0, 1000, 30)
    rows = np.stack((level, level + 1), axis=1)
    found = interval(rows, lambda sums: (sums[:, 1] - sums[:, 0]) / 30, 0)
    assert (found.low, found.high) == (pytest.approx(1), pytest.approx(1))


def test_equal_models_are_seldom_told_apart():
    draw = np.random.default_rng(11)
    told = [mean(draw.normal(0, 1, 40), 0).verdict() for _ in range(100)]
    assert told.count("none") >= 88


# All of them


def test_measures_of_pairs():
    asked = {f"问{at}": "多喝水，多休息" if at % 2 else "" for at in range(20)}
    pairs = [
        Pair(each, Answer("不知道"), Answer(f"多喝水{at % 3}", cut=True))
        for at, each in enumerate(prompts_from(asked).prompts)
    ]
    found = {each.name: each for each in measures(pairs, 0)}
    assert (found["characters"].base, found["characters"].tuned) == (3, 4)
    assert (found["characters"].verdict, found["cut"].tuned) == ("higher", 1)
    assert found["empty"].verdict == "none"
    assert numbers_of(Answer("多喝水，多休息。" * 4), "")["loops"] == 1
    rouge = found["rouge_l"]
    assert (rouge.difference.prompts, rouge.base, rouge.verdict) == (10, 0, "better")
    assert rouge.tuned == pytest.approx(2 * 3 / (4 + 6))
    assert found["bleu"].difference.prompts == 10
    assert found["bleu"].verdict == "better"
    turned = [Pair(each.prompt, each.tuned, each.base) for each in pairs]
    back = {e.name: e for e in measures(turned, 0)}
    assert back["rouge_l"].verdict == back["bleu"].verdict == "worse"
    without = [each for each in pairs if not each.prompt.reference]
    assert "rouge_l" not in {each.name for each in measures(without, 0)}
