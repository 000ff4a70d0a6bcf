"""What a recipe gives back, and how it shows itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curate
from curate.choices.selection import Selection
from curate.data.cards import EXCERPT
from curate.data.read import read
from curate.duplicates import twins
from curate.errors import DataError, OutputError, UsageError
from curate.recipes import mods_seeds
from curate.scorers.contract import Scores
from curate.selectors import like
from curate.selectors.kept_and_dropped import BELOW_CUT, MISSED, Choice

NAN = float("nan")
FIRST = ["id", "row", "source", "status", "kept", "reason"]


@dataclass(frozen=True)
class Params:
    keep: str = "50%"
    seed: int = 0


@pytest.fixture
def selection(write_json, scratch_cache):
    """Six rows of two files: two kept, two below the cut, one at 1, one without a score."""
    texts = ["a", "b", "<script>alert(1)</script>", "d " * 100, "e", "f"]
    values = [{"instruction": each, "output": f"to {each}"} for each in texts]
    rows = read([write_json(values[:4], "x.json"), write_json(values[4:], "y.json")])
    status = np.array(["ok"] * 5 + ["too_short"], dtype=object)
    score = np.array([0.5, 0.9, 0.8, 0.4, 1.2, NAN])
    reason = np.array(["below_cut", "", "", "below_cut", "ifd_ge_1", "too_short"], dtype=object)
    scored = Scores(status, {"ifd_loss": pa.array(score), "extra": pa.array([1] * 6)}, ("a note",))
    made = {"name": "m", "fingerprint": "f" * 64, "dtype": "float32"}
    return Selection(
        "ifd",
        Params(),
        rows,
        scored,
        Choice(reason),
        "ifd_loss",
        made,
        ("mind <b>this</b>",),
        12.34,
    )


def test_counts_add_up(selection):
    counts = selection.summary()
    assert (counts.read, counts.scored, counts.kept) == (6, 5, 2)
    assert counts.dropped == {"below_cut": 2, "ifd_ge_1": 1, "too_short": 1}
    assert counts.read == counts.kept + sum(counts.dropped.values())


def test_scores_have_a_line_for_each_row_in_the_contracts_order(selection):
    frame = selection.scores
    assert list(frame.columns) == [*FIRST, "ifd_loss", "extra"]
    assert frame["row"].tolist() == list(range(6))
    assert frame["id"].tolist() == [row.id for row in selection.rows]
    assert frame["source"].tolist() == ["x.json"] * 4 + ["y.json"] * 2
    assert frame["kept"].tolist() == [False, True, True, False, False, False]
    assert (frame["reason"] == "").tolist() == frame["kept"].tolist()
    assert frame["status"].tolist() == ["ok"] * 5 + ["too_short"]
    assert np.isnan(frame["ifd_loss"].iloc[5])


def test_top_and_nearest_misses_come_highest_first(selection):
    assert selection.top(5)["ifd_loss"].tolist() == [0.9, 0.8]
    assert selection.top(1)["prompt"].tolist() == ["b"]
    misses = selection.nearest_misses(1)
    assert list(misses.columns) == ["id", "source", "ifd_loss", "prompt", "response"]
    assert misses["ifd_loss"].tolist() == [0.5]  # 1.2 missed by its own bound, not by the budget
    assert selection.nearest_misses(9)["ifd_loss"].tolist() == [0.5, 0.4]
    for n in (0, -1):
        assert selection.top(n).empty


def test_excerpts_are_one_short_line(selection):
    (shown,) = selection.nearest_misses(9)["prompt"].tolist()[1:]
    assert len(shown) == EXCERPT
    assert shown.endswith("…")


def test_threshold_is_the_lowest_kept_score(selection):
    assert selection.threshold() == 0.8
    nothing = Selection(
        **{**vars(selection), "choice": Choice(np.full(6, "dropped", dtype=object))}
    )
    assert np.isnan(nothing.threshold())
    assert nothing.manifest()["threshold"] is None


def test_it_shows_itself_and_row_text_stays_text(selection):
    shown = repr(selection)
    assert shown == "ifd: 2 of 6 rows kept; dropped 2 below_cut, 1 ifd_ge_1, 1 too_short"
    html = selection._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "mind &lt;b&gt;this&lt;/b&gt;" in html
    assert "nearest misses" in html


def test_the_plot_has_both_kinds_and_the_cut(selection):
    shown = selection.plot()
    (axes,) = shown.figure.axes
    assert axes.get_xlabel() == "ifd_loss"
    assert [line.get_xdata()[0] for line in axes.lines] == [0.8, 1]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    groups = ["kept (2)", "below_cut (2)", "ifd_ge_1 (1)"]
    assert sorted(labels) == sorted([*groups, "1: the prompt does not help", "cut 0.8"])
    assert axes.get_title() == "ifd_loss of 5 rows, 1 without"
    heights = [sum(bar.get_height() for bar in bars) for bars in axes.containers]
    assert heights == [2, 2, 1]
    assert repr(shown) == "figure: ifd_loss of 5 rows, 1 without"


def test_the_manifest_says_what_made_it_and_knows_no_folder(selection, tmp_path):
    made = selection.manifest()
    assert made["recipe"] == "ifd"
    assert made["params"] == {"keep": "50%", "seed": 0}
    assert made["counts"] == {
        "read": 6,
        "scored": 5,
        "kept": 2,
        "dropped": {"below_cut": 2, "ifd_ge_1": 1, "too_short": 1},
    }
    assert [each["name"] for each in made["sources"]] == ["x.json", "y.json"]
    assert all(len(each["sha256"]) == 64 for each in made["sources"])
    assert (made["threshold"], made["wall_seconds"]) == (0.8, 12.3)
    assert made["notes"] == ["mind <b>this</b>"]
    assert {"python", "curatrain", "numpy", "torch"} <= set(made["versions"])
    assert str(tmp_path) not in json.dumps(made)


def test_emit_writes_what_was_kept_under_the_first_inputs_name(selection, tmp_path):
    files = curate.emit(selection, tmp_path / "out")
    names = ["x_ifd.jsonl", "x_ifd.scores.parquet", "dataset_info.json", "x_ifd.manifest.json"]
    assert files == [tmp_path / "out" / name for name in names]
    written = [json.loads(line) for line in files[0].open(encoding="utf-8")]
    assert written == [selection.rows[1].value, selection.rows[2].value]
    assert curate.emit(selection, tmp_path / "out")[0].read_bytes() == files[0].read_bytes()
    assert curate.emit(selection, str(tmp_path), name="mine")[0] == tmp_path / "mine.jsonl"


def test_emit_refuses_a_name_that_is_taken(selection, tmp_path):
    Path(tmp_path / "mine.jsonl").write_text("by hand")
    with pytest.raises(OutputError, match="'mine' is already in"):
        curate.emit(selection, tmp_path, name="mine")
    curate.emit(selection, tmp_path, name="mine", overwrite=True)
    assert (tmp_path / "mine.jsonl").read_text() != "by hand"


def test_an_empty_selection_is_not_emitted(selection, tmp_path):
    nothing = Selection(
        **{**vars(selection), "choice": Choice(np.full(6, "too_short", dtype=object))}
    )
    with pytest.raises(DataError, match="no row is left to write: of 6 rows read, 6 too_short"):
        curate.emit(nothing, tmp_path / "out")
    (file,) = (each for each in (tmp_path / "out").iterdir() if each.suffix != ".lock")
    assert file.name.endswith("_none_kept.scores.parquet")
    assert pq.read_table(file)["reason"].to_pylist() == ["too_short"] * 6


@pytest.mark.parametrize(
    ("reason", "advice"),
    [("ifd_ge_1", "see that --template is what"), ("non_finite", "gave NaN or infinite numbers")],
)
def test_an_empty_selection_says_what_to_look_at(selection, tmp_path, reason, advice):
    reasons = np.array([reason] * 5 + ["too_short"], dtype=object)
    nothing = Selection(**{**vars(selection), "choice": Choice(reasons)})
    with pytest.raises(DataError, match=rf"5 {reason}, 1 too_short\. .*{advice}.*none_kept"):
        curate.emit(nothing, tmp_path)


def test_a_choice_counts_and_goes_through_what_it_keeps(selection):
    assert len(selection) == 2
    kept = [selection.rows[1].id, selection.rows[2].id]
    assert [row.id for row in selection] == kept
    assert selection.kept.ids.tolist() == kept
    assert [row.value for row in selection.kept] == [selection.rows[n].value for n in (1, 2)]
    assert curate.dedup(selection.kept).rows.ids.tolist() == kept
    assert selection.to_dataset().to_list() == [row.value for row in selection]


def test_scores_stand_beside_whole_texts(selection):
    frame = selection.to_pandas()
    assert list(frame.columns) == [*selection.scores.columns, "prompt", "response"]
    assert frame["response"].tolist() == [row.response for row in selection.rows]
    assert selection.to_pandas(text=False).equals(selection.scores)


def test_tables_of_best_and_nearest_have_whole_texts_if_asked(selection):
    assert selection.top(5, full=True)["prompt"].tolist() == ["b", "<script>alert(1)</script>"]
    assert selection.nearest_misses(5, full=True)["prompt"].tolist() == ["a", "d " * 100]


@pytest.mark.parametrize(
    ("which", "places"),
    [
        ("best", [1, 2]),
        ("near", [0, 3]),
        ("low", [3, 0, 2, 1, 4]),
        ("ifd_ge_1", [4]),
        ("too_short", [5]),
        ("below_cut", [0, 3]),
    ],
)
def test_rows_are_shown_whole_in_the_order_to_be_looked_at(selection, which, places):
    shown = selection.show(9, which=which)
    ids = selection.rows.ids[places].tolist()
    assert [row.id for row in shown] == ids
    assert len(selection.show(1, which=which)) == 1
    text, html = repr(shown), shown._repr_html_()
    for place in places:
        row = selection.rows[place]
        assert row.response.strip() in text
        assert row.id in html
    assert "<script>" not in html
    assert f"{which}: {len(places)} of {len(places)} rows" in text


def test_rows_are_shown_by_id_and_drawn(selection):
    ids = selection.rows.ids[[5, 0]].tolist()
    assert [row.id for row in selection.show(1, which=ids)] == ids
    for one in (ids[0], 5):
        assert [row.id for row in selection.show(which=one)] == ids[:1]
    drawn = [row.id for row in selection.show(5, which="random")]
    assert sorted(drawn) == sorted(selection.rows.ids[:5])
    assert [row.id for row in selection.show(2, which="random")] == drawn[:2]
    known = selection.show(which=ids).known
    assert known[0] == {"reason": "too_short", "extra": 1}
    assert known[1] == {"reason": "below_cut", "ifd_loss": 0.5, "extra": 1}


def test_what_cannot_be_shown_is_said_with_what_can(selection):
    says = r"which 'nearest': allowed are best, near, low, random, below_cut, .*an id, or several"
    with pytest.raises(UsageError, match=says):
        selection.show(which="nearest")
    with pytest.raises(UsageError, match="none of 6 rows here has the id 'x'"):
        selection.show(which=["x"])
    with pytest.raises(UsageError, match=r"rows\[NoneType\]: give a place"):
        selection.show(which=None)


def test_nothing_left_out_is_said_and_no_near_miss_too(selection, capsys):
    every = Selection(**{**vars(selection), "choice": Choice(np.full(6, "", dtype=object))})
    assert repr(every) == "ifd: 6 of 6 rows kept; none dropped"
    drawn = Selection(**{**vars(selection), "choice": Choice(np.full(6, "not_drawn", object))})
    every._repr_html_()
    assert capsys.readouterr().err == ""
    for choice, reasons in ((every, "none"), (drawn, "not_drawn")):
        assert choice.nearest_misses().empty
        said = capsys.readouterr().err
        assert said.endswith(f"no row out by its score alone; reasons here: {reasons}\n")


def test_the_nearest_misses_of_other_recipes_are_what_a_score_left_out(tmp_path, scratch_cache):
    values = [{"instruction": "q", "output": f"{'abcdefghij' * 20}{'xyz' * n}"} for n in range(5)]
    near = curate.dedup(values, near=0.8).nearest_misses()
    scores = near["novelty"].tolist()
    assert len(scores) > 1
    assert scores == sorted(scores, reverse=True)
    assert {*MISSED} == {BELOW_CUT, twins.NEAR, like.NOT_CALLED, mods_seeds.LOW}
