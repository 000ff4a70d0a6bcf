"""`curate select` by scores and at random, and the random control."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curate
import curate.selectors
from curate.data.read import read
from curate.errors import DataError, UsageError
from curate.parameters.select import SelectParams
from curate.recipes.controls import control, mean_score
from curate.recipes.select import select
from curate.selectors import random
from curate.selectors.kept_and_dropped import Candidates, Choice

NAN = float("nan")


def kept(selection):
    return np.flatnonzero(selection.choice.kept).tolist()


def test_the_highest_of_those_allowed_by_hand(rows_file, scores_file):
    path = rows_file(5)
    ifd = scores_file(path, "ifd", ifd_loss=[0.9, 0.8, 0.7, 0.6, NAN], status=[*["ok"] * 4, "long"])
    reward = scores_file(path, "rm", [4, 2, 1, 0], reward=[-1.0, 2.0, 3.0, 9.0, 4.0])
    found = select(
        read(path),
        SelectParams(by="ifd", where="reward > 0 and status == 'ok'", keep=1),
        [ifd, reward],
    )
    # Row 0 has a reward below 0, row 3 none at all, row 4 no IFD; of 1 and 2 the first is higher.
    assert found.choice.reason.tolist() == ["where", "", "below_cut", "where", "long"]
    assert found.ranked_by == "ifd_loss"
    assert list(found.scored.columns) == ["ifd_loss", "reward"]
    assert found.scored.status.tolist() == ["ok"] * 4 + ["long"]
    assert found.params.scores[0].startswith("ifd.scores.parquet ")


def test_a_score_that_is_worked_out(rows_file, scores_file):
    path = rows_file(3)
    file = scores_file(path, a=[1.0, 2.0, 0.0], b=[5.0, 1.0, 3.0])
    found = select(read(path), SelectParams(by="a * b / a", keep=2), [file])
    assert kept(found) == [0, 1]
    assert found.choice.reason[2] == "non_finite"  # 0 / 0
    assert found.scored.values("score")[:2].tolist() == [5.0, 1.0]
    assert set(found.scored.columns) == {"a", "b", "score"}
    assert found.notes == ()


def test_rows_that_are_not_in_the_file_have_no_score(rows_file, scores_file):
    path = rows_file(3)
    file = scores_file(path, take=[2, 0], a=[1.0, 2.0, 3.0])
    found = select(read(path), SelectParams(by="a", keep=3), [file])
    assert found.choice.reason.tolist() == ["", "no_score", ""]
    assert found.notes == ("3 rows were asked for and only 2 can be chosen",)


def test_two_files_that_say_different_things_are_told_apart(rows_file, scores_file):
    path = rows_file(2)
    files = [scores_file(path, "x", a=[1.0, 2.0]), scores_file(path, "y", a=[2.0, 1.0])]
    rows = read(path)
    with pytest.raises(UsageError, match=r"say different things in 'a'; write x\.a or y\.a"):
        select(rows, SelectParams(by="a", keep=1), files)
    assert kept(select(rows, SelectParams(by="y.a", keep=1), files)) == [0]
    assert kept(select(rows, SelectParams(by="x.a", keep=1), files)) == [1]
    with pytest.raises(UsageError, match="no scores file is called 'z'"):
        select(rows, SelectParams(by="z.a", keep=1), files)
    same = scores_file(path, "z", a=[1.0, 2.0])
    assert kept(select(rows, SelectParams(by="a", keep=1), [files[0], same])) == [1]


def test_scores_files_that_are_none(rows_file, scores_file, tmp_path):
    path = rows_file(2)
    rows = read(path)
    (tmp_path / "bad.parquet").write_text("no parquet")
    pq.write_table(pa.table({"a": [1.0]}), tmp_path / "plain.parquet")
    other = scores_file(rows_file(3, "o.json"), "o", take=[2], a=[1.0, 2.0, 3.0])
    for file, message in (
        (tmp_path / "none", "no scores file"),
        (tmp_path / "bad.parquet", "no parquet file that can be read"),
        (tmp_path / "plain.parquet", "has no column id"),
        (other, "it is of other rows"),
    ):
        with pytest.raises(DataError, match=message):
            select(rows, SelectParams(by="a"), [file])
    with pytest.raises(UsageError, match=r"no column 'ifd' in run.*Did you mean 'ifd_ppl'\?"):
        select(rows, SelectParams(by="ifd"), [scores_file(path, ifd_ppl=[1.0, 2.0])])


@pytest.mark.parametrize("seed", [0, 1])
def test_random_is_the_selectors_draw_and_knows_no_order(rows_file, tmp_path, seed):
    path = rows_file(30, extra=[{"instruction": "no answer", "output": ""}])
    rows = read(path)
    found = select(rows, SelectParams("random", keep=6, seed=seed))
    everything = Choice(np.array([row.flaw for row in rows], dtype=object))
    plain = random.select(
        Candidates(everything, rows.ids, values=np.zeros(31)), random.RandomParams(6, seed)
    )
    assert found.choice.reason.tolist() == plain.reason.tolist()
    turned = tmp_path / "turned.json"
    turned.write_text(json.dumps(json.loads(path.read_text())[::-1]))
    again = select(read(turned), SelectParams("random", keep=6, seed=seed))
    chosen = [sorted(one.rows.ids[one.choice.kept]) for one in (found, again)]
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 6
    assert found.choice.reason[30] == "empty_response"
    assert np.isnan(found.scored.values("draw")[30])


def test_seeds_draw_other_rows(rows_file):
    rows = read(rows_file(30))
    drawn = [kept(select(rows, SelectParams("random", keep=6, seed=seed))) for seed in range(3)]
    assert drawn[0] != drawn[1] != drawn[2]


def test_draws_fall_from_one(rows_file):
    drawn = select(
        read(rows_file(3, extra=[{"instruction": "x", "output": ""}])), SelectParams("random")
    )
    draw = drawn.scored.values("draw")
    assert np.isnan(draw).tolist() == [False, False, False, True]
    assert sorted(draw[:3].round(3)) == [0.333, 0.667, 1.0]
    assert draw[drawn.choice.kept].tolist() == [1.0]


def test_the_control_has_the_size_and_comes_from_rows_with_a_score(rows_file, scores_file):
    path = rows_file(40)
    values = [*np.linspace(0, 1, 30), *[NAN] * 10]
    chosen = select(read(path), SelectParams(by="a", keep=9), [scores_file(path, a=values)])
    drawn = control(chosen)
    assert drawn.choice.kept.sum() == 9
    assert max(kept(drawn)) < 30
    assert mean_score(chosen) == pytest.approx(np.mean(values[21:30]))
    assert mean_score(drawn) == pytest.approx(np.mean([values[at] for at in kept(drawn)]))
    assert mean_score(drawn) < mean_score(chosen)
    assert kept(control(chosen)) == kept(drawn)
    assert drawn.manifest()["params"] == {"of": "select", "keep": 9, "seed": 0}


def test_the_command_with_its_control(call, rows_file, scores_file, tmp_path):
    path, out = rows_file(20), tmp_path / "out"
    run = scores_file(path, ifd_loss=np.arange(20) / 20, reward=[1.0] * 20)
    given = ("select", path, "--scores", run, "--by", "ifd", "--where", "reward > 0")
    answer = call(*given, "--keep", "10%", "--output", out, "--with-control", "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert (told["name"], told["kept"]) == ("rows_select", 2)
    assert told["control"]["name"] == "rows_select_random"
    assert told["control"]["mean"] == pytest.approx(0.925)
    assert "scores of the 2 kept rows: mean ifd_loss 0.9250; of 2 random rows: " in answer.err
    assert len(read(out / "rows_select_random.jsonl")) == 2
    assert {"rows_select", "rows_select_random"} <= set(
        json.loads((out / "dataset_info.json").read_text())
    )
    table = pq.read_table(out / "rows_select.scores.parquet")
    assert table.column_names[6:] == ["tokens", "ifd_loss", "reward"]
    again = call(*given, "--keep", "10%", "--output", tmp_path / "b", "--with-control")
    assert again.code == 0
    for name in ("rows_select", "rows_select_random"):
        for end in ("jsonl", "scores.parquet"):
            one, other = (folder / f"{name}.{end}" for folder in (out, tmp_path / "b"))
            assert one.read_bytes() == other.read_bytes()


def test_without_control_nothing_is_written_for_it(call, rows_file, tmp_path):
    answer = call("select", rows_file(20), "--recipe", "random", "--output", tmp_path / "out")
    assert answer.code == 0, answer.err
    assert "random rows" not in answer.err
    assert not list((tmp_path / "out").glob("*_random_random*"))
    assert len(read(tmp_path / "out" / "rows_random.jsonl")) == 2


def test_the_controls_name_is_refused_before_anything_runs(call, rows_file, scores_file, tmp_path):
    path, out = rows_file(5), tmp_path / "out"
    out.mkdir()
    (out / "x_random.jsonl").write_text("mine")
    run = scores_file(path, a=[1.0] * 5)
    given = ("select", path, "--scores", run, "--by", "a", "--output", out, "--name", "x")
    call.refused("x_random", *given, "--with-control")
    assert (out / "x_random.jsonl").read_text() == "mine"
    assert not (out / "x.jsonl").exists()


def test_wrong_use(call, rows_file, scores_file, tmp_path):
    path = rows_file(5)
    run = scores_file(path, a=[1.0] * 5)
    own = ("select", path, "--output", tmp_path / "o")
    call.refused("nothing to choose by: give --recipe random", *own)
    call.refused(r"--recipe rndom: .*Did you mean 'random'\?", *own, "--recipe", "rndom")
    call.refused("--by a: give --scores FILE", *own, "--by", "a")
    call.refused("goes by nothing", *own, "--recipe", "random", "--by", "a", "--scores", run)
    call.refused("is a control itself", *own, "--recipe", "random", "--with-control")
    call.refused("--keep 6: there are only 5 rows", *own, "--recipe", "random", "--keep", 6)
    call.refused("--seed -1: allowed are 0", *own, "--recipe", "random", "--seed", "-1")
    call.refused(
        "no row is left to write: of 5 rows read, 5 where",
        *own, "--by", "a", "--where", "a > 1", "--scores", run,
    )  # fmt: skip
    call.refused(
        r"--where: no column 'A' in run.scores.parquet.*There are status, a",
        *own, "--by", "a", "--where", "A > 1", "--scores", run,
    )  # fmt: skip


def test_in_python(rows_file, scores_file):
    path = rows_file(5)
    rows = curate.read(path)
    run = scores_file(path, a=[1.0, 5.0, 2.0, 3.0, 4.0])
    assert kept(curate.select(rows, [run], by="a", keep=2)) == [1, 4]
    assert kept(curate.select(rows, str(run), by="a", keep=2)) == [1, 4]
    assert len(kept(curate.select(rows, recipe="random", keep="40%"))) == 2
    with pytest.raises(UsageError, match=r"no option 'kep'. Did you mean 'keep'\?"):
        curate.select(rows, recipe="random", kep=2)


def test_ifd_takes_a_control_too(call, rows_file, scores_file, tmp_path, monkeypatch):
    from curate.recipes import ifd

    path = rows_file(10)
    run = scores_file(path, ifd_loss=np.arange(10) / 10)
    monkeypatch.setattr(
        ifd, "ifd", lambda rows, *_: select(rows, SelectParams(by="ifd", keep=3), [run])
    )
    given = ("ifd", path, "--output", tmp_path / "o", "--json")
    plain = json.loads(call(*given).out.splitlines()[-1])
    assert list(plain) == [
        "name",
        "read",
        "scored",
        "kept",
        "dropped",
        "tokens",
        "files",
        "not_used",
    ]
    assert not (tmp_path / "o" / "rows_ifd_random.jsonl").exists()
    answer = call(*given, "--with-control", "--overwrite")
    told = json.loads(answer.out.splitlines()[-1])
    assert told["control"]["name"] == "rows_ifd_random"
    assert "scores of the 3 kept rows: mean ifd_loss 0.8000; of 3 random rows: " in answer.err
    assert len(read(tmp_path / "o" / "rows_ifd_random.jsonl")) == 3


def test_the_control_in_python(rows_file, scores_file, tmp_path):
    path = rows_file(10)
    chosen = curate.select(
        curate.read(path), [scores_file(path, a=np.arange(10.0))], by="a", keep=3
    )
    files = curate.emit(curate.control(chosen), tmp_path / "o", name="mine_random")
    assert len(read(files[0])) == 3


NEWEST = '''"""Keep the rows whose id is the highest: a selector of a test."""

from dataclasses import dataclass

import numpy as np

NAME = "highest_id"
NEEDS = ()


@dataclass(frozen=True)
class HighestIdParams:
    k: int
    skip: int = 0


PARAMS = HighestIdParams


def select(candidates, params):
    left_out = np.ones(len(candidates.ids), dtype=bool)
    order = np.argsort(candidates.ids.astype(str))[::-1]
    left_out[order[params.skip : params.skip + params.k]] = False
    return candidates.choice.without(left_out, "lower_id")
'''


def test_a_selector_is_one_file_and_the_command_takes_it(call, rows_file, tmp_path, monkeypatch):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "highest_id.py").write_text(NEWEST)
    monkeypatch.setattr(
        curate.selectors, "__path__", [*curate.selectors.__path__, str(tmp_path / "more")]
    )
    path, out = rows_file(20), tmp_path / "out"
    own = ("select", path, "--recipe", "highest_id", "--keep", 3, "--output", out, "--json")
    answer = call(*own, "--set", "skip=1")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert (told["kept"], told["dropped"]) == (3, {"lower_id": 17})
    ids = sorted(read(path).ids, reverse=True)
    assert sorted(read(out / "rows_highest_id.jsonl").ids) == sorted(ids[1:4])
    manifest = json.loads((out / "rows_highest_id.manifest.json").read_text())
    assert manifest["params"]["set"] == ["skip=1"]
    call.refused(r"--set skpi=1: .* takes KEY=VALUE of skip.*Did you mean", *own, "--set", "skpi=1")
    call.refused("--set skip=x: skip is of type int", *own, "--set", "skip=x")


def test_selectors_of_the_house_are_recipes(call, rows_file, scores_file, tmp_path):
    path = rows_file(20)
    run = scores_file(path, a=np.arange(20.0))
    own = ("select", path, "--scores", run, "--by", "a", "--json", "--output", tmp_path / "out")
    answer = call(*own, "--recipe", "threshold", "--set", "bound=15", "--set", "keep=from")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert (told["kept"], told["dropped"]) == (5, {"threshold": 15})
    call.refused("give --set bound=VALUE", *own, "--recipe", "threshold")
    call.refused("--keep 3: --recipe threshold keeps what its parameters say",
                 *own, "--recipe", "threshold", "--keep", 3, "--set", "bound=1")  # fmt: skip
    call.refused("--recipe top_k goes by scores: give --by", "select", path, "--recipe", "top_k")
    call.refused("--set k=1: only a recipe that is a selector", *own, "--set", "k=1")


def test_selectors_over_embeddings_are_recipes(models, rows_file, scores_file):
    path = rows_file(20)
    centres = select(read(path), SelectParams("k_center", keep=4))
    assert (centres.choice.kept.sum(), centres.choice.counts()) == (4, {"covered": 16})
    assert centres.model["encoder"] == "use"
    how = SelectParams("cluster_rank", by="a", set=("top=2", "per_cluster=1"))
    best = select(read(path), how, [scores_file(path, a=np.arange(20.0))])
    clusters = len(set(best.scores["cluster"]))
    assert clusters <= best.choice.kept.sum() <= clusters + 2
    assert best.choice.kept[-2:].all()


@pytest.mark.parametrize(
    "name", ["my-data_ifd", "v1.0_ifd", "my set", "2024", "it's", "class", "Ａ"]
)
def test_what_the_error_says_about_names_that_are_no_words_is_read(rows_file, scores_file, name):
    path = rows_file(2)
    files = [scores_file(path, name, a=[1.0, 2.0]), scores_file(path, "y", a=[2.0, 1.0])]
    rows = read(path)
    with pytest.raises(UsageError, match="say different things") as refused:
        select(rows, SelectParams(by="a", keep=1), files)
    advice = str(refused.value).rpartition("write ")[2].partition(" or ")[0]
    assert kept(select(rows, SelectParams(by=advice, keep=1), files)) == [1]
    assert kept(select(rows, SelectParams(by=f"2 * {advice} - y.a", keep=1), files)) == [1]


def test_two_files_of_one_name_cannot_be_told_apart(rows_file, scores_file, tmp_path):
    path = rows_file(2)
    first = scores_file(path, "x", a=[1.0, 2.0])
    (tmp_path / "other").mkdir()
    second = first.rename(tmp_path / "other" / first.name)
    files = [second, scores_file(path, "x", a=[2.0, 1.0])]
    with pytest.raises(UsageError, match="give one, or rename one"):
        select(read(path), SelectParams(by="a", keep=1), files)


def test_repeats_among_the_kept_are_noted_by_any_recipe(tmp_path, scratch_cache):
    row = {"instruction": "头痛", "input": "", "output": "休息"}
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row, row, row, {**row, "output": "吃药"}]), encoding="utf-8")
    said = "of the kept rows repeat another of them word for word"
    whole = select(read(path), SelectParams(recipe="random", keep=4), [])
    assert [note for note in whole.notes if said in note][0].startswith("2 of")
    assert said in json.dumps(whole.manifest()["notes"])
    dropped = curate.dedup(read(path))
    assert not [note for note in dropped.notes if said in note]
