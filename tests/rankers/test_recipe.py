"""Training as a whole, with features that can be counted; the shipped card against its files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from curate.data.preference_pairs import read_pairs
from curate.errors import DataError, ModelError, UsageError
from curate.models.ranking.learn import Material, draw_of, fit_head, margins, right
from curate.models.ranking.reward_models import SHIPPED
from curate.models.ranking.trained_head import look
from curate.parameters.ranker import JudgeParams, RankerParams
from curate.recipes.ranker import evaluate, judge, train
from tests.fake import put_in_place
from tests.rankers.fake import FakeFeatures, FakeReward
from tests.rankers.test_trained_head import pairs_of


@pytest.fixture
def made(scratch_cache, write_json, monkeypatch):
    """Write 60 pairs, put FakeFeatures in the encoder's place, and return file and features."""
    features = FakeFeatures()
    put_in_place(monkeypatch, features=lambda recipe: features)
    rows = [dict(zip(("prompt", "better", "worse"), each, strict=True)) for each in pairs_of(60)]
    return write_json(rows, "made.json"), features


def test_the_card_holds_what_can_be_computed_again(made, tmp_path):
    path, features = made
    card = train([path], RankerParams(encoder="fake", spoiled=0), tmp_path / "out")
    assert card | {"weights_sha256": 0} == json.loads(
        (tmp_path / "out" / "card.json").read_text()
    ) | {"weights_sha256": 0}
    pairs = read_pairs([path]).pairs
    prompts = [pair.prompt for pair in pairs]
    better, worse = (
        features.features([(p.prompt, getattr(p, side)) for p in pairs]).astype(float)
        for side in ("better", "worse")
    )
    names, preferred = np.array(["made.json"] * len(pairs)), np.ones(len(pairs), dtype=bool)
    whole = Material(
        prompts=np.array(prompts, dtype=object),
        sources=names,
        better=better,
        worse=worse,
        families=features.families,
        looks=look(prompts),
        preferred=preferred,
        spoiled=np.zeros(len(prompts)),
    )
    held = draw_of(prompts, 0) < 0.2
    head = fit_head(whole.part(~held), card["ridge"])
    found = right(margins(head, whole.part(held)))
    assert card["held_out"]["all"]["pairs"] == held.sum()
    assert card["held_out"]["all"]["accuracy"] == pytest.approx(found.mean(), abs=1e-4)
    longer = np.mean(
        [
            1.0 if len(p.better) > len(p.worse) else 0.5 if len(p.better) == len(p.worse) else 0.0
            for p in pairs
        ]
    )
    assert card["nested"]["all"]["longer_wins"] == pytest.approx(longer, abs=1e-4)
    assert card["nested"]["all"]["pairs"] == len(pairs)
    assert card["spoiled"] == {"counts": 0, "pairs": 0, "nested": {}}
    assert card["families"]["form"]["is_format"]
    assert not card["families"]["letters"]["is_format"]


def test_spoiled_pairs_are_judged_by_themselves(made, tmp_path):
    card = train([made[0]], RankerParams(encoder="fake", spoiled=0.5), tmp_path / "out")
    assert card["spoiled"]["counts"] == 0.5
    assert 0 < card["spoiled"]["pairs"] <= 60
    assert card["nested"]["all"]["pairs"] == 60
    # The better response says x more often; a loop of it says x most often, an echo never.
    caught = card["spoiled"]["nested"]
    assert caught["spoiled: echo"] > 0.9
    assert set(card["data"]) == {"made.json"}


def test_features_are_journalled(made, tmp_path):
    path, features = made
    train([path], RankerParams(encoder="fake"), tmp_path / "one")
    asked = features.asked
    assert asked > 60
    train([path], RankerParams(encoder="fake", hold_out=0.4), tmp_path / "two")
    assert features.asked == asked


def test_nan_names_the_pair(made, tmp_path, monkeypatch):
    path, features = made
    honest = features.features

    def broken(pairs):
        found = honest(pairs)
        found[[prompt == "prompt 7" for prompt, _ in pairs], -1] = np.nan
        return found

    monkeypatch.setattr(features, "features", broken)
    with pytest.raises(ModelError, match=r"NaN or infinity for 1 of the pairs.*made\.json, .*8"):
        train([path], RankerParams(encoder="fake", spoiled=0), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_judge_by_hand(scratch_cache, write_json, monkeypatch):
    put_in_place(monkeypatch, reward=lambda recipe: FakeReward())
    rows = [
        {"prompt": "p", "better": "longer", "worse": "short"},
        {"prompt": "q", "better": "abc", "worse": "xyz"},
        {"prompt": "r", "better": "no", "worse": "never"},
        {"prompt": "s", "better": "yes!", "worse": "no"},
    ]
    found = evaluate([write_json(rows)], JudgeParams(ranker="fake"))["files"]["all"]
    assert (found["pairs"], found["accuracy"]) == (4, 2.5 / 4)
    assert (found["longer_wins"], found["shorter_wins"]) == (2.5 / 4, 1.5 / 4)
    assert found["length_baseline"] == 2.5 / 4
    assert 0 <= found["low"] <= 2.5 / 4 <= found["high"] <= 1
    rows.append({"prompt": "t", "better": "n/a", "worse": "no"})
    with pytest.raises(ModelError, match=r"NaN or infinity for 1 of the pairs.*more\.json, .*5"):
        evaluate([write_json(rows, "more.json")], JudgeParams(ranker="fake"))


def test_one_prompt_cannot_be_held_out(made, write_json, tmp_path):
    rows = [{"prompt": "p", "better": f"good {n}", "worse": "bad"} for n in range(30)]
    with pytest.raises(DataError, match="more than a few different prompts"):
        train([write_json(rows, "one.json")], RankerParams(encoder="fake"), tmp_path / "out")
    tiny = train([made[0]], RankerParams(encoder="fake", hold_out=1e-9), tmp_path / "out")
    assert tiny["held_out"]["all"]["pairs"] == 1
    with pytest.raises(UsageError, match="--hold-out 0"):
        RankerParams(hold_out=0)


def test_the_shipped_card_is_of_the_public_files(real):
    card = json.loads((SHIPPED / "card.json").read_text())
    found = read_pairs([real(name) for name in card["data"]])
    assert {name: each["sha256"] for name, each in card["data"].items()} == found.sha256
    assert card["dropped"] == found.dropped
    for name, each in card["data"].items():
        own = [pair for pair in found.pairs if pair.source == name]
        assert len(own) == each["pairs"] == card["nested"][name]["pairs"]
        rule = judge(own, np.zeros(len(own)), 0)["longer_wins"]
        assert card["nested"][name]["longer_wins"] == pytest.approx(rule, abs=1e-4)
