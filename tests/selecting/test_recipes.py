"""superfilter and deita: by hand, against naive versions, and on real rows."""

import itertools
import json
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from curate.data.read import read
from curate.errors import UsageError
from curate.parameters.select import SelectParams
from curate.recipes import ifd
from curate.recipes.model_scores import embedded
from curate.recipes.select import select
from curate.selectors.kept_and_dropped import Candidates, Choice, Wanted
from tests.conftest import SAMPLE
from tests.fake import FakeModel


@pytest.fixture
def sample(tmp_path):
    """The first 30 rows of the shipped sample: real Chinese questions and answers."""
    path = tmp_path / "huatuo.json"
    path.write_text(json.dumps(json.loads(SAMPLE.read_text(encoding="utf-8"))[:30]))
    return path


def everything(size):
    return Choice(np.full(size, "", dtype=object))


def rows(wanted, of):
    return Wanted(wanted, None, np.ones(of, dtype=np.int64))


def test_the_pool_is_by_score_and_the_choice_stands_for_the_pool():
    # Rows 0-2 lie together, and row 1 of them is also a little like row 3, which lies apart; row 4
    # lies apart, too, but its score is below the pool's.
    vectors = np.array([[1, 0], [1, 0.01], [1, -0.01], [0, 1], [-1, 0]], dtype=np.float32)
    values = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    ids = np.array(list("abcde"), dtype=object)
    candidates = Candidates(everything(5), ids, values, vectors)
    found = ifd.thinned_out(candidates, rows(4, 5)).choice(rows(2, 5))
    assert found.reason.tolist() == ["covered", "", "covered", "", "below_cut"]


def test_the_choice_is_the_greedy_one_of_all_sets_of_two():
    generator = np.random.default_rng(4)
    vectors = np.abs(generator.normal(size=(8, 3))).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    alike = unit @ unit.T
    first = int(alike.sum(axis=0).argmax())
    second = max(
        (each for each in range(8) if each != first),
        key=lambda each: np.maximum(alike[first], alike[each]).sum(),
    )
    ids = np.array([f"{each}" for each in range(8)], dtype=object)
    candidates = Candidates(everything(8), ids, np.ones(8), vectors)
    found = ifd.thinned_out(candidates, rows(8, 8)).choice(rows(2, 8))
    assert set(np.flatnonzero(found.kept)) == {first, second}


@pytest.mark.parametrize(
    ("pool", "wanted", "of", "size"),
    [(None, 2, 100, 20), (None, 30, 100, 30), (None, 1, 3, 1), ("50%", 2, 100, 50), (9, 9, 10, 9)],
)
def test_pool(pool, wanted, of, size):
    assert ifd.pool_of(pool, rows(wanted, of)).rows == size


@pytest.mark.parametrize(
    ("pool", "wanted", "tokens"), [(None, 50, 200), (None, 150, 300), ("50%-tokens", 50, 500)]
)
def test_a_pool_in_tokens(pool, wanted, tokens):
    assert ifd.pool_of(pool, Wanted(100, wanted, np.full(100, 10))).tokens == tokens


def test_pools_that_do_not_fit():
    with pytest.raises(UsageError, match="--pool 5: that is 5 rows, and --keep asks for 6"):
        ifd.pool_of(5, rows(6, 10))
    with pytest.raises(UsageError, match="--pool 11: there are only 10 rows"):
        ifd.pool_of(11, rows(6, 10))
    with pytest.raises(UsageError, match="--pool x: allowed are a share"):
        ifd.pool_of("x", rows(6, 10))
    with pytest.raises(UsageError, match="--pool 5-tokens: --keep counts rows"):
        ifd.pool_of("5-tokens", rows(6, 10))
    with pytest.raises(UsageError, match="that is 50 tokens, and --keep asks for 60"):
        ifd.pool_of("50-tokens", Wanted(10, 60, np.full(10, 10)))


def test_superfilter_by_the_ifd_of_an_earlier_run(sample, scores_file, call, tmp_path):
    scores = np.linspace(0.5, 1.08, 30)
    run = scores_file(sample, ifd_ppl=scores)
    out = tmp_path / "out"
    given = ("select", sample, "--recipe", "superfilter", "--scores", run, "--by", "ifd_ppl")
    answer = call(*given, "--keep", 3, "--pool", 10, "--output", out, "--with-control")
    assert answer.code == 0, answer.err
    lines = pq.read_table(out / "huatuo_superfilter.scores.parquet").to_pylist()
    counts = {name: sum(line["reason"] == name for line in lines) for name in ("", "covered")}
    assert counts == {"": 3, "covered": 7}
    assert all((line["reason"] == "ifd_ge_1") == (line["ifd_ppl"] >= 1) for line in lines)
    pool = [line["ifd_ppl"] for line in lines if line["reason"] in ("", "covered")]
    assert sorted(pool) == sorted(scores[scores < 1])[-10:]
    manifest = json.loads((out / "huatuo_superfilter.manifest.json").read_text())
    assert manifest["model"]["encoder"] == "use"
    assert len(read(out / "huatuo_superfilter_random.jsonl")) == 3


def test_superfilter_computes_ifd_where_there_is_none(monkeypatch, models, rows_file):
    model = FakeModel(budget=600)
    model.dtype = "float32"
    asked = []

    def load(name, *_):
        asked.append(name)
        model.files = SimpleNamespace(name=name, languages=("en",))
        return model

    monkeypatch.setattr(ifd.models, "language_model", load)
    rows = read(rows_file(10, extra=[{"instruction": "no answer", "output": ""}]))
    found = select(rows, SelectParams("superfilter", keep=2, pool=5))
    assert len(asked) == 1
    assert found.ranked_by == "ifd_ppl"
    values = found.scored.values("ifd_ppl")
    assert (values[:10] < 1).all()
    pool = np.flatnonzero(np.isin(found.choice.reason, ("", "covered")))
    assert found.choice.counts() == {"below_cut": 5, "covered": 3, "empty_response": 1}
    assert values[pool].min() >= np.sort(values[:10])[-5]
    assert found.choice.reason[10] == "empty_response"
    assert found.model["name"] == "fake"
    assert found.model["encoder"] == "use"


def test_deita_against_a_naive_walk(sample, scores_file):
    rows = read(sample)
    generator = np.random.default_rng(0)
    complexity, quality = generator.uniform(1, 6, 30), generator.uniform(1, 6, 30)
    run = scores_file(sample, complexity=complexity, quality=quality)
    vectors = np.array(embedded(rows, "use", "row")[0].vectors)
    kept, skipped = [], []
    for row in np.argsort(-complexity * quality):
        near = any(float(vectors[row] @ vectors[each]) > 0.3 for each in kept)
        (skipped if near else kept).append(int(row))
        if len(kept) == 6:
            break
    asked = SelectParams("deita", by="quality * complexity", keep=6, nearest=0.3)
    found = select(rows, asked, [run])
    assert set(np.flatnonzero(found.choice.kept)) == set(kept)
    assert skipped
    assert set(np.flatnonzero(found.choice.reason == "too_similar")) == set(skipped)
    np.testing.assert_allclose(found.scored.values("score"), complexity * quality)
    unlike = itertools.combinations(kept, 2)
    assert all(vectors[one] @ vectors[other] <= 0.3001 for one, other in unlike)


def test_all_embeddings_equal(tmp_path, scores_file):
    path = tmp_path / "same.json"
    path.write_text(json.dumps([{"instruction": "the same", "output": "again"}] * 6))
    run = scores_file(path, a=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    deita = select(read(path), SelectParams("deita", by="a", keep=3), [run])
    assert np.flatnonzero(deita.choice.kept).tolist() == [5]
    assert deita.notes == ("3 rows were asked for and only 1 can be chosen",)
    super_ = select(read(path), SelectParams("superfilter", by="a", keep=2, pool=4), [run])
    assert super_.choice.kept.sum() == 2


def test_one_row(rows_file, scores_file):
    path = rows_file(1)
    run = scores_file(path, a=[0.5])
    for recipe in ("deita", "superfilter", None):
        assert select(read(path), SelectParams(recipe, by="a"), [run]).choice.kept.tolist() == [
            True
        ]
    assert select(read(path), SelectParams("random")).choice.kept.tolist() == [True]


def test_wrong_use(call, rows_file, scores_file, tmp_path):
    path = rows_file(5)
    run = scores_file(path, a=[float("nan")] * 5)
    own = ("select", path, "--output", tmp_path / "o", "--recipe")
    call.refused(
        "--quality x: only --recipe deita without --by asks a model for it; leave it out",
        *own, "deita", "--scores", run, "--by", "a", "--quality", "x",
    )  # fmt: skip
    call.refused("--complexity x: only --recipe deita", *own, "superfilter", "--complexity", "x")
    call.refused("no model 'smolm'", *own, "deita", "--complexity", "smolm")
    call.refused("--nearest 2: allowed is a cosine", *own, "deita", "--nearest", 2)
    call.refused("only --recipe superfilter takes it", *own, "deita", "--pool", 2)
    call.refused("--nearest 0.5: only --recipe deita takes it", *own, "random", "--nearest", 0.5)
    call.refused("--max-new-tokens 9: only --recipe 3ds", *own, "like", "--max-new-tokens", 9)
    call.refused("--encoder x: only --recipe .*k_center", *own, "longest", "--encoder", "x")
    call.refused("takes KEY=VALUE of share, inside, clusters.$", *own, "clusters", "--set", "share")
    call.refused(
        "no row is left to write: of 5 rows read, 5 non_finite",
        *own, "superfilter", "--by", "a", "--scores", run,
    )  # fmt: skip
    call.refused(
        r"no encoder 'usee'.*Did you mean 'use'",
        *own, "superfilter", "--by", "a", "--scores", run, "--encoder", "usee",
    )  # fmt: skip
    pair = {"instruction": "a", "chosen": "b", "rejected": "c"}
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps([pair]))
    call.refused("preference pairs", "select", pairs, "--recipe", "superfilter")
