"""What figures show: the groups of a choice, and lines only where one decided."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib import font_manager

from curate.choices.selection import Selection
from curate.notebook.pictures import Bars, Panel, picture
from curate.reports.chosen import choice_of
from curate.reports.panels import TOKENS, of_selection, questions
from curate.reports.panels import panels as panels_of
from curate.scorers.contract import Scores
from curate.scorers.response_tokens import ResponseTokens
from curate.selectors.kept_and_dropped import Choice

NAN = float("nan")


@dataclass(frozen=True)
class Params:
    near: float = 0.8
    between: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class OfControl:
    of: str = "ifd"


@pytest.fixture
def chosen(write_json, scratch_cache):
    """Make a choice of rows by a recipe, with reasons and columns."""
    import curate

    def make(recipe: str, reasons: list[str], ranked_by: str, **more: Any) -> Selection:
        size = len(reasons)
        texts = [{"instruction": f"ask {n}", "output": f"say {n}"} for n in range(size)]
        columns = {name: pa.array(values) for name, values in more.pop("columns").items()}
        return Selection(
            recipe=recipe,
            params=more.pop("params", Params()),
            rows=curate.read(write_json(texts)),
            scored=Scores(np.full(size, "ok", dtype=object), columns),
            choice=Choice(np.array(reasons, dtype=object)),
            ranked_by=ranked_by,
            model={},
            tokens=ResponseTokens(np.arange(size) + 1, "m"),
            **more,
        )

    return make


def panels(selection: Selection) -> list[Panel]:
    chosen = choice_of(selection)
    return [*questions(chosen.manifest), *panels_of(chosen)]


def groups(panel: Panel) -> dict[str, int]:
    counts = {**panel.kept, **panel.dropped}
    return {name: int((rows & np.isfinite(panel.values)).sum()) for name, rows in counts.items()}


def test_ifd_has_its_cut_and_the_line_at_1(chosen):
    reasons = ["", "", "below_cut", "ifd_ge_1", "where", "too_long"]
    values = [0.9, 0.8, 0.7, 1.2, 0.95, NAN]
    (panel,) = panels(chosen("ifd", reasons, "ifd_loss", columns={"ifd_loss": values}))
    assert panel.marks == (("cut 0.8", 0.8), ("1: the prompt does not help", 1.0))
    assert groups(panel) == {"kept": 2, "below_cut": 1, "ifd_ge_1": 1, "where": 1}
    assert panel.title() == "ifd_loss of 5 rows, 1 without"


def test_where_no_line_parts_kept_from_dropped_there_is_none(chosen):
    columns = {"reward": [0.9, 0.2, 0.7]}
    assert panels(chosen("select", ["", "", "below_cut"], "reward", columns=columns))[0].marks == ()
    (panel,) = panels(chosen("score", ["", "", ""], "reward", columns=columns))
    assert (groups(panel), panel.marks) == ({"scored": 3}, ())


def test_a_row_that_was_marked_is_no_end_of_the_cut(chosen):
    columns = {"reward": [0.9, 0.8, 0.1, 0.7]}
    plain = chosen("select", ["", "", "below_cut", "below_cut"], "reward", columns=columns)
    kept = np.array([False, False, True, False])
    reasons = np.array(["", "", "", "below_cut"], dtype=object)
    (panel,) = panels(replace(plain, choice=Choice(reasons, marked=kept)))
    assert groups(panel) == {"kept": 2, "marked_keep": 1, "below_cut": 1}
    assert panel.marks == (("cut 0.8", 0.8),)


def test_car_shows_its_two_rules(chosen):
    why = ["top_overall", "best_of_cluster", "top_overall+best_of_cluster", None, None]
    columns = {"quality": [0.8, 0.1, 0.9, 0.7, 0.05], "chosen_by": why}
    (panel,) = panels(chosen("car", ["", "", "", *["below_cut"] * 2], "quality", columns=columns))
    assert panel.marks == (("best of all from 0.8", 0.8),)
    assert groups(panel) == {**dict.fromkeys(sorted(why[:3]), 1), "below_cut": 2}


def test_mods_shows_its_stages_and_both_thresholds(chosen):
    reasons = ["", "", "low_quality", "not_necessary", "not_augmented"]
    columns = {
        "quality": [0.5, 0.4, 0.1, 0.6, 0.3],
        "chosen_by": ["seed", "augmented", None, None, None],
        "necessity": [-0.5, -0.9, NAN, 0.2, -0.1],
        "necessary": [False, True, None, False, True],
    }
    stages = [
        {"stage": "quality", "rows": 5, "good": 4, "low_quality": 1},
        {"stage": "coverage", "rows": 4, "seeds": 1},
        {"stage": "necessity", "rows": 4, "necessary": 2, "necessary_seeds": 0},
        {"stage": "augment", "rows": 2, "added": 1},
    ]
    columns["necessity"][0] = 0.4  # the seed is answered well
    mods = chosen("mods", reasons, "quality", columns=columns, details={"stages": stages})
    quality, necessity = panels(mods)
    assert quality.marks == (("good enough from 0.3", 0.3),)
    assert necessity.marks == (("answered badly below 0.2", 0.2),)
    assert groups(quality)["seed"] == groups(quality)["augmented"] == 1
    axes = of_selection(mods).figure.axes
    assert [label.get_text() for label in axes[0].get_yticklabels()] == [
        *("scored: 5", "good enough: 4", "seeds: 1", "answered badly: 2", "added: 1")
    ]
    assert len(axes) == 3


def test_a_bound_that_was_a_number_stands_where_it_was_set(chosen):
    @dataclass(frozen=True)
    class Asked:
        min_quality: str = "0.2"
        set: tuple[str, ...] = ("bound=0.35", "keep=from")

    columns = {"quality": [0.5, 0.1, 0.3]}
    reasons = ["", "low_quality", "covered"]
    (panel,) = panels(chosen("mods", reasons, "quality", columns=columns, params=Asked()))
    assert panel.marks == (("good enough from 0.2", 0.2),)
    reasons = ["", "threshold", "threshold"]
    (panel,) = panels(chosen("threshold", reasons, "quality", columns=columns, params=Asked()))
    assert panel.marks == (("bound 0.35", 0.35),)


def test_dedup_shows_how_like_pairs_are(chosen):
    columns = {"similarity": [0.0, 0.6, 1.0, 0.85], "novelty": [1.0, 0.4, 0.0, 0.15]}
    reasons = ["", "", "exact_duplicate", "near_duplicate"]
    (panel,) = panels(chosen("dedup", reasons, "novelty", columns=columns))
    assert panel.marks == (("near 0.8", 0.8),)
    # 0 says that no row was near enough to be compared with.
    assert groups(panel) == {"kept": 1, "exact_duplicate": 1, "near_duplicate": 1}


def test_like_shows_how_near_each_question_is_to_a_row(chosen):
    each = [{"best": 0.9, "near": True}, {"best": 0.2, "near": False}, {"best": 0.3, "near": False}]
    details = {"like": [{"each": each}], "near": 0.5}
    columns = {"nearest": [0.9, 0.1]}
    like = chosen("like", ["", "not_called"], "nearest", columns=columns, details=details)
    questions, rows = panels(like)
    assert groups(questions) == {"a row is near": 1, "nothing near": 2}
    assert (questions.unit, questions.marks[0][1]) == ("questions", 0.5)
    assert (groups(rows), rows.marks) == ({"kept": 1, "not_called": 1}, ())


def test_a_band_has_its_two_ends(chosen):
    reasons = ["outside_band", "", "", "", "outside_band"]
    params = Params(between=("25%", "75%"))
    columns = {"score": [1.0, 2, 3, 4, 5]}
    (panel,) = panels(chosen("select", reasons, "score", columns=columns, params=params))
    assert panel.marks == (("25% 2", 2.0), ("75% 4", 4.0))


def test_what_goes_by_no_score_shows_lengths_and_a_draw_shows_nothing(chosen):
    columns = {"chosen": [1.0, 0.0, 0.0]}
    reasons = ["", "covered", "covered"]
    (panel,) = panels(chosen("k_center", reasons, "chosen", columns=columns))
    assert (panel.name, panel.marks) == (TOKENS, ())
    assert panel.values.tolist() == [1, 2, 3]
    ifd = {"ifd_loss": [0.9, 0.1, 0.2]}
    control = chosen("longest", reasons, "ifd_loss", columns=ifd, params=OfControl())
    assert panels(control)[0].name == TOKENS
    drawn = of_selection(chosen("random", reasons, "draw", columns={"draw": [1.0, 0.5, 0]}))
    assert "drawn at random" in repr(drawn)
    assert (drawn.figure, drawn._repr_png_()) == (None, None)


# Drawing


def drawn(panel: Panel) -> Any:
    (axes,) = picture([panel]).figure.axes
    return axes


def test_the_bytes_of_a_picture_are_the_same_and_name_no_version():
    panel = Panel("x", np.arange(9.0), {"kept": np.arange(9) < 3})
    first, second = (picture([panel])._repr_png_() for _ in range(2))
    assert first == second
    assert b"Software" not in first
    buffer = io.BytesIO()
    picture([panel]).savefig(buffer, format="svg", metadata={"Date": None})
    assert b"<svg" in buffer.getvalue()


def test_names_of_data_are_no_formulas():
    panel = Panel("$a$ _{b", np.arange(5.0), {"$x$": np.ones(5, bool)}, marks=(("$cut$", 2.0),))
    axes = drawn(panel)
    assert axes.get_xlabel() == "$a$ _{b"
    assert picture([panel])._repr_png_()  # a broken formula would not be drawn
    assert picture([Bars("$\\frac$", ["$\\x{$"], {"a": [1.0]})])._repr_png_()


def test_a_line_beyond_all_rows_stands_where_it_is():
    axes = drawn(Panel("x", np.array([0.5, 0.6]), {"kept": np.ones(2, bool)}, marks=(("1", 1.0),)))
    assert axes.lines[0].get_xdata()[0] == 1.0
    assert axes.get_xlim()[1] >= 1.0


def test_nothing_finite_is_drawn_all_the_same():
    assert "0 rows, 3 without" in drawn(Panel("x", np.full(3, NAN), {})).get_title()


def test_chinese_has_the_installed_families_and_no_other():
    axes = drawn(Panel("x", np.arange(3.0), {}))
    families = axes.title.get_fontfamily()
    assert families[0] == "DejaVu Sans"
    here = {font.name for font in font_manager.fontManager.ttflist}
    assert set(families) <= here
    assert {name for name in here if name.startswith("Noto Sans CJK SC")} <= set(families)
