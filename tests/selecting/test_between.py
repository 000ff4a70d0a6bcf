"""`--between`: a band of percentiles of any score; clusters and longest on real rows."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import curate
from curate.data.read import read
from curate.errors import UsageError
from curate.parameters.select import SelectParams
from curate.recipes.select import select
from curate.selectors.middle_band import within
from tests.conftest import SAMPLE


def test_the_band_by_hand(rows_file, scores_file):
    path = rows_file(9)
    values = [*range(8), float("nan")]
    run = scores_file(path, a=values, b=[1.0] * 9)
    # Of 0 to 7 the percentiles are 1.75 and 5.25.
    found = select(read(path), SelectParams(by="a", between=("25%", "75%"), keep=2), [run])
    assert found.choice.reason.tolist() == [
        *["outside_band"] * 2, *["below_cut"] * 2, "", "", *["outside_band"] * 2, "non_finite",
    ]  # fmt: skip
    # The band is one of the rows that --where lets through: 0 to 3, so 0.75 to 2.25.
    few = SelectParams(by="a", between=("25%", "75%"), where="a < 4", keep=9)
    found = select(read(path), few, [run])
    assert np.flatnonzero(found.choice.kept).tolist() == [1, 2]
    assert found.choice.counts() == {"where": 4, "outside_band": 2, "non_finite": 1}
    assert found.notes == ("9 rows were asked for and only 2 can be chosen",)


def test_equal_scores_are_in_the_band_together():
    values = np.array([1.0, 1, 1, 1, 2, 3])
    assert within(values, np.ones(6, bool), 0, 20).tolist() == [True] * 4 + [False] * 2


def test_a_random_choice_within_the_band(rows_file, scores_file):
    path = rows_file(41)
    run = scores_file(path, a=np.arange(41.0))
    drawn = [
        np.flatnonzero(
            select(
                read(path),
                SelectParams("random", by="a", between=("25%", "75%"), keep=5, seed=seed),
                [run],
            ).choice.kept
        )
        for seed in (0, 1)
    ]
    assert all(len(each) == 5 and each.min() >= 10 and each.max() <= 30 for each in drawn)
    assert drawn[0].tolist() != drawn[1].tolist()


def test_on_the_command_line_and_in_python(call, rows_file, scores_file, tmp_path):
    path, out = rows_file(9), tmp_path / "o"
    run = scores_file(path, ifd_loss=np.arange(9.0))
    given = ("select", "--between", "25%", "75%", "--input", path, "--scores", run, "--by", "ifd")
    answer = call(*given, "--keep", 3, "--output", out, "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert told["dropped"] == {"outside_band": 4, "below_cut": 2}
    manifest = json.loads((out / "rows_select.manifest.json").read_text())
    assert manifest["params"]["between"] == ["25%", "75%"]
    found = curate.select(curate.read(path), [run], by="ifd", between=("25%", "75%"), keep=3)
    assert np.flatnonzero(found.choice.kept).tolist() == [4, 5, 6]


@pytest.mark.parametrize(
    "between", [("25%",), ("75%", "25%"), ("5%", "5%"), ("0%", "101%"), ("a%", "9%"), ("1", "9")]
)
def test_bands_that_are_none(between):
    with pytest.raises(UsageError, match="allowed are two percentiles from 0% to 100%"):
        SelectParams(by="a", between=between)


def test_wrong_use():
    for recipe in ("random", "superfilter", "deita", "clusters"):
        with pytest.raises(UsageError, match="--between 1% 9%: give --by COLUMN"):
            SelectParams(recipe, between=("1%", "9%"))
    with pytest.raises(UsageError, match="--min-quality 50%: only --recipe 3ds takes it"):
        SelectParams("random", min_quality="50%")
    with pytest.raises(UsageError, match="--min-quality 100%: allowed are a number, or"):
        SelectParams("3ds", min_quality="100%")


def test_clusters_of_real_rows(call, tmp_path):
    """Of 12 clusters by Sainte-Laguë, from the centre outwards; half the budget lies inside."""
    folders, lines = [], []
    for keep in (20, 40):
        folders.append(tmp_path / str(keep))
        own = ("select", SAMPLE, "--recipe", "clusters", "--set", "clusters=12", "--keep", keep)
        answer = call(*own, "--output", folders[-1], "--json")
        assert answer.code == 0, answer.err
        told = json.loads(answer.out.splitlines()[-1])
        assert told["kept"] == keep
        assert told["kept"] + sum(told["dropped"].values()) == told["read"]
        table = pq.read_table(folders[-1] / "huatuo_clusters.scores.parquet").to_pylist()
        lines.append({line["id"]: line for line in table})
    small, large = ({i for i, line in each.items() if line["kept"]} for each in lines)
    assert small < large
    labels = [line["cluster"] for line in lines[0].values()]
    sizes, kept = (np.bincount(each, minlength=12) for each in (labels, [
        line["cluster"] for line in lines[1].values() if line["kept"]
    ]))  # fmt: skip
    assert (np.abs(kept - 40 * sizes / sizes.sum()) < 1).all()


def test_clusters_by_a_score(rows_file, scores_file):
    path = rows_file(20)
    values = np.random.default_rng(0).permutation(20).astype(float)
    run = scores_file(path, a=values)
    how = {"recipe": "clusters", "by": "a", "set": ("clusters=4", "share=equal"), "keep": 4}
    found = select(read(path), SelectParams(**how), [run])
    labels = found.scored.columns["cluster"].to_numpy()
    for label in range(4):
        own = labels == label
        assert found.choice.kept[own].tolist() == (values[own] == values[own].max()).tolist()


def test_pairs_are_refused(call, tmp_path):
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps([{"prompt": "a", "chosen": "b", "rejected": "c"}] * 3))
    for recipe in ("clusters", "3ds", "answers"):
        call.refused("these rows are preference pairs", "select", path, "--recipe", recipe)


def test_the_longest_of_real_rows(call, tmp_path):
    out = tmp_path / "o"
    given = ("select", SAMPLE, "--recipe", "longest", "--keep", 6, "--output", out, "--json")
    answer = call(*given, "--with-control")
    assert answer.code == 0, answer.err
    table = pq.read_table(out / "huatuo_longest.scores.parquet").to_pylist()
    kept = [line["tokens"] for line in table if line["kept"]]
    assert sorted(kept) == sorted(line["tokens"] for line in table)[-6:]
    told = json.loads(answer.out.splitlines()[-1])
    assert told["dropped"] == {"below_cut": 114}
    assert f"mean response_tokens {np.mean(kept):.4f}" in answer.err
    manifest = json.loads((out / "huatuo_longest.manifest.json").read_text())
    assert manifest["threshold"] == min(kept)
