"""Preference pairs from the file to what dpo and rm are trained on; who takes pairs and who not."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

import curate
from curate.data.read import read
from curate.errors import UsageError
from curate.llamafactory import release as llamafactory
from curate.recipes.budgets import tokens_of
from curate.scorers import pairs as scorer
from tests.calling import Caller
from tests.fake import FakeModel, put_in_place
from tests.rankers.fake import FakeReward
from tests.train.making import CHATML, model_in
from train.cli import app

PAIRS = Path(__file__).parent.parent / "fixtures" / "doctor" / "dpo_en_demo.json"
# Chosen and rejected by their lengths, which are their rewards here.
LENGTHS = ((4, 2), (2, 5), (9, 1), (3, 3), (6, 5), (1, 8))


@pytest.fixture
def fake(monkeypatch, models):
    reward, model = FakeReward(), FakeModel()
    model.dtype, model.files = "float32", None
    put_in_place(monkeypatch, reward=lambda recipe: reward, causal_lm=lambda recipe: model)
    monkeypatch.setattr("curate.recipes.score.about_language", lambda *_: [])
    # The made-up models have no tokenizer of their own.
    monkeypatch.setattr("curate.recipes.score.tokens_of", lambda rows, *_: tokens_of(rows, None))
    return reward


@pytest.fixture
def pairs(tmp_path):
    rows = [
        {"instruction": "ab", "chosen": "x" * one, "rejected": "y" * other}
        for one, other in LENGTHS
    ]
    path = tmp_path / "dpo.json"
    path.write_text(json.dumps(rows))
    return path


def last(answer):
    assert answer.code == 0, answer.err
    return json.loads(answer.out.splitlines()[-1])


def test_findings_are_told_and_chosen_by(fake, pairs, call, tmp_path, monkeypatch):
    monkeypatch.setattr(scorer, "SMALL", 0.5)
    out = tmp_path / "o"
    answer = call("score", pairs, "--scorer", "pairs", "--output", out, "--json")
    told, ids = last(answer), read(pairs).ids
    assert told["findings"]["contradicted"] == {"pairs": 2, "ids": [ids[1], ids[5]]}
    assert told["findings"]["only_longer"] == {"pairs": 2, "ids": [ids[0], ids[4]]}
    assert told["findings"]["sides_equal"] == {"pairs": 0, "ids": []}
    assert told["spread"]["margin"]["rows"] == 6
    told_of = (
        "note: contradicted: 2 of 6 pairs (the ranker contradicts, the margin is below 0), such"
    )
    assert f"{told_of} as {ids[1]}, {ids[5]}\n" in answer.err
    assert "sides_equal" not in answer.err
    scores = ("--scores", told["scores"], "--output", out)
    where = ("--by", "margin", "--where", "not contradicted")
    chosen = call("select", pairs, *scores, *where, "--keep", 3, "--json")
    kept = [json.loads(line)["chosen"] for line in (out / "dpo_select.jsonl").open()]
    assert kept == ["x" * length for length in (4, 9, 6)]
    assert last(chosen)["dropped"] == {"where": 2, "below_cut": 1}
    assert last(chosen)["findings"]["only_longer"] == {"pairs": 2, "ids": [ids[0], ids[4]]}
    assert "note: only_longer: 2 of 3 kept pairs" in chosen.err
    entry = json.loads((out / "dataset_info.json").read_text())["dpo_select"]
    assert entry["ranking"] is True
    assert entry["columns"]["chosen"] == "chosen"


def test_pairs_are_scored_on_the_way_without_a_scores_file(fake, pairs, call, tmp_path):
    typed = ("--by", "margin", "--where", "not contradicted", "--keep", "50%")
    told = last(call("select", pairs, *typed, "--output", tmp_path, "--json"))
    assert (told["kept"], told["findings"]["contradicted"]["pairs"]) == (3, 0)
    rows = read(pairs)
    again = curate.select(
        rows, by="margin", where="not too_hard", keep=2, model="fake", tokenizer="use"
    )
    scores = curate.score(rows, "pairs", model="fake").scores
    among = scores[~scores["too_hard"]].sort_values("margin", ascending=False)
    assert set(rows.ids[again.choice.kept]) == set(among["id"][:2])
    with pytest.raises(UsageError, match="no column 'too_hard' in the scores"):
        curate.select(rows, by="margin", where="not too_hard")


def test_a_random_choice_is_a_control(fake, pairs, call, tmp_path):
    told = last(
        call("select", pairs, "--recipe", "random", "--keep", 2, "--output", tmp_path, "--json")
    )
    assert told["kept"] == 2
    assert json.loads((tmp_path / "dataset_info.json").read_text())[told["name"]]["ranking"]
    assert fake.asked == []


def test_who_takes_pairs_and_who_does_not(fake, pairs, rows_file, call):
    fits = r"these rows are preference pairs .*\. Give instruction data; for pairs there is curate"
    fits += " score --scorer pairs"
    for typed in (
        ("score", pairs, "--scorer", "length"),
        ("score", pairs, "--scorer", "pairs,length"),
        ("ifd", pairs),
        ("car", pairs),
        ("mods", pairs, "--seeds-only"),
        ("select", pairs, "--recipe", "deita"),
        ("select", pairs, "--recipe", "k_center"),
    ):
        call.refused(fits, *typed)
    takes = (
        "these rows are instruction data, one response each; --scorer pairs takes preference pairs"
    )
    call.refused(
        f"{takes} .* curate score --scorer reward", "score", rows_file(3), "--scorer", "pairs"
    )


@pytest.mark.parametrize("stage", ["dpo", "rm"])
def test_what_is_chosen_is_trained_on(fake, call, capsys, tmp_path, monkeypatch, stage):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(llamafactory, "missing", lambda: ["llamafactory"])
    model_in(Path("mine"), chat=CHATML)
    kept = last(call("select", PAIRS, "--by", "margin", "--keep", "70%", "--json"))["kept"]
    answer = Caller(capsys, app, "train")(stage, "--model", "mine", "--dry-run")
    assert answer.code == 0, answer.err
    assert f"doctor: dpo_en_demo_select: {kept} of {kept} rows usable" in answer.err


@pytest.mark.model
@pytest.mark.parametrize("name", ["dpo_zh_demo.json", "dpo_en_demo.json"])
def test_swapped_pairs_are_found_far_more_often_than_by_chance(real, tmp_path, name):
    rows = json.loads(real(name).read_text(encoding="utf-8"))
    swapped = set(random.Random(0).sample(range(len(rows)), len(rows) // 5))
    for place in swapped:
        row = rows[place]
        row["chosen"], row["rejected"] = row["rejected"], row["chosen"]
    path = tmp_path / "spoiled.json"
    path.write_text(json.dumps(rows))
    margin = curate.score(curate.read(path), "pairs").scores["margin"].to_numpy()
    lowest = set(np.argsort(margin)[: len(swapped)].tolist())
    # By chance a fifth of them would be there. The ranker has learned from these very pairs: one
    # that has seen neither them nor Chinese finds about a quarter of dpo_zh_demo's.
    assert len(lowest & swapped) / len(swapped) > 0.4
