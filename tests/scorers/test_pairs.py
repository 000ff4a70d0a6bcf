"""Preference pairs: margins and gaps by hand and by a naive loop, and what each finding is."""

import json

import numpy as np
import pytest

import curate
from curate.data.read import read
from curate.engine.local import LocalEngine
from curate.models.causal_lm import load_causal_lm
from curate.models.ranking.reward_models import load_reward
from curate.models.resolve import resolve
from curate.scorers import pairs
from curate.scorers.pairs import PairParams, findings, hardest, only_longer, score, told
from tests.fake import FakeModel
from tests.naive import mean_nll
from tests.rankers.fake import FakeReward

REAL = [
    ("Name a fruit.", "A crisp apple is a fruit that many people like.", "I don't know."),
    (
        "高血压患者能吃党参吗？",
        "不知道",
        "高血压患者可以适量食用党参，但应先咨询医生，并按时服用降压药。",
    ),
    ("What is 2 + 2?", "2 + 2 = 4.", "2 + 2 = 4!"),
]


def pair(prompt, chosen, rejected, **more):
    return {"instruction": prompt, "chosen": chosen, "rejected": rejected, **more}


@pytest.fixture
def written(tmp_path):
    def written(*rows):
        path = tmp_path / "pairs.json"
        path.write_text(json.dumps(rows), encoding="utf-8")
        return read(path)

    return written


@pytest.fixture
def scored(tmp_path):
    def scored(rows, model=None, **settings):
        engine = LocalEngine(tmp_path / "cache")
        return score(rows, PairParams(**settings), FakeReward(), engine, model)

    return scored


def test_margins_lengths_and_sides_by_hand(written, scored):
    rows = written(
        pair("ab", "xxxx", "yy"),  # 24 against 22
        pair("ab", "yy", "xxxxxx"),  # 22 against 26; its chosen is the first one's rejected
        pair("c", "the same words here", " the same words here\n"),
        pair("c", "Take one tablet a day.", "Take one tablet, a day"),
        pair("ab", "", "z"),
        pair("ab", "n/a", "z"),
    )
    found = scored(rows)
    assert found.status.tolist() == ["ok"] * 4 + ["empty_response", "non_finite"]
    assert found.values("margin").tolist()[:4] == [2, -4, -2, 0]
    assert np.isnan(found.values("margin")[4:]).all()
    assert np.isnan(found.values("reward_rejected")[4:]).all()
    columns = {name: column.to_pylist() for name, column in found.columns.items()}
    assert columns["reward_chosen"][:2] == [24, 22]
    assert columns["length_difference"][:4] == [2, -4, -2, 0]
    assert columns["contradicted"] == [False, True, True, False, False, False]
    assert columns["rejected_elsewhere"] == [False, True, False, False, False, False]
    assert columns["sides_equal"] == [False, False, True, False, False, False]
    assert columns["sides_near"] == [False, False, False, True, False, False]
    assert columns["sides_similarity"][:4] == [0, 0, 1, 1]
    assert not {"implicit_gap", "too_hard"} & columns.keys()


def test_the_bundled_ranker_on_three_pairs(written, tmp_path, scratch_cache):
    rows = written(*(pair(*each) for each in REAL))
    ranker = load_reward("pairs")
    ranker.prepare()
    with ranker.worker():
        rewards = [[ranker.score([(prompt, side)])[0] for side in sides] for prompt, *sides in REAL]
    found = curate.score(rows, "pairs")
    np.testing.assert_allclose(
        found.scores["reward_chosen"], [one for one, _ in rewards], rtol=1e-5
    )
    np.testing.assert_allclose(
        found.scores["margin"], [one - other for one, other in rewards], rtol=1e-4, atol=1e-5
    )
    assert found.scores["contradicted"].tolist()[:2] == [False, True]
    assert found.details["findings"]["contradicted"]["ids"][0] == rows[1].id


def test_a_little_longer_is_not_longer(written, scored, monkeypatch):
    monkeypatch.setattr(pairs, "SMALL", 1.0)
    sides = (("x" * 11, "y" * 10), ("x" * 12, "y" * 10), ("x" * 40, "y" * 10))
    found = scored(written(*(pair("ab", *each) for each in sides)))
    assert found.columns["only_longer"].to_pylist() == [False, True, False]


def test_gaps_by_hand(written, scored):
    # A token's NLL is 1 / tokens before it: BOS, "[u]ab[a]" and what is answered so far.
    rows = written(
        pair("ab", "xyz", "uv"), pair("ab", "uv", "uvw"), pair("ab", "xy", "too long" * 9)
    )
    found = scored(rows, FakeModel(), max_length=40)
    nll = [1 / 9, 1 / 10, 1 / 11]
    sums = [sum(nll[:length]) for length in (3, 2)]
    gap, mean = found.values("implicit_gap"), found.values("implicit_gap_mean")
    np.testing.assert_allclose(gap[:2], [sums[1] - sums[0], sums[0] - sums[1]])
    expected = sums[1] / 2 - sums[0] / 3
    np.testing.assert_allclose(mean[:2], [expected, -expected])
    assert found.columns["too_hard"].to_pylist() == [expected < 0, expected > 0, False]
    assert found.columns["gap_status"].to_pylist() == ["ok", "ok", "truncated"]
    assert np.isnan(gap[2])
    assert found.status.tolist() == ["ok"] * 3
    assert found.notes == (
        "pairs without an implicit gap, none of them too_hard: 1 truncated (gap_status)",
    )


def test_only_the_last_answer_of_a_dialogue_counts(written, scored):
    turns = [("human", "q"), ("gpt", "an earlier answer"), ("human", "and?")]
    talk = {"conversations": [{"from": who, "value": text} for who, text in turns]}
    sides = {
        name: {"from": "gpt", "value": text}
        for name, text in (("chosen", "xyz"), ("rejected", "uv"))
    }
    found = scored(written({**talk, **sides}), FakeModel())
    before = len("[u]q[a]an earlier answer[u]and?[a]") + 1
    sums = [sum(1 / (before + at) for at in range(length)) for length in (3, 2)]
    np.testing.assert_allclose(found.values("implicit_gap"), [sums[1] - sums[0]])
    np.testing.assert_allclose(found.values("implicit_gap_mean"), [sums[1] / 2 - sums[0] / 3])


@pytest.mark.model
def test_gaps_are_those_of_a_naive_loop(written, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = written(*(pair(*each) for each in REAL))
    engine = LocalEngine(tmp_path / "j")
    model = load_causal_lm("smollm2", "float32")
    found = score(rows, PairParams(), FakeReward(), engine, model)
    files = resolve("smollm2").folder
    tokenizer = AutoTokenizer.from_pretrained(files)
    plain = AutoModelForCausalLM.from_pretrained(files, dtype=torch.float32).eval()
    for at, (prompt, *sides) in enumerate(REAL):
        lead = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (lead, *sides)]
        means = [-mean_nll(plain, ids[0], side) for side in ids[1:]]
        sums = [mean * len(side) for mean, side in zip(means, ids[1:], strict=True)]
        assert found.values("implicit_gap_mean")[at] == pytest.approx(means[0] - means[1], rel=1e-3)
        assert found.values("implicit_gap")[at] == pytest.approx(sums[0] - sums[1], rel=1e-3)


def test_what_is_done_is_not_done_again(written, tmp_path):
    rows = written(*(pair(*each) for each in REAL))
    model, reward, engine = FakeModel(), FakeReward(), LocalEngine(tmp_path / "j")
    first = score(rows, PairParams(), reward, engine, model)
    asked = len(model.asked), len(reward.asked)
    again = score(rows, PairParams(), reward, engine, model)
    assert (len(model.asked), len(reward.asked)) == asked == (6, 6)
    assert again.values("implicit_gap").tolist() == first.values("implicit_gap").tolist()


def test_rules_against_naive_loops():
    generator = np.random.default_rng(0)
    margin, longer = generator.normal(size=200), generator.random(200) < 0.5
    margin[::17] = np.nan
    known = sorted(abs(m) for m in margin if not np.isnan(m))
    naive = [
        bool(one and m >= 0 and sum(abs(m) > k for k in known) < 0.25 * (len(known) - 1))
        for m, one in zip(margin, longer, strict=True)
    ]
    assert sum(naive) > 5
    assert only_longer(margin, longer, 0.25).tolist() == naive
    ids = np.array([f"{n:03}" for n in generator.permutation(200)], dtype=object)
    margin[10] = margin[11]
    lowest = sorted((m, i) for m, i in zip(margin, ids, strict=True) if not np.isnan(m))
    wanted = {i for _, i in lowest[: int(0.3 * len(lowest))]}
    assert set(ids[hardest(margin, ids, 0.3)]) == wanted
    assert not hardest(margin, ids, 0).any()
    assert hardest(margin, ids, 1).sum() == len(lowest)


def test_findings_are_counted_with_three_examples():
    ids = np.array(list("abcdef"), dtype=object)
    columns = {"contradicted": np.array([1, 1, 1, 1, 0, 1], bool), "sides_equal": np.zeros(6, bool)}
    found = findings(columns, ids, np.array([0, 1, 1, 1, 1, 1], bool))
    assert found == {
        "contradicted": {"pairs": 4, "ids": ["b", "c", "d"]},
        "sides_equal": {"pairs": 0, "ids": []},
    }
    said = "contradicted: 4 of 5 pairs (the ranker contradicts, the margin is below 0)"
    assert told(found, 5, "pairs") == (f"{said}, such as b, c, d",)
