"""The page: rows are data whatever they say; filter, search and layout as a browser shows them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

from curate.errors import ModelError
from deploy.compare.comparison import Comparison
from deploy.compare.judge import Verdict
from deploy.compare.report import default_name, differences, page, paragraph, write
from deploy.compare.report import shown as escaped
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


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


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


@pytest.mark.parametrize(
    ("first", "second"),
    [("多喝水，多休息。", "多休息，少喝酒。"), ("a <b> c", "a <i> c"), ("", "x"), (EVIL, "<p>")],
)
def test_marked_texts_say_what_the_texts_say(first, second):
    for marked, text in zip(differences(first, second), (first, second), strict=True):
        assert re.sub(r'<span class="d">|</span>', "", marked) == escaped(text)
        for shown in re.findall(r"<(\w+)", marked):
            assert shown == "span"


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
    assert default_name(base, tuned) == name


# In a browser

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--no-first-run", "--hide-scrollbars", "--virtual-time-budget=2000"),
)


@pytest.fixture
def opened(made: Comparison, tmp_path: Path) -> Callable[..., str]:
    """Open the page with a state in its address; return the document as it then is."""
    path = tmp_path / "page.html"
    path.write_text(page(made), encoding="utf-8")

    def open_(state: str = "", text: str | None = None, *options: str) -> str:
        if text is not None:
            path.write_text(text, encoding="utf-8")
        command = [str(CHROMIUM), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", *options]
        address = f"file://{path}#{state}" if state else f"file://{path}"
        run = subprocess.run(
            [*command, "--dump-dom", address],
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=True,
        )
        return run.stdout

    return open_


def shown(document: str) -> list[int]:
    parser = Tags()
    parser.feed(document)
    articles = [pairs for tag, pairs in parser.found if tag == "article"]
    return [int(str(each["id"])[1:]) for each in articles if "hidden" not in each]


@browser
def test_filter_and_search_in_a_browser(opened):
    everything = opened()
    assert shown(everything) == list(range(1, 12))
    assert ">11 of 11 shown<" in everything
    assert "<title>tuned-model beside base-model</title>" in everything  # nobody hacked it
    assert shown(opened(f"show=changed&q={quote('微调回答')}")) == [1, 2, 3, 4, 5, 6, 7]
    marked = opened(f"q={quote('ONERROR=')}&diff=1")
    assert shown(marked) == [11]
    assert '<body class="diff">' in marked


KEYS = """
<script>addEventListener("load", () => {
  const press = (key, on) => (on ?? document.body).dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  const said = [];
  for (const each of document.querySelectorAll("[data-show]")) {
    each.click();
    const ids = [...document.querySelectorAll("article:not([hidden])")].map((one) => one.id);
    said.push(`${each.textContent}: ${ids.join(" ")}`);
  }
  document.querySelector('[data-show="worse"]').click();
  press("j"); said.push(document.activeElement.id);
  press("j"); said.push(document.activeElement.id);
  press("k"); said.push(document.activeElement.id);
  press("d"); said.push(document.body.className, location.hash);
  press("/"); said.push(document.activeElement.id);
  const search = document.getElementById("search");
  search.value = "zzz"; search.dispatchEvent(new Event("input"));
  said.push(document.getElementById("count").textContent);
  press("Escape", search); said.push(document.getElementById("count").textContent);
  said.push(document.documentElement.scrollWidth <= innerWidth ? "fits" : "too wide");
  document.title = said.join(" | ");
});</script></body>"""


@browser
def test_the_keyboard_and_a_narrow_window(opened, made):
    # Without the policy, a second script can press keys as a person would.
    text = re.sub(r"<meta http-equiv[^>]+>", "", page(made)).replace("</body>", KEYS)
    document = opened("", text, "--window-size=390,800")
    (title,) = re.findall("<title>(.*?)</title>", document)
    assert title.split(" | ") == [
        "All 11: p1 p2 p3 p4 p5 p6 p7 p8 p9 p10 p11",
        *("Better 3: p1 p2 p3", "Worse 4: p4 p5 p9 p11", "Tie 2: p6 p7"),
        *("Changed 9: p1 p2 p3 p4 p5 p6 p7 p9 p11", "Identical 1: p8", "Empty 1: p9"),
        "No answer 1: p10",
        *("p4", "p5", "p4", "diff", "#show=worse&amp;diff=1", "search"),
        *("0 of 11 shown", "4 of 11 shown", "fits"),
    ]
