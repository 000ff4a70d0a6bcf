"""Rewards of rows through the engine."""

from __future__ import annotations

import numpy as np
import pytest

from curate.data.read import read
from curate.engine.local import LocalEngine
from curate.scorers.reward import RewardParams, score, score_texts, texts_of
from tests.rankers.fake import FakeReward


@pytest.fixture
def scored(scratch_cache, tmp_path, write_json):
    def run(rows, model=None):
        model = model or FakeReward()
        found = read(write_json(rows))
        return score(found, RewardParams(), model, LocalEngine(tmp_path / "journals")), model

    return run


def row(instruction, output, **more):
    return {"instruction": instruction, "input": "", "output": output, **more}


def test_rows_are_scored_in_their_order_and_the_rest_says_why(scored):
    scores, _ = scored([row("abc", "xy"), row("abcd", " "), row("a", "n/a"), row("", "z" * 50)])
    assert scores.status.tolist()[:3] == ["ok", "empty_response", "non_finite"]
    values = scores.values("reward")
    assert values[0] == 32.0
    assert np.isnan(values[1])
    assert np.isnan(values[2])


def test_of_a_dialogue_all_that_was_said_is_the_prompt(scratch_cache, write_json):
    rows = read(write_json([row("second", "last", system="sys", history=[["first", "answer"]])]))
    assert texts_of(rows[0]) == ("sys\nfirst\nanswer\nsecond", "last")
    pair = {"instruction": "q", "input": "", "chosen": "good", "rejected": "bad"}
    assert texts_of(read(write_json([pair], "pair.json"))[0]) == ("q", "good")


def test_a_second_run_asks_the_journal_and_another_model_does_not(scored):
    rows = [row("q" * n, "a" * (n + 1)) for n in range(1, 30)]
    first, model = scored(rows)
    again, asked = scored(rows)
    assert len(model.asked) == 29
    assert asked.asked == []
    assert asked.prepared == 0
    assert again.values("reward").tolist() == first.values("reward").tolist()
    other = FakeReward()
    other.fingerprint = "0" * 64
    assert len(scored(rows, other)[1].asked) == 29


def test_texts_without_rows(tmp_path):
    pairs = [("p" * n, "r") for n in range(5)]
    model = FakeReward()
    found = score_texts(pairs, model, LocalEngine(tmp_path))
    assert found.tolist() == [1.0, 11.0, 21.0, 31.0, 41.0]
    assert score_texts([], model, LocalEngine(tmp_path)).tolist() == []
