"""What a user of Jupyter meets: every cell here runs in a real kernel."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.calling import share_models
from tests.conftest import ROOT, SAMPLE
from tests.kernel import Kernel, kernel

PNG = b"\x89PNG"
GONE = {"text/html": "", "text/plain": ""}
MONEY = "It costs $5 and then $10, \\(x^2\\) <script>alert(1)</script> **b**"


def write(folder: Path) -> None:
    """Write what the cells read: 12 short rows of the sample, texts, and rows with odd ones."""
    rows = json.loads(SAMPLE.read_text(encoding="utf-8"))
    short = sorted(rows, key=lambda row: len(json.dumps(row)))[:12]
    odd = [{"instruction": f"{MONEY} {n}", "output": f"$\\frac{{1}}{{{n}}}$"} for n in range(5)]
    odd.append({"instruction": "half a pair \ud800 and \u202eback", "output": "\u2028 line"})
    texts = [{"text": f"a text for pre-training, number {n}"} for n in range(9)]
    for name, values in {"mine": short, "odd": odd, "texts": texts}.items():
        (folder / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel beside the files, which knows the rows of the sample."""
    folder = tmp_path_factory.mktemp("kernel")
    write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CURATRAIN_CACHE", str(folder / "cache"))
        with kernel(folder) as running:
            running.run(f"import sys; sys.path.insert(0, {str(ROOT)!r})")
            assert running.run("import curate; rows = curate.read('mine.json')") == []
            yield running


# Figures


@pytest.mark.parametrize(
    "code",
    [
        "curate.score(rows, 'length').plot()",
        "curate.dedup(rows).plot()",
        "curate.select(rows, recipe='longest').plot()",
        "rows.plot()",
        *(
            pytest.param(code, marks=pytest.mark.model)
            for code in (
                "curate.car(rows).plot()",
                "curate.mods(rows, min_quality='40%').plot()",
                "curate.select(rows, recipe='clusters').plot()",
                "curate.select(rows, recipe='like', like='odd.json').plot()",
            )
        ),
        "curate.mix(domain='mine.json', general='odd.json', ratio='4:1').plot()",
    ],
)
def test_a_figure_is_a_picture(cells, code):
    *_, shown = cells.run(code)
    assert base64.b64decode(shown["data"]["image/png"]).startswith(PNG)
    assert shown["data"]["text/plain"].startswith("figure: ")


def test_a_draw_is_a_sentence_and_ranks_nothing(cells):
    (shown,) = cells.run("drawn = curate.select(rows, recipe='random'); drawn.plot()")
    assert "drawn at random" in shown["data"]["text/plain"]
    assert "image/png" not in shown["data"]
    assert "highest" not in cells.shown("drawn")


# Progress


def test_progress_is_one_line_that_is_gone_at_the_end(cells):
    code = """
    import time
    from curate.console import progress
    line, began = progress("counting"), time.monotonic()
    line.start(rows=50, total=1000, done=0)
    for _ in range(1000):
        line.advance(1)
        time.sleep(0.001)
    line.stop()
    print(time.monotonic() - began)
    """
    before = len(cells.updates)
    shown, printed = cells.run(re.sub("^    ", "", code.strip(), flags=re.M))
    *during, last = cells.updates[before:]
    assert shown["data"] == last == GONE
    assert 1 <= len(during) <= 5 * float(printed["text"]) + 1
    assert all(
        re.fullmatch(
            r"<progress max='1' value='0\.\d+'></progress> counting: .+", each["text/html"]
        )
        for each in during
    )
    assert re.fullmatch(r"counting: \d+%, [\d.]+ rows/s, \d+ s left", during[-1]["text/plain"])


def test_a_kernel_that_is_interrupted_has_no_bar_and_goes_on(cells):
    cells.run(
        "import os, signal, threading, time\n"
        "from tests.fake import FakeModel\n"
        "from curate.engine import open_engine\n"
        "from curate.scorers import ifd\n"
        "class Slow(FakeModel):\n"
        "    def span_nll(self, batch):\n"
        "        time.sleep(0.2)\n"
        "        return super().span_nll(batch)\n"
        "def score(seconds):\n"
        "    model = Slow(budget=1)\n"
        "    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))\n"
        "    timer.start()\n"
        "    try:\n"
        "        ifd.score(rows, ifd.IFDParams(), model, open_engine())\n"
        "    finally:\n"
        "        timer.cancel()\n"
        "        print(len(model.asked))\n"
    )
    *bars, asked, error = cells.run("score(1)")
    assert [bar["data"] for bar in bars] == [GONE] * len(bars) != []
    assert error["ename"] == "KeyboardInterrupt"
    *_, rest = cells.run("score(100)")
    again, none = cells.run("score(100)")
    assert "an earlier run computed all of this" in again["data"]["text/plain"]
    assert none["text"] == "0\n"
    first, second = int(asked["text"]), int(rest["text"])
    assert first > 0
    assert second > 0
    # 12 rows are two sequences each; what the two workers had in hand is asked again.
    assert 24 <= first + second <= 26


def test_a_bar_is_gone_when_removing_duplicates_is_interrupted(cells):
    code = (
        "from curate.recipes import dedup\n"
        "def stop(*_, **__):\n"
        "    raise KeyboardInterrupt\n"
        "dedup.first_kept, whole = stop, dedup.first_kept\n"
        "try:\n"
        "    curate.dedup(rows)\n"
        "finally:\n"
        "    dedup.first_kept = whole"
    )
    *bars, error = cells.run(code)
    assert [bar["data"] for bar in bars] == [GONE] * len(bars) != []
    assert error["ename"] == "KeyboardInterrupt"


def test_what_a_cell_starts_prints_lines_and_moves_no_cursor(cells):
    code = "!{sys.executable} -m curate dedup --input mine.json --output data"
    said = "".join(each["text"] for each in cells.run(code))
    assert "is registered for LLaMA-Factory" in said
    assert not re.search(r"\x1b\[[\d;?]*[A-HJKSTflh]", said)


# Errors and notes


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("curate.ifd(rows, keep='0')", r"UsageError: keep=0: allowed are .+"),
        ("curate.read('missing.json')", r"DataError: no file 'missing\.json'.+"),
        ("curate.mods(rows, min_quality='x')", r'UsageError: min_quality="x": .+'),
    ],
)
def test_an_error_is_one_line_in_the_words_of_python(cells, code, line):
    (error,) = cells.run(code)
    (shown,) = error["traceback"]
    assert re.fullmatch(line, shown)
    assert "--" not in shown


def test_notes_speak_python(cells):
    twice = "curate.read([{'instruction': 'a {{name}}', 'output': 'b'}] * 3)"
    html = cells.shown(twice)
    assert "fill them in with fill={&quot;name&quot;: &quot;…&quot;}" in html
    html = cells.shown("curate.score([{'instruction': 'a', 'output': 'b'}] * 3, 'length')")
    assert "`curate.dedup()` leaves repeats out" in html


# Row text


def test_row_text_is_shown_as_it_is(cells):
    cells.run("odd = curate.score('odd.json', 'length')")
    for code in (
        "odd",
        "odd.top(6)",
        "odd.scores[odd.scores.kept].head(2)",
        "odd.nearest_misses()",
        "curate.read('odd.json').to_pandas()",
    ):
        html = cells.shown(code)
        assert re.search("<table[^>]*tex2jax_ignore mathjax_ignore", html), code
        assert "<script>" not in html
    assert MONEY.replace("<", "&lt;").replace(">", "&gt;") in cells.shown("odd.top(6)")
    code = "import pandas; isinstance(odd.top(1), pandas.DataFrame)"
    assert cells.run(code)[0]["data"]["text/plain"] == "True"


def test_rows_show_themselves_as_cards(cells):
    cells.run("some = curate.read('odd.json'); odd = curate.score(some, 'length')")
    shown = MONEY.replace("<", "&lt;").replace(">", "&gt;")
    for code, count in (
        ("some[0]", 1),
        ("some[1:4]", 3),
        ("some[[5, 0]]", 2),
        ("odd.show(9)", 5),
        ("curate.mix(domain=some, general='mine.json', ratio='1:1').show(12)", 10),
        ("curate.compare(odd, rows)", 10),
    ):
        html = cells.shown(code)
        assert html.count("<div class='tex2jax_ignore mathjax_ignore'") == count, code
        assert shown in html
        assert "<script>" not in html
    assert "half a pair \\ud800 and \\u202eback" in cells.shown("some[5]")
    *_, figure = cells.run("curate.compare(odd, rows).plot()")
    assert base64.b64decode(figure["data"]["image/png"]).startswith(PNG)
    (error,) = cells.run("some['35bb']")
    assert error["traceback"] == [
        "NoSuchRow: none of 6 rows here has the id '35bb'; ids stand in .ids, in the column `id` "
        "of scores and on cards"
    ]


def test_half_a_surrogate_pair_reaches_the_browser(cells):
    code = (
        "from IPython.display import HTML\n"
        "from curate.notebook.tables import html_table\n"
        "HTML(html_table([(curate.read('odd.json')[5].prompt,)]))"
    )
    assert "half a pair ? and" in cells.shown(code)


def test_rows_say_what_they_hold(cells):
    texts = cells.shown("curate.read('texts.json')")
    assert "response" not in texts
    assert "prompt, characters" in texts
    (shown,) = cells.run("repr(curate.score(rows, 'length'))")
    assert shown["data"]["text/plain"] == "'score: 12 of 12 rows kept; none dropped'"


def test_completion_offers_all_there_is(cells):
    code = "sorted(set(curate._HOME) - set(dir(curate)) - set(curate.__all__))"
    assert cells.run(code)[0]["data"]["text/plain"] == "[]"


# Whole notebooks


NOTEBOOK = (
    "import curate\nrows = curate.read('mine.json')\nrows",
    "cherry = curate.ifd(rows, keep='25%')\ncherry",
    "cherry.plot()",
    "cherry.top(2)",
    "curate.mods(rows, min_quality='40%').plot()",
    "curate.dedup(rows)",
    "curate.ifd(rows, keep='0')",
)


@pytest.mark.model
@pytest.mark.timeout(600)
def test_a_notebook_is_the_same_bytes_every_time(tmp_path, monkeypatch):
    files = []
    for run in ("first", "second"):
        folder = tmp_path / run
        folder.mkdir()
        write(folder)
        monkeypatch.setenv("CURATRAIN_CACHE", str(share_models(folder / "cache")))
        book = nbformat.v4.new_notebook()
        book.cells = [
            nbformat.v4.new_code_cell(code, id=f"cell-{n}") for n, code in enumerate(NOTEBOOK)
        ]
        NotebookClient(
            book,
            timeout=300,
            kernel_name="python3",
            allow_errors=True,
            record_timing=False,
            resources={"metadata": {"path": str(folder)}},
        ).execute()
        book.metadata["language_info"].pop("version")
        files.append(nbformat.writes(book))
    assert files[0] == files[1]
    assert str(tmp_path) not in files[0]
    assert "widget" not in files[0]
    outputs = [output for cell in json.loads(files[0])["cells"] for output in cell["outputs"]]
    # Nothing but what we show: no bar, no warning, no log of another library.
    assert {each["output_type"] for each in outputs} == {
        *("display_data", "execute_result", "error")
    }
    assert sum("image/png" in each.get("data", {}) for each in outputs) == 2
    for each in outputs:
        if each["output_type"] == "display_data":
            said = "".join(each["data"]["text/plain"])
            assert said == "" or said.endswith("nothing is computed anew")


@pytest.mark.model
def test_the_first_tokenizer_of_a_kernel_is_read_without_a_word(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setenv("CURATRAIN_CACHE", str(share_models(tmp_path / "cache")))
    with kernel(tmp_path) as running:
        running.run(f"import sys; sys.path.insert(0, {str(ROOT)!r}); import curate")
        tokens = (
            "curate.select('mine.json', recipe='random', keep=3, tokenizer='smollm2').tokens.by"
        )
        (shown,) = running.run(tokens)
    assert shown["data"]["text/plain"] == "'smollm2'"
