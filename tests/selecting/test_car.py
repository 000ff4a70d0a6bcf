"""`curate car`: against a naive version on real rows, what is refused, and the bundled models."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

import curate
from curate.data.read import read
from curate.errors import ModelError, UsageError
from curate.models.ranking.reward_models import SHIPPED
from curate.parameters.car import CarParams
from curate.recipes import car as recipe
from curate.recipes.car import car
from tests.conftest import SAMPLE
from tests.fake import put_in_place
from tests.rankers.fake import FakeReward


@pytest.fixture
def sample(tmp_path):
    """The first 30 rows of the shipped sample: real Chinese questions and answers."""
    path = tmp_path / "huatuo.json"
    path.write_text(json.dumps(json.loads(SAMPLE.read_text(encoding="utf-8"))[:30]))
    return path


@pytest.fixture
def fake(monkeypatch, scratch_cache):
    """A ranker whose score is 10 times the prompt's characters plus the response's."""
    asked = []

    def load(recipe):
        asked.append(recipe.name)
        return FakeReward()

    put_in_place(monkeypatch, reward=load)
    return asked


def naive(rows, labels, top, per_cluster):
    """Sort rows by score and id; take the first of all, and the first of each cluster."""
    order = sorted(rows, key=lambda row: (-10 * len(row.prompt) - len(row.response), row.id))
    best = {row.position for row in order[:top]}
    firsts = set()
    for label in set(labels):
        own = [row.position for row in order if labels[row.position] == label]
        firsts |= set(own[:per_cluster])
    rank = {row.position: place for place, row in enumerate(order, 1)}
    return best, firsts, rank


@pytest.mark.parametrize(("top", "per_cluster", "k"), [(3, 1, "auto"), (0, 2, "5"), (4, 0, 2)])
def test_against_a_naive_version(fake, sample, top, per_cluster, k):
    rows = read(sample)
    found = car(rows, CarParams("fake", top=top, per_cluster=per_cluster, clusters=k))
    frame = found.scores
    labels = frame["cluster"].tolist()
    best, firsts, rank = naive(list(rows), labels, top, per_cluster)
    kept = set(np.flatnonzero(found.choice.kept).tolist())
    assert kept == best | firsts
    why = {(1, 0): "top_overall", (0, 1): "best_of_cluster", (1, 1): "top_overall+best_of_cluster"}
    assert frame["chosen_by"].tolist() == [
        why.get((int(each in best), int(each in firsts)), "") for each in range(30)
    ]
    assert frame["rank"].tolist() == [rank[each] for each in range(30)]
    for at, (label, place) in enumerate(zip(labels, frame["rank_in_cluster"], strict=True)):
        ahead = [each for each in range(30) if labels[each] == label and rank[each] < rank[at]]
        assert place == len(ahead) + 1
    assert set(found.choice.reason) == {"", "below_cut"}
    assert len(set(labels)) == (3 if k == "auto" else int(k))  # floor(sqrt(30 / 2)) = 3
    assert fake == ["fake"]


def test_the_order_of_the_rows_does_not_matter(fake, sample, tmp_path):
    turned = tmp_path / "turned.json"
    turned.write_text(json.dumps(json.loads(sample.read_text())[::-1]))
    chosen = []
    for path in (sample, turned):
        found = car(read(path), CarParams("fake", top=3))
        chosen.append(sorted(found.rows.ids[found.choice.kept]))
    assert chosen[0] == chosen[1]


def test_rows_without_a_score_are_in_no_cluster_and_never_kept(fake, rows_file):
    odd = [{"instruction": "x" * 99, "output": each} for each in ("", "n/a")]
    found = car(read(rows_file(10, extra=odd)), CarParams("fake"))
    frame = found.scores
    assert frame["reason"].tolist()[10:] == ["empty_response", "non_finite"]
    for name in ("quality", "cluster", "rank", "rank_in_cluster"):
        assert frame[name].isna().tolist() == [False] * 10 + [True] * 2, name
    assert found.summary().scored == 10


def test_equal_rows_are_each_counted(fake, tmp_path):
    path = tmp_path / "same.json"
    path.write_text(json.dumps([{"instruction": "the same", "output": "again"}] * 6))
    found = car(read(path), CarParams("fake", top=2, clusters=3))
    # All embeddings are equal: one cluster, and of equal scores the smallest id.
    ids = sorted(found.rows.ids)
    assert sorted(found.rows.ids[found.choice.kept]) == ids[:2]
    assert any("many embeddings are equal" in note for note in found.notes)


def test_one_row(fake, rows_file):
    found = car(read(rows_file(1)), CarParams("fake"))
    assert found.choice.kept.tolist() == [True]
    assert found.scores["cluster"].tolist() == [0]


def test_of_few_rows_a_tenth_is_taken_for_its_rank(fake, rows_file, monkeypatch):
    found = car(read(rows_file(30)), CarParams("fake"))
    assert found.params.top == 3
    assert any("the best 3 of all are taken, 10 %" in note for note in found.notes)
    assert not any("10 %" in note for note in car(found.rows, CarParams("fake", top=3)).notes)
    assert recipe.MOST == 1000  # of Alpaca's 52,002
    monkeypatch.setattr(recipe, "MOST", 2)
    assert car(found.rows, CarParams("fake")).params.top == 2


def test_the_command_writes_the_same_bytes_twice(fake, call, sample, tmp_path):
    for each in "ab":
        answer = call("car", "--input", sample, "--ranker", "fake", "--top", 3,
                      "--with-control", "--output", tmp_path / each, "--json")  # fmt: skip
        assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert told["name"] == "huatuo_car"
    assert told["control"]["mean"] > told["control"]["random_mean"]
    table = pq.read_table(tmp_path / "a" / "huatuo_car.scores.parquet")
    assert table.column_names[6:] == [
        "tokens",
        "quality",
        "cluster",
        "rank",
        "rank_in_cluster",
        "chosen_by",
    ]
    for end in ("jsonl", "scores.parquet"):
        for name in ("huatuo_car", "huatuo_car_random"):
            one, other = (tmp_path / folder / f"{name}.{end}" for folder in "ab")
            assert one.read_bytes() == other.read_bytes()
    manifest = json.loads((tmp_path / "a" / "huatuo_car.manifest.json").read_text())
    assert manifest["params"]["top"] == 3
    assert manifest["model"] == {
        "name": "fake",
        "fingerprint": FakeReward.fingerprint,
        "encoder": "use",
        "encoder_fingerprint": manifest["model"]["encoder_fingerprint"],
    }


def test_wrong_use(fake, call, rows_file, tmp_path):
    path = rows_file(12)
    own = ("car", path, "--output", tmp_path / "o")
    call.refused(
        "--top 1000: there are only 12 rows; give a number up to that", *own, "--top", 1000
    )
    call.refused("--clusters 13: there are only 12 rows with a score", *own, "--clusters", 13)
    for clusters in ("0", "-1", "many", "2.5", "²", "9" * 30):
        call.refused("--clusters .*: allowed are auto", *own, f"--clusters={clusters}")
    call.refused("--top 0 and --per-cluster 0 keep no row", *own, "--top", 0, "--per-cluster", 0)
    call.refused("--top -1: allowed are a share", *own, "--top", "-1")
    call.refused("--per-cluster -1: allowed", *own, "--per-cluster", "-1")
    call.refused("--seed -1: allowed are 0", *own, "--seed", "-1")
    call.refused(r"no encoder 'usee'.*Did you mean 'use'\?", *own, "--encoder", "usee")
    call.refused("no input: give --input FILE", "car")
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps([{"instruction": "a", "chosen": "b", "rejected": "c"}]))
    call.refused("preference pairs.*CaR scores a response", "car", pairs)
    broken = tmp_path / "nan.json"
    broken.write_text(json.dumps([{"instruction": "a", "output": "n/a"}] * 3))
    call.refused("no row is left to write: of 3 rows read, 3 non_finite", "car", broken)
    assert not list((tmp_path / "o").glob("*.jsonl"))


def test_in_python(fake, sample):
    assert curate.car(curate.read(sample), ranker="fake", top=2).summary().kept >= 2
    with pytest.raises(UsageError, match=r"no option 'tops'. Did you mean 'top'\?"):
        curate.car(curate.read(sample), tops=2)


def test_a_ranker_that_is_not_there(scratch_cache, rows_file):
    with pytest.raises(ModelError, match=r"no ranker or reward model 'pears'.*Known are pairs"):
        car(read(rows_file(3)), CarParams("pears"))


def test_a_ranker_of_another_encoder_is_refused_before_anything_is_scored(
    call, scratch_cache, rows_file, tmp_path
):
    shutil.copytree(SHIPPED, tmp_path / "mine")
    own = ("car", rows_file(12), "--output", tmp_path / "o", "--ranker", tmp_path / "mine")
    assert call(*own, "--top", 2).code == 0
    card = json.loads((SHIPPED / "card.json").read_text())
    card["encoder"]["fingerprint"] = "0" * 64
    (tmp_path / "mine" / "card.json").write_text(json.dumps(card))
    told = call.refused("'mine' was trained with another encoder than this 'use'", *own)
    assert "curate ranker train --pairs F --encoder use --output DIR" in told


def test_real_rows_with_the_bundled_models(call, sample, tmp_path):
    answer = call("car", "--input", sample, "--output", tmp_path / "o", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert told["scored"] == 30
    assert 3 <= told["kept"] <= 6  # the best 3 of all, and one of each of 3 clusters
    lines = pq.read_table(tmp_path / "o" / "huatuo_car.scores.parquet").to_pylist()
    best = sorted(lines, key=lambda line: -line["quality"])[:3]
    assert all(line["kept"] for line in best)
    assert [line["rank"] for line in best] == [1, 2, 3]
