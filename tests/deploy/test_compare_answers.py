"""Answers are kept as they come, failures are told by prompt, and nothing is asked twice."""

from __future__ import annotations

import socket

import pytest

from curate.errors import DataError, ModelError
from curate.models.openai_client import check_reachable
from curate.models.protocols import FILTERED, TOO_LONG
from deploy.compare.asking import AT_A_TIME, Answer, KeptAnswers, Prompts, ask
from deploy.compare.comparison import CompareParams, Comparison, compare
from deploy.compare.pairs import Pair, Verdict
from deploy.compare.report import counts
from tests.deploy.comparing import FakeModel, compared, fake_judge, prompts_from, sides

pytestmark = pytest.mark.usefixtures("scratch_cache")


def kinds(comparison: Comparison) -> dict[str, int]:
    return counts(comparison)["kinds"]


def asked(*texts: str) -> list[list[dict[str, str]]]:
    return [[{"role": "user", "content": each}] for each in texts]


QUESTIONS = [f"问{at}" for at in range(2 * AT_A_TIME + 3)]


class Killed(BaseException):
    pass


class Dies(FakeModel):
    """Ends the process, as it were, when it comes to a question."""

    def __init__(self, at: str) -> None:
        super().__init__("m", {})
        self._at = at

    def replies(self, conversations, max_new_tokens):
        if any(each[-1]["content"] == self._at for each in conversations):
            raise Killed
        return super().replies(conversations, max_new_tokens)


def test_a_run_that_was_killed_goes_on_and_says_the_same():
    dies, model, undisturbed = Dies(QUESTIONS[AT_A_TIME]), FakeModel("m", {}), FakeModel("m", {})
    with pytest.raises(Killed):
        ask(dies, asked(*QUESTIONS), 9, KeptAnswers("one"))
    assert dies.asked == QUESTIONS[:AT_A_TIME]
    counts: list[int] = []
    found = ask(model, asked(*QUESTIONS), 9, KeptAnswers("one"), counts.append)
    assert model.asked == QUESTIONS[AT_A_TIME:]
    assert sum(counts) == len(QUESTIONS)
    assert found == ask(undisturbed, asked(*QUESTIONS), 9, KeptAnswers("another"))
    again = FakeModel("m", {})
    assert ask(again, asked(*QUESTIONS), 9, KeptAnswers("one")) == found
    assert again.asked == []


def test_other_parameters_and_other_models_are_asked_anew():
    model = FakeModel("m", {})
    ask(model, asked("一"), 9, KeptAnswers("one"))
    for most, kept in (
        (8, KeptAnswers("one")),
        (9, KeptAnswers("two")),
        (9, KeptAnswers("one", "run")),
    ):
        ask(model, asked("一"), most, kept)
    assert len(model.asked) == 4
    ask(model, asked("一"), 9, KeptAnswers("one"))
    assert len(model.asked) == 4


def test_answers_of_one_comparison_are_gone_once_forgotten():
    passing, lasting = KeptAnswers("one", "run"), KeptAnswers("one")
    for kept in (passing, lasting):
        ask(FakeModel("m", {}), asked("一"), 9, kept)
        kept.forget()
    assert list(lasting.path.parent.iterdir()) == [lasting.path]
    passing.forget()


def test_one_that_fails_takes_no_other_with_it_and_is_asked_again():
    model = FakeModel("m", {"二": ModelError, "三": FILTERED, "四": TOO_LONG, "五": ""})
    found = ask(model, asked(*"一二三四五"), 9, KeptAnswers("one"))
    assert [each.text for each in found] == ["m: 一", "", "", "", ""]
    assert [each.failure for each in found] == ["", "cannot answer 二", FILTERED, TOO_LONG, ""]
    well = FakeModel("m", {"四": TOO_LONG})
    assert [e.failure for e in ask(well, asked(*"一二三四五"), 9, KeptAnswers("one"))] == [
        *["", ""],
        "",
        TOO_LONG,
        "",
    ]
    assert well.asked == list("一二三四五")


def test_a_model_that_answers_nothing_ends_the_run():
    model = FakeModel("m", {"一": ModelError, "二": ModelError})
    with pytest.raises(ModelError, match="cannot answer 一"):
        ask(model, asked("一", "二"), 9, KeptAnswers("one"))


def test_halves_of_characters_in_an_answer_are_written_as_a_mark():
    found = ask(FakeModel("m", {"一": "好\ud83d"}), asked("一"), 9, KeptAnswers("one"))
    assert found == [Answer("好?")]


def test_an_address_that_nobody_listens_at():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        ModelError, match=rf"no server answers at http://127.0.0.1:{port}/v1 .*start"
    ):
        check_reachable(f"http://127.0.0.1:{port}/v1#m")
    check_reachable("smollm2")


def test_behind_a_proxy_it_alone_knows_who_listens(monkeypatch):
    away = "https://nosuch.invalid/v1"
    with pytest.raises(ModelError, match="no server answers at https://nosuch.invalid/v1"):
        check_reachable(away)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    check_reachable(away)
    monkeypatch.setenv("no_proxy", "nosuch.invalid")
    with pytest.raises(ModelError, match="no server answers"):
        check_reachable(away)


# Both sides


def test_every_prompt_is_of_one_kind_and_all_add_up():
    texts = {f"问{at}": f"答{at}" for at in range(12)}
    found = compared(
        texts,
        {"问0": "同", "问1": ModelError, "问2": "", "问3": "答3"},
        {"问0": "同", "问4": TOO_LONG, "问5": "答5"},
    )
    assert kinds(found) == {"better": 2, "failed": 2, "identical": 1, "tie": 6, "worse": 1}
    assert sum(kinds(found).values()) == len(found.pairs) == 12
    assert [each.empty for each in found.pairs].count(True) == 1
    assert any(note.startswith("2 of 12 prompts have no answer") for note in found.notes)
    measured = {each.name: each for each in found.measures}
    assert measured["characters"].difference.prompts == 10
    assert found.wins is None


def test_the_judge_sees_what_both_answered_and_decides_the_kind():
    judged: list[Pair] = []
    judge = fake_judge(lambda pair: Verdict("base", "reward", (1.0, 0.0)), judged)
    texts = {f"问{at}": "" for at in range(12)}
    found = compared(texts, {"问1": ModelError, "问2": "同"}, {"问2": "同"}, judge)
    assert len(judged) == 10
    assert kinds(found) == {"failed": 1, "identical": 1, "worse": 10}
    assert found.worse == ["the judge fake judge"]
    assert found.pairs[1].verdict is None
    undecided = compared(texts, {}, {}, fake_judge(lambda pair: Verdict("tie", "agreed")))
    assert (undecided.worse, kinds(undecided)) == ([], {"tie": 12})


def test_worse_by_the_references_is_a_finding_and_worse_by_luck_is_none():
    texts = {f"问{at}": "多喝水" for at in range(12)}
    worse = compared(texts, {each: "多喝水" for each in texts}, {})
    assert worse.worse == ["the references (ROUGE-L)"]
    luck = compared(texts, {each: "多喝水" for each in list(texts)[:1]}, {})
    assert luck.worse == []
    few = dict(list(texts.items())[:9])
    assert compared(few, {each: "多喝水" for each in few}, {}).worse == []


def test_the_same_model_twice_is_told():
    model = FakeModel("m", {})
    prompts = prompts_from({"一": ""})
    found = compare(CompareParams("m", "m"), sides(model, model), prompts)
    assert any("are the same model" in note for note in found.notes)
    assert model.asked == ["一"]  # kept from the first side
    same = compared({"一": "", "二": ""}, {"一": "x", "二": "y"}, {"一": "x", "二": "y"})
    assert any("same answer to every prompt" in note for note in same.notes)


def test_prompts_that_were_trained_on_are_told():
    prompts = prompts_from({f"问{at}": "" for at in range(3)}, trained_on=True)
    models = [FakeModel(each, {}) for each in ("a", "b")]
    found = compare(CompareParams("a", "b"), sides(*models), prompts)
    assert any("was trained on 3 of these 3 prompts" in note for note in found.notes)


def test_answers_that_were_cut_off_are_told():
    texts = {f"问{at}": "" for at in range(3)}
    found = compared(texts, {"问0": "很长" * 400}, {"问1": "很长" * 400})
    assert any("on 2 of 3 prompts an answer was cut off" in note for note in found.notes)
    assert not any("cut off" in note for note in compared(texts, {}, {}).notes)


def test_nothing_to_ask():
    model = FakeModel("m", {})
    with pytest.raises(DataError, match="none of 5 rows can be asked: 3 tools, 2 media; give"):
        compare(
            CompareParams("a", "b"),
            sides(model, model),
            Prompts((), 5, {"tools": 3, "media": 2}, {"rows.json": ""}),
        )
