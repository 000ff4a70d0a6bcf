"""A report's page as a browser shows it: by mouse, finger and keyboard, with hostile rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from curate.page.document import clean, one_line
from curate.reports.contents import Report
from curate.reports.page import draw
from tests.browser import Page, browser, opened_browser
from tests.report.reports import HOSTILE, hostile_report, pairs_report, report_of

pytestmark = browser
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with opened_browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def opened(tab: Page, tmp_path: Path) -> Open:
    """Open a report; what an earlier page of the same data remembers is forgotten."""

    def open_(report: Report | None = None, state: str = "", width: int = 1280) -> Page:
        path = tmp_path / "x.report.html"
        path.write_text(draw(report or report_of()), encoding="utf-8")
        tab.open(path, state, width)
        tab.wait("'ready' in document.body.dataset")
        return tab

    tab.open(Path(__file__), "")
    tab.value("localStorage.clear()")
    tab.prefer("light")
    return open_


def texts(page: Page, selector: str) -> Any:
    return page.value(f"all({json.dumps(selector)}).map((one) => one.textContent)")


def ids(page: Page) -> list[int]:
    return [int(each, 16) for each in texts(page, "#list code")]


def on_map(page: Page, place: int) -> tuple[float, float]:
    """Bring the map into view and return where the dot of a row is in the window."""
    page.value("byId('map').scrollIntoView({ block: 'center' })")
    box = page.value(
        "(({ x, y, width, height }) => [x, y, width, height])(byId('map').getBoundingClientRect())"
    )
    spot = report_of().rows[place].spot
    assert spot is not None
    # The canvas has a border of one pixel.
    across, down = (0.02 + 0.96 * side for side in spot)
    return box[0] + 1 + across * (box[2] - 2), box[1] + 1 + down * (box[3] - 2)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("made", [report_of, hostile_report, pairs_report])
def test_nothing_is_asked_for_nothing_runs_and_the_page_is_as_wide_as_the_window(
    opened, made, width
):
    page = opened(made(), width=width)
    assert (page.complaints, len(page.requests)) == ([], 1)
    assert page.value("document.title") == one_line(f"{made().name} by ifd")
    assert page.value("[document.documentElement.scrollWidth, innerWidth]") == [width, width]
    assert page.value("all('script, style, main, body > section').every((one) => one.isConnected)")


def test_hostile_rows_are_read_as_they_are(opened):
    page = opened(hostile_report(), "show=all")
    page.value("byId('more').click()")
    shown = texts(page, "#list .user .text")[: len(HOSTILE)]
    assert shown == [clean(text) for text in HOSTILE]
    assert page.value("getComputedStyle(byId('list')).display") != "none"
    assert page.value("document.documentElement.scrollWidth <= innerWidth")
    # One row of a million characters is looked at in a window of its own.
    assert max(page.value("all('#list .text').map((one) => one.clientHeight)")) < 800


def test_lists_search_and_more(opened):
    page = opened()
    assert ids(page) == [0, 1, 2, 3]
    assert texts(page, "#count") == ["4 of 4"]
    page.value("document.querySelector('.funnel a').click()")
    page.wait("location.hash === '#show=below_cut'")
    page.wait("byId('rows').getBoundingClientRect().top < 50")
    assert ids(page) == [4, 5, 6, 7, 8]
    page.value("byId('more').click()")
    assert ids(page) == list(range(4, 29))
    assert page.value("document.activeElement.querySelector('code').textContent") == f"{9:016x}"
    page.value("byId('search').focus()")
    for letter in "问题1 -问题１０":
        page.press(letter)
    assert ids(page) == [11, 12, 13, 14, 15]
    assert texts(page, "#count") == ["5 of 9"]
    page.press("Escape")
    assert texts(page, "#count") == ["5 of 36"]
    page = opened(state="show=all&q=row%2039")
    assert ids(page) == [39]


def test_marks_by_keyboard_survive_and_are_saved(opened, tab, tmp_path):
    page = opened()
    assert page.value("byId('save').disabled")
    for key in "jyjn":
        page.press(key)
    page.value("document.querySelectorAll('#list [data-note]')[1].focus()")
    for letter in "wrong dose":
        page.press(letter)
    page.press("Escape")
    assert texts(page, "#save") == ["save 2 marks"]
    page = opened()  # the same file, anew
    pressed = "all('#list [aria-pressed=true]').map((one) => [one.dataset.id, one.textContent])"
    assert page.value(pressed) == [[f"{0:016x}", "keep"], [f"{1:016x}", "drop"]]
    assert page.value("all('#list [data-note]')[1].value") == "wrong dose"
    page.value("document.querySelector('[data-show=marked]').click()")
    assert ids(page) == [0, 1]
    page.value("byId('save').click()")
    saved = tab.downloaded("huatuo_ifd.marks.json")
    assert json.loads(saved) == {
        "of": {"name": "huatuo_ifd", "sha256": "ab" * 32},
        "marks": {f"{0:016x}": "keep", f"{1:016x}": "drop"},
        "note": {f"{1:016x}": "wrong dose"},
    }
    # Pressed again, a mark is taken back; another set has marks of its own.
    page.press("j")
    page.press("y")
    assert texts(page, "#save") == ["save 1 mark"]
    other = opened(replace(report_of(), sha256="cd" * 32))
    assert texts(other, "#save") == ["save 0 marks"]


def test_the_map_by_mouse(opened):
    page = opened()
    at = on_map(page, 7)
    page.mouse("mouseMoved", *at, pressed=False)
    assert texts(page, "#card code") == [f"{7:016x}"]
    for kind in ("mousePressed", "mouseReleased"):
        page.mouse(kind, *at)
    page.mouse("mouseMoved", *on_map(page, 9), pressed=False)
    assert texts(page, "#card code") == [f"{7:016x}"]  # a click holds it
    x, y = at
    page.mouse("mousePressed", x - 12, y - 12)
    for across, down in ((0, -12), (12, -12), (12, 12), (-12, 12), (-12, 0)):
        page.mouse("mouseMoved", x + across, y + down)
    page.mouse("mouseReleased", x - 12, y - 10)
    assert 7 in ids(page)
    assert len(ids(page)) < 5
    assert texts(page, "#area") == [f"in the area {len(ids(page))}"]
    assert page.value("byId('area').getAttribute('aria-pressed')") == "true"


def test_the_map_by_finger_and_in_its_colours(opened):
    page = opened(width=390)
    at = on_map(page, 3)
    page.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": at[0], "y": at[1]}])
    page.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    page.wait("document.querySelector('#card code')")
    assert texts(page, "#card code") == [f"{3:016x}"]
    assert page.value("getComputedStyle(byId('map')).touchAction") == "auto"  # it scrolls
    # As many pixels of a colour as there are dots; in the dark they are others.
    pixels = """(() => {
      const [r, g, b] = byId('legend').firstChild.firstChild.style.background.match(/\\d+/g);
      const { data } = byId('map').getContext('2d').getImageData(0, 0, 390, 290);
      let found = 0;
      for (let at = 0; at < data.length; at += 4) {
        found += data[at] == r && data[at + 1] == g && data[at + 2] == b && data[at + 3] == 255;
      }
      return [r + ' ' + g + ' ' + b, found];
    })()"""
    light, found = page.value(pixels)
    assert 4 * 10 < found < 4 * 40  # four kept rows of 6.4 pixels across, one of them held
    page.prefer("dark")
    page.wait(f"{pixels}[0] !== '{light}'")
    assert 4 * 10 < page.value(pixels)[1] < 4 * 40
    page.value("all('[data-colour]').at(-1).click()")
    assert texts(page, "#legend > span") == ["内科", "外科", "儿科"]


def test_another_budget(opened):
    page = opened()
    assert texts(page, "#budget-keeps")[0].startswith("10 % keeps 4 rows, ")
    page.value("byId('budget').focus()")
    page.press("ArrowRight")
    assert texts(page, "#budget-keeps")[0].startswith("20 % keeps 8 rows, ")
    assert texts(page, "#edge code") == [f"{7:016x}"]


def test_pairs_stand_side_by_side(opened):
    page = opened(pairs_report(), "show=all")
    first = "#list article:first-child"
    assert texts(page, f"{first} h4") == ["system", "user", "chosen", "rejected"]
    assert "".join(texts(page, f"{first} .d")) == "喝水，多，少喝酒"
    left, right = page.value(
        "all('#list article:first-child .sides section').map((one) => one.getBoundingClientRect())"
        ".map(({ top, left, right }) => [top, left, right])"
    )
    assert left[0] == right[0]
    assert left[2] < right[1]


def test_printed_are_the_first_five_of_each_list_and_no_buttons(opened):
    page = opened(report_of(40), "q=nothing")
    page.prefer(media="print")
    page.value("dispatchEvent(new Event('beforeprint'))")
    assert [len(each) for each in (texts(page, "#list h3:not(.facts)"), ids(page))] == [5, 23]
    assert texts(page, "#list > h3")[0] == "highest kept 4"
    visible = "all('button, input').filter((one) => one.getClientRects().length).length"
    assert page.value(visible) == 0
    page.prefer("light")
    page.value("dispatchEvent(new Event('afterprint'))")
    assert ids(page) == []


def test_a_browser_that_cannot_unpack_says_so(opened, tab, tmp_path):
    path = tmp_path / "broken.html"
    page = draw(report_of())
    start = page.index('data-coding="') + 60
    path.write_text(page[:start] + "AAAA" * 9 + page[start + 36 :], encoding="utf-8")
    tab.open(path)
    tab.wait("document.querySelector('#list .finding')")
    assert "This browser cannot show the rows" in texts(tab, "#list .finding")[0]
