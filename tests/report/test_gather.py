"""What stands on a page equals the manifest and the scores file, worked out here another way."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

import curate
from curate.data.read import read
from curate.reports.chosen import choice_of
from curate.reports.contents import ALL, CONTROL, KEPT
from curate.reports.gather import gather
from curate.reports.on_disk import read_choice
from tests.calling import Caller
from tests.conftest import ROOT, SAMPLE

SAMPLES = ROOT / "mixtures" / "samples"
SOUND = 16
# Name to command; every recipe that writes a data set, and scores alone.
COMMANDS = {
    "h_ifd": "ifd h.json --keep 4 --with-control rows tokens",
    "h_car": "car h.json --top 4",
    "h_mods": "mods h.json --min-quality 50% --seeds 3 --responder none",
    "h_base": "mods h.json --min-quality 50% --seeds 3 --responder base --augment 2 "
    "--max-necessity 60% --max-new-tokens 4",
    "h_like": "select h.json --recipe like --like q.txt --keep 6",
    "h_clusters": "select h.json --recipe clusters --keep 6",
    "h_longest": "select h.json --recipe longest --keep 10%-tokens",
    "h_random": "select h.json --recipe random --keep 4 --seed 3",
    "h_by": "select h.json --scores data/h_ifd.scores.parquet --by ifd --keep 5 "
    "--where 'response_tokens > 5'",
    "h_dedup": "dedup h.json --near 0.5",
    "h_clean": "decontaminate h.json --against q.txt",
    "h_score": "score h.json --scorer length --scorer reward",
    "h_side_test": "split h.json --test 20%",
    "m": "mix --domain h.json --general a.json --ratio 1:2",
    "p": "score p.json --scorer pairs",
    "p_by": "select p.json --by margin --where 'not contradicted' --keep 50%",
}
# Whose options are those of others.
NOT_AGAIN = ("h_base", "h_car", "h_clusters", "h_longest", "p")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of small files of several kinds."""
    folder = tmp_path_factory.mktemp("reports")
    every = json.loads(SAMPLE.read_text(encoding="utf-8"))
    rows = sorted(every, key=lambda row: len(str(row)))[10 : 10 + SOUND]  # quickly scored
    rows.append({"conversations": [{"from": "human", "value": "无"}, {"from": "gpt", "value": ""}]})
    files = {
        "h.json": rows,
        "a.json": json.loads((SAMPLES / "alpaca_en.json").read_text(encoding="utf-8"))[:100],
        "p.json": [
            {"instruction": f"How much is {n} + {n}?", "input": "", "chosen": "It is " + "so " * n
             + str(2 * n), "rejected": "No idea" + "." * n}
            for n in range(12)
        ],
    }  # fmt: skip
    for name, values in files.items():
        (folder / name).write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    (folder / "q.txt").write_text("高血压吃什么药好？\n孕妇可以喝茶吗？\n", encoding="utf-8")
    return folder


@pytest.fixture
def call(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    return Caller(capsys)


def made(call, name):
    """Make a choice once, and all that it needs."""
    if not Path("data", f"{name}.manifest.json").exists():
        if "data/h_ifd" in COMMANDS[name]:
            made(call, "h_ifd")
        asked = name.removesuffix("_test")
        answer = call(*shlex.split(COMMANDS[name]), "--name", asked)
        assert answer.code == 0, answer.err
    manifest = json.loads(Path("data", f"{name}.manifest.json").read_text(encoding="utf-8"))
    return manifest, pd.read_parquet(Path("data", f"{name}.scores.parquet"))


@pytest.mark.model
@pytest.mark.parametrize("name", COMMANDS)
def test_counts_are_those_of_manifest_and_scores(name, call):
    manifest, scores = made(call, name)
    report = gather(read_choice(name, Path("data")), with_map=False)
    counts = manifest["counts"]
    stages = {stage.label: stage.rows for stage in report.funnel}
    assert stages["read"] == counts["read"] == len(scores)
    lost = [stage.rows for stage in report.funnel if stage.kind in ("left_out", "unscored")]
    if "kept" in counts:
        assert stages["kept"] == counts["kept"] == scores["kept"].sum()
        assert sum(lost) + counts["kept"] == counts["read"]
        assert sorted(lost) == sorted(counts["dropped"].values())
        assert report.verdict.startswith(f"{counts['kept']} of {counts['read']} rows are kept")
    else:
        assert sum(lost) == sum(counts["unscored"].values())
        assert report.verdict.startswith(
            f"{counts['scored']} of {counts['read']} rows have a score"
        )
    views = {view.key: view for view in report.views}
    for stage in report.funnel:
        assert not stage.view or views[stage.view].rows == stage.rows or stage.label == "written"
    assert [row.id for row in report.rows] == scores["id"].tolist()
    reasons = scores["reason"] if "kept" in scores else scores["status"].replace("ok", "scored")
    assert [row.reason for row in report.rows] == reasons.tolist()
    for view in report.views:
        assert len(view.places) == view.rows
    assert report.left_out == ""
    assert report.sha256 == manifest["output"]["sha256"]


@pytest.mark.model
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in NOT_AGAIN])
def test_the_command_on_the_page_makes_the_same_again(name, call):
    manifest, _ = made(call, name)
    provenance = dict(gather(read_choice(name, Path("data")), with_map=False).provenance)
    command = shlex.split(provenance["command"])
    command = ["data/" + word if word.endswith(".scores.parquet") else word for word in command]
    answer = call(*command[1:], "--output", "again")
    assert answer.code == 0, answer.err
    again = json.loads(Path("again", f"{name}.manifest.json").read_text(encoding="utf-8"))
    assert again["output"] == manifest["output"]


@pytest.mark.model
def test_numbers_beside_are_means_of_the_scores_file(call):
    _, scores = made(call, "h_ifd")
    report = gather(read_choice("h_ifd", Path("data")), with_map=False)
    equal = set(pd.read_parquet("data/h_ifd_random.scores.parquet").query("kept")["id"])
    tokens = set(pd.read_parquet("data/h_ifd_random_tokens.scores.parquet").query("kept")["id"])
    groups = {
        ALL: scores,
        KEPT: scores[scores["kept"]],
        CONTROL: scores[scores["id"].isin(equal)],
        "h_ifd_random_tokens": scores[scores["id"].isin(tokens)],
    }
    # The control that is registered is the one that is drawn here: it stands there once.
    assert [key for key, _ in report.controls] == [CONTROL, "h_ifd_random_tokens"]
    assert {row.id for row in report.rows if row.control} == equal
    beside = {line.name: line.values for line in report.beside}
    for group, part in groups.items():
        assert beside["ifd_loss"][group] == pytest.approx(part["ifd_loss"].mean())
        assert beside["response, tokens"][group] == pytest.approx(part["tokens"].mean())
        assert beside["responses, tokens in all"][group] == part["tokens"].sum()
        assert beside["prompt, tokens"][group] == pytest.approx(part["prompt_tokens"].mean())
    known = scores.dropna(subset="ifd_loss")
    rho = spearmanr(known["ifd_loss"], known["tokens"]).statistic
    assert report.dots.rho == pytest.approx(rho, abs=1e-4)
    assert len(report.dots.points) == len(known)
    warning = next(text for kind, text in report.warnings if "Spearman" in text)
    assert f"ρ = {rho:+.2f}" in warning
    kept = groups[KEPT]["tokens"].mean()
    drawn = groups[CONTROL]["tokens"].mean()
    assert f"have {kept:,.0f} tokens on average, those of a random choice {drawn:,.0f}" in warning
    assert "h_ifd_random_tokens" in warning
    by_score, by_length = report.figures
    assert sum(by_score.counts[ALL]) == len(known)
    assert sum(by_score.counts[KEPT]) == scores["kept"].sum()
    low, high = by_score.edges[10], by_score.edges[50]
    inside = known["ifd_loss"].between(low, high, inclusive="left")
    assert sum(by_score.counts[ALL][10:50]) == inside.sum()
    marks = dict((text.split(" ")[0], value) for text, value in by_score.marks)
    assert marks == {"cut": kept_min(scores), "1:": 1.0}
    assert by_length.as_lines
    assert sum(by_length.counts[CONTROL]) == len(equal)


def kept_min(scores):
    return scores[scores["kept"]]["ifd_loss"].min()


@pytest.mark.model
def test_other_budgets_keep_what_the_recipe_would(call):
    made(call, "h_ifd")
    report = gather(read_choice("h_ifd", Path("data")), with_map=False)
    selection = curate.ifd("h.json", keep=4)
    assert len(report.budgets) > 5
    for step in report.budgets:
        other = selection.keep(f"{100 * step.share:g}%")
        counts = other.summary()
        assert (counts.kept, counts.tokens["kept"]) == (step.rows, step.tokens)
        assert other.threshold() == step.cut
        assert report.rows[step.edge].id in set(other.top(step.rows)["id"].tolist()[-1:])


@pytest.mark.model
@pytest.mark.parametrize("name", ["h_car", "h_mods", "h_like", "h_dedup", "h_random", "m"])
def test_what_is_cut_by_no_ranking_has_no_slider_and_no_cut(name, call):
    made(call, name)
    report = gather(read_choice(name, Path("data")), with_map=False)
    assert report.budgets == ()
    assert not any(text.startswith("cut") for shown in report.figures for text, _ in shown.marks)
    if name in ("h_random", "m"):
        assert report.controls == ()
        assert [shown.name.partition(",")[0] for shown in report.figures] == ["response"]


@pytest.mark.model
def test_a_choice_in_memory_and_on_disk_show_the_same(call):
    made(call, "h_ifd")
    on_disk = gather(read_choice("h_ifd", Path("data")), with_map=False)
    in_memory = gather(choice_of(curate.ifd("h.json", keep=4), "h_ifd"), with_map=False)
    for part in ("verdict", "funnel", "figures", "dots", "budgets", "covers", "rows", "views"):
        assert getattr(in_memory, part) == getattr(on_disk, part), part
    mixed = curate.mix(domain="h.json", general="a.json", ratio="1:2")
    made(call, "m")
    on_disk, in_memory = gather(read_choice("m", Path("data"))), gather(choice_of(mixed, "m"))
    for part in ("funnel", "figures", "beside", "covers", "rows", "sources", "map_note"):
        assert getattr(in_memory, part) == getattr(on_disk, part), part


@pytest.mark.model
def test_what_decided_is_marked(call):
    manifest, scores = made(call, "h_base")
    report = gather(read_choice("h_base", Path("data")), with_map=False)
    good = scores.query("status == 'ok' and reason != 'low_quality'")
    ((text, value),) = report.figures[0].marks
    assert (text.rpartition(" from")[0], value) == ("good enough", good["quality"].min())
    stages = {stage.label: stage.rows for stage in report.funnel}
    by = scores["chosen_by"].value_counts()
    assert stages["kept as seed"] == by["seed"] == 3
    assert stages["kept as augmented"] == by["augmented"] == 2
    assert stages["good enough (quality)"] == len(good) == manifest["stages"][0]["good"]
    seed = next(row for row in report.rows if row.reason == "")
    assert [role for role, _ in seed.messages][-1] == "answer of the model"
    made(call, "h_dedup")
    report = gather(read_choice("h_dedup", Path("data")), with_map=False)
    assert report.figures[0].marks == (("near 0.5", 0.5),)


@pytest.mark.model
def test_the_map_takes_vectors_from_the_cache_and_is_the_same_again(call, monkeypatch):
    made(call, "h_car")
    made(call, "h_random")
    first = gather(read_choice("h_random", Path("data")))
    assert gather(read_choice("h_random", Path("data"))) == first
    # The same rows on the map of less points: all that were chosen are there.
    few = gather(read_choice("h_random", Path("data")), points=12)
    on_map = [row for row in few.rows if row.spot]
    assert 9 <= len(on_map) <= 12
    assert sum(row.reason == "" for row in on_map) == 4
    (cluster,) = [cover for cover in few.covers if cover.key == "cluster"]
    assert sum(kept for _, _, kept, _ in cluster.lines) == 4
    assert "drawn at random" in cluster.note

    def refuse(*_):
        raise AssertionError("nothing is to be embedded")

    monkeypatch.setattr("curate.reports.row_map.embedded", refuse)
    report = gather(read_choice("h_car", Path("data")))
    assert "the vectors that use chose by" in report.map_note
    assert sum(row.spot is not None for row in report.rows) == SOUND
    _, scores = made(call, "h_car")
    (cluster,) = [cover for cover in report.covers if cover.key == "cluster"]
    sizes = scores["cluster"].value_counts().sort_index()
    assert [rows for _, rows, _, _ in cluster.lines] == sizes.tolist()


def test_plane_keeps_distances_and_never_lies_mirrored():
    from curate.reports.row_map import plane

    rng = np.random.default_rng(1)
    flat = rng.normal(size=(50, 2)) * [3, 1]
    axes = np.linalg.qr(rng.normal(size=(8, 2)))[0].T
    points = (flat @ axes).astype(np.float32)
    spots, share = plane(points)
    assert share == pytest.approx(1)
    again, _ = plane(points[::-1].copy())
    assert np.abs(again[::-1] - spots).max() <= 1e-4
    # Up to the scale of each axis: the first is where the points differ most.
    for axis in (0, 1):
        assert abs(np.corrcoef(spots[:, axis], (flat - flat.mean(0))[:, axis])[0, 1]) > 0.95
    assert (spots.min(), spots.max()) == (0, 1)


def test_words_tell_clusters_apart():
    from curate.reports.row_map import words_of

    texts = [
        ["高血压患者能吃党参吗", "高血压怎么治"],
        ["孩子发烧怎么办", "发烧头疼怎么办"],
        ["what is python", "python lists"],
    ]
    blood, fever, python = words_of(texts)
    assert blood.startswith("高血压")
    assert "发烧" in fever
    assert python == "python"


def test_keys_of_the_rows_with_few_values_are_covered(write_json, scratch_cache):
    values = [
        {"instruction": f"q{n}", "input": "", "output": "a " * n, "department": "内外儿"[n % 3],
         "title": f"t{n}", "level": n % 2, "always": "x"}
        for n in range(1, 61)
    ]  # fmt: skip
    values[7]["department"] = ""
    rows = read(write_json(values))
    selection = curate.select(rows, recipe="longest", keep=6)
    covers = {cover.key: cover for cover in gather(choice_of(selection), with_map=False).covers}
    assert set(covers) == {"department", "level"}
    kept = values[-6:]
    for key, cover in covers.items():
        for label, count, chosen, control in cover.lines:
            wanted = "" if label == "(none)" else label
            assert count == sum(str(value[key]) == wanted for value in values)
            assert chosen == sum(str(value[key]) == wanted for value in kept)
            assert control <= count
        assert sum(control for *_, control in cover.lines) == 6
        assert cover.reached == len({str(value[key]) for value in kept})
