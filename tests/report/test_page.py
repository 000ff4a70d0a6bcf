"""A report's page as its bytes: what it holds, that rows are data, that it loads nothing."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest

from curate.page.figures import _ticks, bar, dots, histogram, share_lines, short
from curate.reports.contents import Cover, PageRow
from curate.reports.page import draw
from tests.browser import Tags
from tests.conftest import ROOT
from tests.report.reports import hostile_report, pairs_report, report_of


def data_of(page: str) -> Any:
    """Return what a page holds for its script."""
    coding, text = re.findall(r'id="data" data-coding="([^"]+)">([^<]+)<', page)[0]
    return json.loads(gzip.decompress(base64.b64decode(text)).decode(coding))


@pytest.mark.parametrize("made", [report_of, hostile_report, pairs_report])
def test_equal_reports_have_equal_bytes(made):
    assert draw(made()) == draw(made())


def test_the_pages_data_are_those_of_the_report():
    report = report_of(30)
    data = data_of(draw(report))
    for place, row in enumerate(report.rows):
        assert {name: values[place] for name, values in data["rows"].items()} == {
            "id": row.id,
            "where": row.where,
            "reason": row.reason,
            "control": int(row.control),
            "roles": ["user", "assistant"],
            "texts": [text for _, text in row.messages],
            "languages": ["zh-Hans", "zh-Hans"],
            "cut": 0,
            "spot": [pytest.approx(0.02 + 0.96 * side, abs=1e-4) for side in row.spot or ()],
        }
        numbers = {name: values[place] for name, values in data["numbers"].items()}
        assert numbers == row.numbers
    assert data["views"] == [
        [view.key, list(view.places), f"{view.label} {view.rows}"] for view in report.views
    ]
    assert (data["name"], data["sha256"]) == (report.name, report.sha256)
    step = report.budgets[1]
    assert data["budgets"][1] == [
        f"10 % keeps 3 rows, {step.tokens} tokens, {short(step.mean_tokens or 0)} a row; "
        f"the lowest has {step.cut}.",
        2,
    ]


def test_numbers_that_are_none_are_no_number_and_english_is_coded_in_utf_8():
    row = PageRow("1", "a.json", "", False, (("user", "a headache"),), numbers={"x": math.nan})
    page = draw(replace(report_of(20), rows=(row,), views=()))
    assert 'data-coding="utf-8"' in page
    data = data_of(page)
    assert (data["numbers"], data["rows"]["spot"]) == ({"x": [None]}, [None])
    assert data["rows"]["languages"] == [["en"]]


def test_colours_of_the_map():
    data = data_of(draw(report_of(84)))
    kept, control, score, tokens, cluster, department = data["colourings"]
    assert kept["of"] == [1] * 8 + [0] * 76
    assert sum(control["of"]) == 8
    # Seven steps of twelve rows each; the higher the score, the further the step.
    assert score["of"] == [step for step in range(6, -1, -1) for _ in range(12)]
    assert [ink for ink, _ in score["legend"]] == [f"step{step}" for step in range(7)]
    assert len(tokens["legend"]) == 7
    assert dict(map(reversed, department["legend"])) == {"内科": "c0", "外科": "c1", "儿科": "c2"}
    assert department["of"][:4] == [2, 1, 0, 2]
    assert (len(cluster["legend"]), cluster["legend"][0]) == (11, ["dropped", "others"])
    assert cluster["of"].count(0) == 14  # two of twelve clusters have no colour of their own
    style = (ROOT / "curate" / "reports" / "template" / "style.css").read_text("utf-8")
    inks = {ink for each in data["colourings"] for ink, _ in each["legend"]}
    base = (ROOT / "curate" / "page" / "base.css").read_text("utf-8")
    for ink in inks:  # light, dark
        assert (style + base).count(f"--{ink}:") >= 2


def test_where_nothing_is_chosen_nothing_is_called_kept():
    report = report_of(20)
    scored = replace(
        report,
        rows=tuple(replace(row, reason="scored", control=False) for row in report.rows),
        funnel=report.funnel[:2],
        covers=(Cover("department", (("内科", 20, 0, None),), 0),),
        controls=(),
        budgets=(),
        views=report.views[-1:],
    )
    page = draw(scored)
    assert not re.findall(r"<(?:th|b|h3)[^>]*>[^<]*\bkept", page)
    assert data_of(page)["colourings"][0]["legend"][0][0] == "step0"


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.509, 1.004, [0.6, 0.7, 0.8, 0.9, 1.0]),
        (-1.5, 3.1, [-1, 0, 1, 2, 3]),
        (0, 720, [0, 200, 400, 600]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (5, 5, [5]),
    ],
)
def test_ticks_are_round(low, high, ticks):
    assert _ticks(low, high) == ticks


def test_what_there_is_nothing_of_has_no_section():
    report = report_of(20, mapped=False)
    nothing = replace(
        report,
        warnings=(),
        funnel=(),
        figures=(),
        dots=None,
        budgets=(),
        beside=(),
        controls=(),
        covers=(),
        rows=(),
        views=(),
        provenance=(),
    )
    assert re.findall("<h2>(.*?)</h2>", draw(nothing)) == ["Read the rows"]
    assert not re.search("<(canvas|figure|table|input type=.range)", draw(nothing))
    titles = re.findall("<h2>(.*?)</h2>", draw(replace(report_of(), sources=(("a", {"rows": 3}),))))
    assert titles == [
        *("Read this first", "Where the rows went", "Distributions"),
        *("Beside its controls", "A map of the rows", "What the choice covers"),
        *("Read the rows", "What was mixed", "Where this comes from"),
    ]


def test_nothing_of_a_row_is_markup():
    page = draw(hostile_report())
    page.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u2028-\u202e]", page)
    assert "\u202e" in "".join(map("".join, data_of(page)["rows"]["texts"]))
    parser = Tags()
    parser.feed(page)
    tags = [tag for tag, _ in parser.found]
    assert (tags.count("script"), tags.count("style"), tags.count("main")) == (2, 1, 1)
    assert not {"img", "link", "iframe", "meta http-equiv=refresh"} & set(tags)
    attributes = {name for _, pairs in parser.found for name in pairs}
    assert not {each for each in attributes if each.startswith("on")} | attributes & {
        "src",
        "style",
    }
    links = [pairs["href"] for tag, pairs in parser.found if tag == "a"]
    assert links
    assert all(str(each).startswith("#show=") for each in links)


def test_the_policy_lets_nothing_in():
    page = draw(report_of())
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.findall(r"(?:url\(|@import|https?://)", page)


def test_pages_stand_on_the_same_variables_and_their_scripts_are_short():
    scripts = ["curate/page/base.js", "curate/reports/template/script.js"]
    scripts.append("deploy/compare/page/script.js")
    lines = [(ROOT / each).read_text("utf-8").splitlines() for each in scripts]
    assert sum(map(len, lines)) <= 300
    assert max(len(line) for each in lines for line in each) <= 100
    for style in ("curate/reports/template/style.css", "deploy/compare/page/style.css"):
        assert not re.search(
            "--(paper|ink|soft|line|wash|kept):", (ROOT / style).read_text("utf-8")
        )


# Figures


def places_of(figure: str, shape: str) -> list[str]:
    return re.findall(f'<path class="{shape}" d="([^"]*)"', figure)


def test_a_histogram_by_hand():
    figure = histogram((0.0, 1.0, 2.0), (4, 1), (1, 0), (("cut <1>", 1.0), ("low", 0.1)), "what")
    assert places_of(figure, "all") == ["M0 1000V0H498V1000ZM500 1000V750H998V1000Z"]
    assert places_of(figure, "kept") == ["M0 1000V750H498V1000Z"]
    assert "4 rows" in figure
    assert "cut &lt;1&gt;" in figure
    # The outermost mark is the uppermost.
    assert re.findall(r'class="mark" x1="([\d.]+)%".*? y1="(\d+)"', figure) == [
        ("5.0", "2"),
        ("50.0", "19"),
    ]


def test_lines_of_shares_by_hand():
    figure = share_lines((0, 1, 3), {"all": (3, 1), "kept": (0, 0)}, (), "what")
    assert places_of(figure, "line all") == ["M0 1000V0H333V667H1000V1000"]
    assert places_of(figure, "line kept") == []
    assert "75 % of rows" in figure


def test_dots_by_hand():
    figure = dots([(0, 1, False), (2, 3, True), (1, 2, False)], "score", "what")
    assert places_of(figure, "dots all") == ["M0 1000h0M500 500h0"]
    assert places_of(figure, "dots kept") == ["M1000 0h0"]
    assert dots([], "score", "what")
    assert dots([(1, 1, True)], "score", "what")


def test_a_bar_by_hand():
    assert bar([("a", 1), ("b", 3)], 4, "shares").count("<rect") == 2
    assert 'class="b" x="25.000" width="75.000"' in bar([("a", 1), ("b", 3)], 4)
    assert 'width="0.000"' in bar([("a", 0)], 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567, "1,234,567"), (0.98764, "0.9876"), (12, "12"), (-1.5, "−1.5"), (math.inf, "–")],
)
def test_numbers_as_people_read_them(value, text):
    assert short(value) == text


def test_a_page_of_many_rows_is_within_the_budget():
    assert len(draw(report_of(20_000, 210)).encode()) < 6_000_000
