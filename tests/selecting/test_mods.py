"""`curate mods`, quality and coverage: against naive versions on real rows, and what is refused."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import curate
from curate.data.read import read
from curate.errors import DataError, UsageError
from curate.parameters.mods import ModsParams
from curate.recipes.model_scores import embedded
from curate.recipes.mods import mods
from curate.recipes.mods_seeds import lowest_good
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
    """A reward of 10 times the prompt's characters plus the response's."""
    put_in_place(monkeypatch, reward=lambda recipe: FakeReward())


def reward_of(row):
    return 10.0 * len(row.prompt) + len(row.response)


def test_against_naive_stages(fake, sample):
    rows = read(sample)
    rewards = np.array([reward_of(row) for row in rows])
    vectors = np.array(embedded(rows, "use", "instruction")[0].vectors, dtype=np.float64)
    found = mods(rows, ModsParams("fake", min_quality=200, seeds=6, seed=1))
    good = [each for each in range(30) if rewards[each] > 200]
    by_id = sorted(good, key=lambda each: rows.ids[each])
    order = [by_id[int(np.random.default_rng(1).integers(len(good)))]]
    while len(order) < 6:
        apart = {
            each: min(np.linalg.norm(vectors[each] - vectors[other]) for other in order)
            for each in by_id
        }
        order.append(max(by_id, key=lambda each: apart[each]))
    frame = found.scores
    ranks = {int(rank): at for at, rank in enumerate(frame["seed_rank"]) if not np.isnan(rank)}
    assert [ranks[each] for each in range(1, 7)] == order
    low = [each for each in range(30) if each not in good]
    assert np.flatnonzero(frame["reason"] == "low_quality").tolist() == low
    covered = sorted(set(good) - set(order))
    assert np.flatnonzero(frame["reason"] == "covered").tolist() == covered
    assert low
    assert covered
    last = order[-1]
    nearest = min(np.linalg.norm(vectors[last] - vectors[each]) for each in order[:-1])
    assert frame["seed_distance"][last] == pytest.approx(nearest, abs=1e-5)
    assert np.isnan(frame["seed_distance"][order[0]])


@pytest.mark.parametrize(
    ("given", "bound"),
    [("0%", 1.0), ("50%", 2.5), ("75%", 3.25), (2, 2.0000000000000004), ("-1.5", -1.5)],
)
def test_what_is_good_enough(given, bound):
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert lowest_good(given, values) == pytest.approx(bound, abs=1e-9)


def test_a_number_has_to_be_exceeded_and_a_quantile_only_reached(fake, rows_file):
    rows = read(rows_file(9))  # all of them have the same reward
    reward = reward_of(rows[0])
    assert mods(rows, ModsParams("fake", min_quality="60%")).summary().kept == 1
    with pytest.raises(DataError, match="none of 9 rows has a higher reward"):
        mods(rows, ModsParams("fake", min_quality=reward))


def test_the_published_programs_type_error_is_none_here(fake, rows_file):
    """The threshold comes from the command line as text (style.md, fault 9)."""
    assert mods(read(rows_file(9)), ModsParams("fake", min_quality="0")).summary().kept == 1


def test_none_is_good_enough(fake, rows_file):
    with pytest.raises(DataError, match=r"quantiles are 10% .*90% .*--min-quality 50% for the bet"):
        mods(read(rows_file(9)), ModsParams("fake", min_quality=1e9))


def test_duplicates_run_out(fake, tmp_path):
    path = tmp_path / "same.json"
    path.write_text(json.dumps([{"instruction": "the same", "output": "again"}] * 6))
    found = mods(read(path), ModsParams("fake", seeds=4))
    assert found.choice.kept.sum() == 1
    assert found.choice.counts() == {"covered": 5}
    assert any("only 1 different instructions" in note for note in found.notes)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("seeds", [1, 2])
def test_of_answers_to_one_question_the_best_is_taken(fake, tmp_path, seed, seeds):
    """Rewards grow with the response: the longest is kept, whichever row was drawn."""
    values = [{"instruction": "the same", "output": "x" * (at * 7 % 20 + 1)} for at in range(20)]
    values.append({"instruction": "other", "output": "x"})
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(values))
    found = mods(read(path), ModsParams("fake", seeds=seeds, seed=seed))
    kept = [found.rows[at].response for at in np.flatnonzero(found.choice.kept)]
    assert kept == ["x" * 20, "x"] if seeds == 2 else kept in (["x" * 20], ["x"])
    assert found.choice.counts() == {"covered": 21 - seeds}


def test_rows_without_a_reward(fake, rows_file):
    odd = [{"instruction": "x", "output": each} for each in ("", "n/a")]
    found = mods(read(rows_file(10, extra=odd)), ModsParams("fake"))
    assert found.choice.reason.tolist()[10:] == ["empty_response", "non_finite"]
    assert found.params.seeds == 1
    assert any("1 seeds are taken, 10 % of the good rows" in note for note in found.notes)


def test_the_order_of_the_rows_does_not_matter(fake, sample, tmp_path):
    turned = tmp_path / "turned.json"
    turned.write_text(json.dumps(json.loads(sample.read_text())[::-1]))
    chosen = []
    for path in (sample, turned):
        found = mods(read(path), ModsParams("fake", seeds=5))
        chosen.append(sorted(found.rows.ids[found.choice.kept]))
    assert chosen[0] == chosen[1]


def test_one_row(fake, rows_file):
    assert mods(read(rows_file(1)), ModsParams("fake")).choice.kept.tolist() == [True]


def test_wrong_use(fake, call, rows_file, tmp_path):
    path = rows_file(12)
    own = ("mods", "--seeds-only", path, "--output", tmp_path / "o")
    call.refused("--seeds 13: only 12 rows are good enough", *own, "--seeds", 13)
    call.refused("--seeds 0: allowed are a share", *own, "--seeds", 0)
    for bad in ("x", "100%", "-1%", "nan", "inf", "%"):
        call.refused("--min-quality .*: allowed are a number", *own, f"--min-quality={bad}")
    call.refused("none of 12 rows has a higher reward", *own, "--min-quality", 1e6)
    broken = tmp_path / "nan.json"
    broken.write_text(json.dumps([{"instruction": "a", "output": "n/a"}] * 3))
    call.refused("no row has a reward: 3 non_finite", "mods", "--seeds-only", broken)
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps([{"instruction": "a", "chosen": "b", "rejected": "c"}]))
    call.refused("preference pairs.*MoDS scores a response", "mods", "--seeds-only", pairs)
    assert not list((tmp_path / "o").glob("*.jsonl"))


def test_in_python(fake, rows_file):
    assert curate.mods(curate.read(rows_file(20)), seeds=2).summary().kept == 2
    with pytest.raises(UsageError, match=r"no option 'min_qualty'. Did you mean 'min_quality'\?"):
        curate.mods(curate.read(rows_file(3)), min_qualty=2)


def test_real_rows_with_the_bundled_models(models, call, sample, tmp_path):
    for each in "ab":
        answer = call("mods", "--seeds-only", "--input", sample, "--min-quality", "60%",
                      "--seeds", 4, "--with-control", "--output", tmp_path / each, "--json",
                      )  # fmt: skip
        assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert told["kept"] == 4
    assert told["dropped"] == {"covered": 8, "low_quality": 18}
    lines = pq.read_table(tmp_path / "a" / "huatuo_mods.scores.parquet").to_pylist()
    worst = min(line["quality"] for line in lines if line["reason"] != "low_quality")
    assert all(line["quality"] < worst for line in lines if line["reason"] == "low_quality")
    for end in ("jsonl", "scores.parquet"):
        one, other = (tmp_path / folder / f"huatuo_mods.{end}" for folder in "ab")
        assert one.read_bytes() == other.read_bytes()
