"""Who is better: rewards, a model asked in both orders, and what is counted of it."""

from __future__ import annotations

import pytest

from curate.data.schema import Turn
from curate.models.generate import letter
from deploy.compare.asking import Answer, KeptAnswers, Prompt
from deploy.compare.comparison import win_rate
from deploy.compare.pairs import (
    Better,
    Pair,
    Verdict,
    judged,
    model_judge,
    question,
    reward_judge,
    reward_verdict,
    settled,
)
from tests.deploy.comparing import FakeModel, fake_judge

PROMPT = Prompt("0" * 16, "rows.json", "", (Turn("user", "头痛怎么办？"),))


def pair(base: str, tuned: str, verdict: Verdict | None = None) -> Pair:
    return Pair(PROMPT, Answer(base), Answer(tuned), verdict)


def verdicts(**counts: int) -> list[Pair]:
    betters: list[Better] = ["tuned", "base", "tie", "unjudged"]
    return [
        pair("短", "长一些", Verdict(better, "reward"))
        for better in betters
        for _ in range(counts.get(better, 0))
    ]


@pytest.mark.parametrize(
    "said", ["A", " a.", "[[A]]", "Answer: A", "**A**", "The better answer is A."]
)
def test_verdicts_that_are_read(said):
    assert letter(said) == "A"


@pytest.mark.parametrize(
    "said",
    ["", "Both", "A good question", "A or B", "D", "AB", "I prefer answer B because", "答案A更好"],
)
def test_what_is_no_verdict(said):
    assert letter(said) == ""


@pytest.mark.parametrize(
    ("plain", "swapped", "better", "how"),
    [
        ("A", "B", "base", "agreed"),
        ("B", "A", "tuned", "agreed"),
        ("C", "C", "tie", "agreed"),
        ("A", "A", "tie", "position"),
        ("B", "B", "tie", "position"),
        ("A", "C", "tie", "position"),
        ("A", "hm", "tie", "malformed"),
    ],
)
def test_only_a_verdict_that_both_orders_give_counts(plain, swapped, better, how):
    assert settled(Answer(plain), Answer(swapped)) == Verdict(better, how)


def test_a_judge_that_failed_has_not_judged():
    found = settled(Answer("A"), Answer("", failure="gone"))
    assert (found.better, found.how) == ("unjudged", "failed")


def test_both_orders_are_asked_and_answers_are_shown_as_they_are():
    plain, swapped = (question(pair("休息", "喝水"), each)[1]["content"] for each in (False, True))
    assert plain.index("休息") < plain.index("喝水")
    assert swapped.index("喝水") < swapped.index("休息")
    assert plain.startswith("[Question]\n头痛怎么办？\n\n[Answer A]\n休息\n\n[Answer B]\n喝水\n")


def test_a_model_that_always_says_a_prefers_nobody(scratch_cache):
    class Model(FakeModel):
        def replies(self, conversations, max_new_tokens):
            self.asked += [each[-1]["content"] for each in conversations]
            return [type(each)("A") for each in super().replies(conversations, max_new_tokens)]

    model = Model("judge", {})
    told = []
    pairs = [pair(f"甲{at}", f"乙{at}") for at in range(9)]
    found = model_judge(model, KeptAnswers("judge")).verdicts(pairs, told.append)
    assert {(each.better, each.how) for each in found} == {("tie", "position")}
    assert sum(told) == 9
    rate = win_rate("judge", [pair("甲", "乙", each) for each in found], 0)
    assert rate is not None
    assert (rate.wins, rate.losses, rate.ties, rate.rate.value) == (0, 0, 9, 0.5)


# Rewards


def test_rewards_decide_and_equal_ones_tie():
    assert reward_verdict(1.0, 2.0) == Verdict("tuned", "reward", (1.0, 2.0))
    assert reward_verdict(2.0, 1.0).better == "base"
    assert reward_verdict(1.0, 1.0) == Verdict("tie", "equal_reward", (1.0, 1.0))
    assert reward_verdict(float("nan"), 1.0) == Verdict("unjudged", "failed")


@pytest.mark.model
def test_the_bundled_ranker_judges_by_its_scores_in_either_place():
    from curate.models.ranking.reward_models import load_reward

    answers = ("休息。", "请多休息，多喝水；如果头痛剧烈，请到医院就诊。")
    model = load_reward("pairs")
    found = reward_judge(model).verdicts(
        [pair(*answers), pair(*answers[::-1]), pair(answers[0], answers[0])], lambda count: None
    )
    alone = [model.score([("头痛怎么办？", each)])[0] for each in answers]
    assert alone[0] != alone[1]
    # Texts of other lengths beside them change the last digits of float32 vectors.
    assert found[0].scores == pytest.approx(alone, abs=1e-4)
    assert found[1].scores == pytest.approx(alone[::-1], abs=1e-4)
    first = "tuned" if alone[1] > alone[0] else "base"
    second = "base" if first == "tuned" else "tuned"
    assert [each.better for each in found] == [first, second, "tie"]


# Counting


def test_what_needs_no_judge_is_not_asked():
    asked: list[Pair] = []
    judge = fake_judge(lambda each: Verdict("tuned", "reward"), asked)
    pairs = [pair("同", "同 "), pair("", "有"), pair("有", " "), pair("", ""), pair("甲", "乙")]
    found = judged(judge, pairs)
    assert asked == [pair("甲", "乙")]
    assert [(each.better, each.how) for each in found] == [
        ("tie", "identical"),
        ("tuned", "empty"),
        ("base", "empty"),
        ("tie", "identical"),
        ("tuned", "reward"),
    ]


def test_the_win_rate_by_hand():
    found = win_rate("judge", verdicts(tuned=9, base=3, tie=4, unjudged=2), 0)
    assert found is not None
    assert (found.wins, found.losses, found.ties, found.unjudged) == (9, 3, 4, 2)
    assert found.rate.value == pytest.approx((9 + 2) / 16)
    assert found.rate.prompts == 16
    assert found.longer == 9  # the base's three were the shorter ones
    assert found.verdict == "none"
    assert win_rate("judge", verdicts(unjudged=1), 0) is None


@pytest.mark.parametrize(("losses", "told"), [(10, "worse"), (9, "too_few")])
def test_a_judge_can_be_sure(losses, told):
    found = win_rate("judge", verdicts(base=losses), 0)
    assert found is not None
    assert found.verdict == told
