"""`curate split`: as many rows as asked for, and no twin on the other side."""

import json

import numpy as np
import pytest

from curate.data.read import read
from curate.errors import UsageError
from curate.parameters.dedup import DedupParams
from curate.parameters.split import SplitParams
from curate.recipes.dedup import dedup
from curate.recipes.split import split
from tests.calling import Caller

TOPICS = [
    "高血压患者平时能不能吃党参泡水喝",
    "孩子发热三十八度五要不要吃退烧药",
    "口腔溃疡反复发作应该怎么办才好",
]


def qa(question, answer):
    return {"instruction": question, "output": answer}


@pytest.fixture
def rows(write_json):
    """Twins by equal question, by a question written otherwise, by both turns, and strangers."""
    values = [
        qa(TOPICS[0], "可以。"),
        qa(TOPICS[0], "不可以，请先问医生。"),
        qa(f"{TOPICS[0]}？！", "少量。"),
    ]
    values += [qa(TOPICS[1], "先物理降温。" * 9), qa(f"请问{TOPICS[1]}", "先物理降温。" * 9)]
    values += [qa(f"第{each}个问题：{chr(0x4E00 + 97 * each) * 12}", "好。") for each in range(25)]
    return read(write_json([*values, qa("没有回答", "")]))


@pytest.mark.parametrize("seed", range(8))
def test_twins_stay_on_one_side(rows, seed):
    halves = split(rows, SplitParams(test=9, seed=seed))
    test, train = halves.test.choice.kept, halves.train.choice.kept
    assert test.sum() == 9
    assert not (test & train).any()
    assert (test | train).tolist() == [True] * 30 + [False]
    assert len(set(test[:3].tolist())) == 1
    assert len(set(test[3:5].tolist())) == 1
    assert halves.twins == 5
    assert halves.test.choice.reason[30] == "empty_response"


def test_the_order_of_rows_changes_nothing(rows, write_json):
    backwards = read(write_json([row.value for row in rows][::-1], "backwards.json"))
    sets = [
        {
            each.ids[at]
            for at in np.flatnonzero(split(each, SplitParams(test="20%")).test.choice.kept)
        }
        for each in (rows, backwards)
    ]
    assert sets[0] == sets[1]
    assert len(sets[0]) == 6


def test_rows_that_all_have_a_flaw(write_json):
    with pytest.raises(UsageError, match="none of the 2 rows is without a flaw"):
        split(read(write_json([qa("问", ""), qa("", "")])), SplitParams())


def test_something_has_to_be_left(rows):
    with pytest.raises(UsageError, match="--test 100%: of 31 rows 30 have no flaw"):
        split(rows, SplitParams(test="100%"))
    with pytest.raises(UsageError, match="--test 99: there are only 30 rows"):
        split(rows, SplitParams(test=99))


def test_a_name_is_taken_as_typed(capsys, write_json, tmp_path):
    file = write_json([{"prompt": f"What is {word}?", "response": word} for word in ("AF", "MI")])
    typed = ("--test", "1", "--output", tmp_path, "--name", "mine_", "--json")
    assert json.loads(Caller(capsys)("split", file, *typed).out)["test"]["name"] == "mine__test"


def test_real_rows_from_the_command(capsys, real, tmp_path):
    file = real("toyhom_internal_medicine_gb18030.csv")
    answer = Caller(capsys)(
        "split", file, "--test", "10%", "--output", tmp_path, "--name", "t", "--json"
    )
    result = json.loads(answer.out)
    assert (result["train"]["kept"], result["test"]["kept"]) == (4500, 500)
    sides = [read(tmp_path / f"t_{side}.jsonl") for side in ("train", "test")]
    clean = dedup(sides[0], DedupParams(), [sides[1]])
    assert "in_against" not in clean.choice.counts()
