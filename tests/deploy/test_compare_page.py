"""The page: rows are data whatever they say; filter, search and layout as a browser shows them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from curate.errors import ModelError
from curate.page.document import paragraph
from curate.page.document import shown as escaped
from deploy.compare.comparison import Comparison
from deploy.compare.pairs import Verdict
from deploy.compare.report import page, write
from deploy.output import default_name
from tests.browser import Page, Tags, browser, opened_browser
from tests.conftest import SAMPLE
from tests.deploy.comparing import compared, fake_judge

EVIL = (
    "</script></p></article><img src=x onerror=\"document.title='hacked'\">"
    "<script>document.title='hacked'</script><a href='javascript:alert(1)'>&lt;b&gt;\x00\u202e"
)


@pytest.fixture
def made(scratch_cache: Path) -> Comparison:
    """Ten real questions and a hostile one: 3 better, 3 worse, 2 ties, identical, empty, failed."""
    rows = json.loads(SAMPLE.read_text(encoding="utf-8"))[:10]
    texts = {r["conversations"][0]["value"]: r["conversations"][1]["value"] for r in rows}
    asked = list(texts)
    base = {each: f"基础回答：{texts[each][:60]}" for each in asked}
    tuned = {each: f"微调回答：{texts[each][:80]}" for each in asked}
    tuned[asked[7]], tuned[asked[8]], tuned[asked[9]] = base[asked[7]], "", ModelError
    texts[EVIL] = base[EVIL] = EVIL
    tuned[EVIL] = f"<!-- {EVIL}"
    better = iter(("tuned", "tuned", "tuned", "base", "base", "tie", "tie", "base"))
    return compared(texts, base, tuned, fake_judge(lambda pair: Verdict(next(better), "reward")))


def test_nothing_of_a_row_is_markup(made):
    parser = Tags()
    parser.feed(page(made))
    tags = [tag for tag, _ in parser.found]
    assert tags.count("script") == tags.count("style") == tags.count("main") == 1
    assert tags.count("article") == 11
    assert not {"img", "a", "link", "iframe", "b"} & set(tags)
    attributes = {name for _, pairs in parser.found for name in pairs}
    assert not {each for each in attributes if each.startswith("on")} | attributes & {"src", "href"}
    assert "style" not in attributes  # the policy would not let it work


def test_the_page_loads_nothing_and_runs_only_its_own_script(made):
    text = page(made)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.findall(r"(?:url\(|@import|https?://)", text)


def test_texts_are_escaped_and_in_their_language():
    assert escaped("\x00a\tb\n<&\"'>") == "\ufffda\tb\n&lt;&amp;&#34;&#39;&gt;"
    assert paragraph("高血压") == '<p class="text" dir="auto" lang="zh-Hans">高血压</p>'
    assert 'lang="en"' in paragraph("a headache")
    assert "lang" not in paragraph("140/90")


def test_the_files_have_the_same_bytes_each_time(made, tmp_path):
    for each in "ab":
        (tmp_path / each).mkdir()
    first = write(made, tmp_path / "a", "x", 1.0)
    second = write(made, tmp_path / "b", "x", 2.0)
    assert [each.read_bytes() for each in first[:2]] == [each.read_bytes() for each in second[:2]]
    lines = [json.loads(line) for line in first[1].read_text(encoding="utf-8").splitlines()]
    assert [line["kind"] for line in lines] == [each.kind for each in made.pairs]
    assert lines[-1]["base"]["text"] == EVIL
    told = json.loads(first[2].read_text(encoding="utf-8"))
    assert (told["asked"], told["answered"], told["failed"]) == (11, 10, {"base": 0, "tuned": 1})
    assert sorted(each.name for each in (tmp_path / "a").iterdir()) == [
        *("x.html", "x.jsonl", "x.manifest.json"),
    ]


@pytest.mark.parametrize(
    ("base", "tuned", "name"),
    [
        ("smollm2", "saves/huatuo_ifd/", "huatuo_ifd_beside_smollm2"),
        ("http://127.0.0.1:8000/v1", "https://h/v1#o/m 2", "m_2_beside_127.0.0.1_8000"),
        ("..", "/", "model_beside_model"),
    ],
)
def test_names_of_files(base, tuned, name):
    assert default_name(tuned, "beside", base) == name
    assert default_name("字" * 99, "beside", base).startswith("字" * 66)


# In a browser


@pytest.fixture
def opened(made: Comparison, tmp_path: Path) -> Iterator[Page]:
    """The page, open."""
    path = tmp_path / "page.html"
    path.write_text(page(made), encoding="utf-8")
    with opened_browser(tmp_path) as tab:
        tab.open(path)
        yield tab


def shown(tab: Page) -> list[int]:
    ids = tab.value("[...document.querySelectorAll('article:not([hidden])')].map((one) => one.id)")
    return [int(each[1:]) for each in ids]


@browser
def test_filter_and_search_in_a_browser(opened, tmp_path):
    assert shown(opened) == list(range(1, 12))
    assert opened.value("document.getElementById('count').textContent") == "11 of 11 shown"
    assert opened.value("document.title") == "tuned-model beside base-model"  # nobody hacked it
    (asked_for,) = opened.requests
    assert (asked_for, opened.complaints) == ((tmp_path / "page.html").as_uri(), [])
    opened.open(tmp_path / "page.html", f"show=changed&q={quote('微调回答')}")
    assert shown(opened) == [1, 2, 3, 4, 5, 6, 7]
    opened.open(tmp_path / "page.html", f"q={quote('ONERROR=')}&diff=1")
    assert shown(opened) == [11]
    assert opened.value("document.body.className") == "diff"
    opened.open(tmp_path / "page.html", f"q={quote('微调回答 -微调')}")
    assert shown(opened) == []


@browser
def test_marked_texts_say_what_the_texts_say(opened, made):
    texts = "[...document.querySelectorAll('article')].map((one) => one.textContent)"
    before = opened.value(texts)
    opened.press("d")
    assert opened.value(texts) == before
    marked = opened.value("[...document.querySelectorAll('#p1 .d')].map((one) => one.textContent)")
    assert "".join(marked).startswith("基础微调")
    assert opened.value("document.querySelectorAll('#p8 .d').length") == 0  # identical


@browser
def test_what_only_one_of_two_texts_has(opened):
    for first, second, *only in (
        ("多喝水，多休息。", "多休息，少喝酒。", "喝水，多", "，少喝酒"),
        ("take one pill", "take two pills", "onepill", "twopills"),
        ("a <b> c", "a <i> c", "b", "i"),
        ("same", "same", "", ""),
        ("", "x", "", "x"),
    ):
        sides = opened.value(
            f"differences({json.dumps(first)}, {json.dumps(second)}).map((side) => ["
            "side.map((run) => run.textContent ?? run).join(''),"
            "side.filter((run) => run.textContent).map((run) => run.textContent).join('')])"
        )
        assert sides == [[first, only[0]], [second, only[1]]]


@browser
def test_the_keyboard_and_a_narrow_window(opened, tmp_path):
    opened.open(tmp_path / "page.html", width=390)
    by_button = {}
    for at in range(opened.value("document.querySelectorAll('[data-show]').length")):
        button = f"document.querySelectorAll('[data-show]')[{at}]"
        opened.value(f"{button}.click()")
        assert opened.value(f"{button}.getAttribute('aria-pressed')") == "true"
        by_button[opened.value(f"{button}.textContent")] = shown(opened)
    assert by_button == {
        "All 11": list(range(1, 12)),
        "Better 3": [1, 2, 3],
        "Worse 4": [4, 5, 9, 11],
        "Tie 2": [6, 7],
        "Changed 9": [1, 2, 3, 4, 5, 6, 7, 9, 11],
        "Identical 1": [8],
        "Empty 1": [9],
        "No answer 1": [10],
    }
    opened.value("document.querySelector('[data-show=\"worse\"]').click()")
    for key, there in (("j", "p4"), ("j", "p5"), ("k", "p4")):
        opened.press(key)
        assert opened.value("document.activeElement.id") == there
    opened.press("d")
    assert opened.value("[document.body.className, location.hash]") == [
        "diff",
        "#show=worse&diff=1",
    ]
    opened.press("/")
    assert opened.value("document.activeElement.id") == "search"
    opened.press("z")
    assert opened.value("document.getElementById('count').textContent") == "0 of 11 shown"
    opened.press("Escape")
    assert opened.value("document.getElementById('count').textContent") == "4 of 11 shown"
    assert opened.value("document.documentElement.scrollWidth <= innerWidth")
