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
from curate.data.read import read
from curate.errors import DataError, OutputError
from curate.scorers.contract import Scores
from curate.selection import EXCERPT, Selection
from curate.selectors.kept_and_dropped import Choice

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
    figure = selection.plot()
    (axes,) = figure.axes
    assert axes.get_xlabel() == "ifd_loss"
    assert [line.get_xdata()[0] for line in axes.lines] == [0.8]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert set(labels) == {"kept (2)", "dropped (3)", "cut 0.8"}
    assert axes.get_title() == "5 rows scored, 1 not"
    kept, dropped = (sum(bar.get_height() for bar in bars) for bars in axes.containers)
    assert (kept, dropped) == (2, 3)


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
