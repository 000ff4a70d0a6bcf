"""curate.dedup: reasons, twins, what is compared."""

import numpy as np
import pytest

import curate
from curate.errors import UsageError
from tests.dedup import naive
from tests.dedup.checking import check, told
from tests.dedup.conftest import pair

LONG = "高血压病人可以口服党参的。党参有降血脂，降血压的作用，可以清除血液中的垃圾，对冠心病有效。"
OTHER = "Zwei Hunde liefen durch den Wald und bellten laut, bis der Jäger kam und sie rief."


def test_reasons_and_twins(rows):
    values = [
        pair("能吃党参吗？", LONG),
        pair("能吃党参吗？", LONG),
        pair("能吃党参吗?", LONG + " "),  # another question mark and a space: the same text
        pair("能吃党参吗？", LONG.replace("冠心病", "冠状病")),
        pair("something else", OTHER),
        pair("no answer", ""),
    ]
    found = curate.dedup(rows(values))
    first = found.rows.ids[0]
    lines = told(found)
    assert [line[0] for line in lines] == [
        "",
        "exact_duplicate",
        "near_duplicate",
        "near_duplicate",
        "",
        "empty_response",
    ]
    assert [line[1] for line in lines] == [None, first, first, first, None, None]
    assert [line[2] for line in lines[:3]] == [0, 1, 1]
    texts = [f"{each['instruction']}\n{each['output']}" for each in (values[0], values[3])]
    assert lines[3][2] == float(naive.jaccard(*texts, 5))
    assert np.isnan(lines[5][2])
    assert found.scored.status.tolist() == ["ok"] * 5 + ["empty_response"]
    assert found.summary().dropped == {
        "near_duplicate": 2,
        "empty_response": 1,
        "exact_duplicate": 1,
    }
    check(found)


def test_equal_rows_whose_first_is_dropped_name_the_row_that_is_kept(rows):
    almost = LONG + "是吗"
    found = curate.dedup(rows([pair("问", LONG), pair("问", almost), pair("问", almost)]))
    first = found.rows.ids[0]
    assert [line[:2] for line in told(found)] == [
        ("", None),
        ("near_duplicate", first),
        ("near_duplicate", first),
    ]


def test_short_rows_are_like_their_equals_alone(rows):
    values = [pair("a", "b"), pair("A", "b"), pair("a", "c"), pair("你", "好"), pair("你", "好")]
    found = curate.dedup(rows(values))
    reasons = [line[0] for line in told(found)]
    assert reasons == ["", "near_duplicate", "", "", "exact_duplicate"]


def test_near_means_what_it_says(rows):
    values = [pair("x", "abcdefghij"), pair("x", "abcdefghiz")]
    # "x abcdefghij": 8 n-grams of 5, of which the two share 7 of 9.
    share = 7 / 9
    assert float(naive.jaccard("x\nabcdefghij", "x\nabcdefghiz", 5)) == share
    assert curate.dedup(rows(values), near=0.77).summary().kept == 1
    assert curate.dedup(rows(values), near=share).summary().kept == 1
    assert curate.dedup(rows(values), near=0.78).summary().kept == 2
    assert curate.dedup(rows(values), near=0.78).threshold() == pytest.approx(1 - share)


def test_all_turns_count_and_not_only_the_last(rows):
    def talk(question, answer):
        turns = [("human", question), ("gpt", answer), ("human", "谢谢"), ("gpt", "不客气")]
        return {"conversations": [{"from": role, "value": text} for role, text in turns]}

    found = curate.dedup(rows([talk("头痛", LONG), talk("咳嗽", OTHER), talk("头痛", LONG)]))
    assert [line[0] for line in told(found)] == ["", "", "exact_duplicate"]


def test_on_prompt_and_on_response(rows):
    values = [pair("the same question", LONG), pair("the same question", OTHER), pair(LONG, OTHER)]
    assert curate.dedup(rows(values)).summary().kept == 3
    on = {each: told(curate.dedup(rows(values), on=each)) for each in ("prompt", "response")}
    assert [line[0] for line in on["prompt"]] == ["", "exact_duplicate", ""]
    assert [line[0] for line in on["response"]] == ["", "", "exact_duplicate"]


def test_other_pictures_and_other_verdicts_are_other_rows(rows):
    pictures = [
        pair("<image>what is it?", "a cat", images=[each]) for each in ("1.png", "2.png", "1.png")
    ]
    found = curate.dedup(rows(pictures))
    assert [line[0] for line in told(found)] == ["", "", "exact_duplicate"]
    verdicts = [pair("what?", LONG, kto_tag=True), pair("what ?", LONG, kto_tag=False)]
    assert curate.dedup(rows(verdicts, "kto.json")).summary().kept == 2


def test_preferences_are_compared_by_what_was_chosen(rows):
    values = [
        {"instruction": "q", "chosen": LONG, "rejected": each} for each in (OTHER, "no", "maybe")
    ]
    values[2]["chosen"] = OTHER
    found = curate.dedup(rows(values))
    assert [line[0] for line in told(found)] == ["", "exact_duplicate", ""]


def test_texts_for_pretraining(rows):
    found = curate.dedup(rows([{"text": LONG}, {"text": f"{LONG}！"}, {"text": OTHER}]))
    assert [line[0] for line in told(found)] == ["", "near_duplicate", ""]
    with pytest.raises(UsageError, match="texts for pre-training and have no response"):
        curate.dedup(found.rows, on="response")


# Against other sets


def test_what_is_in_another_set_goes(rows):
    mine = rows([pair("q", LONG), pair("q", OTHER), pair("q", LONG + "。")])
    other = rows([pair("x", "y"), pair("q", LONG)], "eval.json")
    found = curate.dedup(mine, other)
    twin = other.ids[1]
    assert [line[:2] for line in told(found)] == [
        ("in_against", twin),
        ("", None),
        ("in_against", twin),
    ]
    assert found.table().column("twin_source").to_pylist() == ["eval.json", None, "eval.json"]
    assert found.params.against == (f"eval.json sha256:{other.sources[0].sha256}",)
    assert found.summary().kept == 1


def test_rows_of_the_other_set_may_be_alike_each_other_and_have_no_answer(rows):
    mine = rows([pair("q", LONG)], "mine.json")
    question = pair("q\n" + LONG, "")
    found = curate.dedup(mine, [rows([question, question], "a.json"), rows([question], "b.json")])
    assert [line[0] for line in told(found)] == ["in_against"]
    assert found.table().column("twin_source").to_pylist() == ["a.json"]


def test_a_question_inside_a_longer_row(rows):
    asked = "高血压患者能吃党参吗，每天可以吃多少克？"
    values = [pair(f"医生您好，我今年五十岁。{asked}谢谢您的回答", LONG), pair("q", OTHER)]
    values.append(pair(values[0]["instruction"] + "！", LONG))
    other = rows([pair(asked, "不能")], "eval.json")
    found = curate.dedup(rows(values), other)
    assert [line[:2] for line in told(found)] == [
        ("contains_against", other.ids[0]),
        ("", None),
        ("contains_against", other.ids[0]),
    ]


def test_short_questions_are_named_in_a_note(rows):
    found = curate.dedup(
        rows([pair("头痛怎么办？", LONG)]), rows([pair("头痛怎么办？", "")], "e.json")
    )
    assert [line[0] for line in told(found)] == [""]
    assert found.notes[0].startswith("1 of 1 questions of the other sets are too short")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"near": 0.2}, "--near 0.2: allowed are 0.3 to 1"),
        ({"near": float("nan")}, "near=nan: allowed is a number"),
        ({"near": 8}, "--near 8: allowed are"),
        ({"on": "promt"}, "Did you mean 'prompt'"),
        ({"seed": -1}, "--seed -1"),
        ({"neer": 0.8}, "dedup has no option 'neer'. Did you mean 'near'"),
    ],
)
def test_options_that_cannot_be(rows, options, told):
    with pytest.raises(UsageError, match=told):
        curate.dedup(rows([pair("a")]), **options)


def test_other_sets_of_plain_text_are_a_question_a_line(rows, tmp_path):
    """As behind --against: the first line is a question, too, and no name of a column."""
    path = tmp_path / "q.txt"
    path.write_text("能吃党参吗？\n孕妇可以喝茶吗？\n", encoding="utf-8")
    found = curate.dedup(
        rows([pair("能吃党参吗？", LONG), pair("x", OTHER)]), on="prompt", against=path
    )
    assert found.choice.reason.tolist() == ["in_against", ""]
