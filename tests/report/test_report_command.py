"""`curate report`: rows that are found again or not, files, bytes, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curate
from curate.choices.selection import Selection
from curate.data.read import read
from curate.errors import OutputError, UsageError
from curate.parameters.select import SelectParams
from curate.reports import page_rows
from curate.reports.chosen import choice_of
from curate.reports.gather import gather
from curate.reports.on_disk import read_choice
from curate.reports.page import draw
from curate.scorers.contract import Scores
from curate.selectors import top_k
from curate.selectors.kept_and_dropped import Candidates, scored
from tests.calling import Caller
from tests.report.test_page import data_of

SIZE = 30
TOKENS = [123_457.0, 123_457.5] * 15


@pytest.fixture
def call(capsys):
    return Caller(capsys)


@pytest.fixture
def source(write_json, scratch_cache):
    letters = [chr(0x4E00 + n) for n in range(SIZE)]
    values = [{"instruction": f"问{a}", "output": a * (n + 1)} for n, a in enumerate(letters)]
    values[4]["output"] = ""
    return write_json(values, "rows.json")


def selection_of(rows, keep=6):
    """Return a choice by made-up scores that fall from row to row."""
    status = np.array([row.flaw or "ok" for row in rows], dtype=object)
    values = np.where(status == "ok", 1 - np.arange(len(rows)) / len(rows), np.nan)
    candidates = Candidates(scored(status), rows.ids, values=values)
    choice = top_k.select(candidates, top_k.TopKParams(k=keep))
    params = SelectParams(by="reward", keep=keep)
    scores = Scores(status, {"reward": pa.array(values)})
    return Selection("select", params, rows, scores, choice, "reward", {})


@pytest.fixture
def folder(source, tmp_path):
    curate.emit(selection_of(read(source)), tmp_path / "data", name="good")
    return tmp_path / "data"


def shown(folder, name="good", **how):
    return gather(read_choice(name, folder, **how), with_map=False)


def test_the_page_holds_what_manifest_and_scores_say(call, folder):
    answer = call("report", "good", "--dataset-dir", folder, "--no-map", "--json")
    assert answer.code == 0, answer.err
    page = folder / "good.report.html"
    assert json.loads(answer.out) == {"name": "good", "files": [str(page)]}
    text = page.read_text(encoding="utf-8")
    data = data_of(text)
    scores = pq.read_table(folder / "good.scores.parquet").to_pylist()
    manifest = json.loads((folder / "good.manifest.json").read_text(encoding="utf-8"))
    assert data["rows"]["id"] == [line["id"] for line in scores]
    assert data["rows"]["reason"] == [line["reason"] for line in scores]
    assert data["sha256"] == manifest["output"]["sha256"]
    kept = [place for place, line in enumerate(scores) if line["kept"]]
    assert {key: places for key, places, _ in data["views"]}["kept"] == kept
    assert f"{len(kept)} of {len(scores)} rows are kept" in text
    assert "no score: empty_response" in text
    # No folder of this machine, no time: the same bytes wherever and whenever it is written.
    assert str(folder.parent) not in text
    call("report", "good", "--dataset-dir", folder, "--no-map", "--output", folder / "again.html")
    assert (folder / "again.html").read_bytes() == page.read_bytes()


def test_rows_that_are_gone_from_the_cache_are_asked_for(folder, source, scratch_cache, call):
    whole = shown(folder)
    shutil.rmtree(scratch_cache / "rows")
    alone = shown(folder)
    assert [row.id for row in alone.rows] == [row.id for row in whole.rows if not row.reason]
    assert alone.rows[0].messages == whole.rows[0].messages
    assert alone.funnel == whole.funnel
    assert [view.rows for view in alone.views] == [view.rows for view in whole.views]
    assert any("rows.json are not in the cache any more" in text for _, text in alone.warnings)
    assert "6 of 30 rows" in alone.left_out
    # What is known of kept rows alone is said of no others.
    assert all(line in whole.beside for line in alone.beside)
    assert all(cover in whole.covers for cover in alone.covers)
    assert not {shown.name for shown in alone.figures} & {"response, characters"}
    assert shown(folder, inputs=[source]).rows == whole.rows
    shutil.rmtree(scratch_cache / "rows")
    shutil.move(source, source.with_name("moved.json"))
    assert shown(folder, inputs=[source.with_name("moved.json")]).rows == whole.rows
    other = source.with_name("other.json")
    other.write_text('[{"instruction": "a", "output": "b"}]', encoding="utf-8")
    where = ("report", "good", "--dataset-dir", folder)
    call.refused("other.json: its sha256 is .* made of rows.json", *where, "--input", other)


def test_equal_rows_and_drawn_rows_are_found_by_what_they_say(write_json, scratch_cache, tmp_path):
    values = [{"instruction": f"q{n % 7}", "output": f"a{n % 7}"} for n in range(SIZE)]
    rows = read(write_json(values))
    some = curate.select(rows, recipe="random", keep=5, limit=12, seed=2)
    curate.emit(some, tmp_path / "data", name="some")
    report = shown(tmp_path / "data", "some")
    ids = pq.read_table(tmp_path / "data" / "some.scores.parquet", columns=["id"])["id"]
    assert [row.id for row in report.rows] == ids.to_pylist()
    assert len(report.rows) == 12
    by_id = {row.id.partition("-")[0]: row for row in report.rows}
    for row in rows:
        if row.id in by_id:
            texts = dict(by_id[row.id].messages)
            assert (texts["user"], texts["assistant"]) == (row.prompt, row.response)


def test_what_is_not_there_or_has_no_scores_is_one_line(call, folder):
    where = ("--dataset-dir", folder)
    call.refused("no data set 'goud' in .* Did you mean 'good'", "report", "goud", *where)
    call.refused("no data set", "report", "../data/good", *where)
    call.refused("no data set", "report", "good", "--dataset-dir", folder / "none")
    call.refused(
        "curate ls --dataset-dir '.*a b'. lists", "report", "x", "--dataset-dir", folder / "a b"
    )
    call.refused("is a folder; give a file in it", "report", "good", *where, "--output", folder)
    call.refused("--points 0: allowed", "report", "good", *where, "--points", "0")
    call.refused("leave --no-map out", "report", "good", *where, "--table", "--no-map")
    call.refused("no file 'nothing.json'", "report", "good", *where, "--input", "nothing.json")
    entries = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    entries["mine"] = {"file_name": "mine.json"}
    (folder / "dataset_info.json").write_text(json.dumps(entries), encoding="utf-8")
    call.refused("'mine' in .* has no scores .*curate score", "report", "mine", *where)
    scores = folder / "good.scores.parquet"
    scores.write_bytes(b"nothing")
    call.refused("'good' in .* has no scores that can be read", "report", "good", *where)
    pq.write_table(pa.table({"id": ["a"]}), scores)
    call.refused("'good' in .* has no scores that can be read", "report", "good", *where)
    scores.unlink()
    call.refused("'good' in .* has no scores that can be read", "report", "good", *where)
    with pytest.raises(UsageError, match="int is nothing that a recipe has chosen"):
        curate.report(3)


def test_a_file_that_was_changed_and_what_training_would_lose_come_first(folder):
    assert not any("curate" in text for _, text in shown(folder).warnings)
    with (folder / "good.jsonl").open("a", encoding="utf-8") as out:
        out.write('{"instruction": "", "output": ""}\n')
    (kind, first), (other, second) = shown(folder).warnings[:2]
    assert (kind, other) == ("finding", "finding")
    assert "good.jsonl is no more what curate wrote" in first
    assert re.match("curate doctor: [a-z_]+: 1 rows?: ", second)


@pytest.mark.model
def test_a_map_of_kept_rows_alone_says_so(folder, scratch_cache):
    shutil.rmtree(scratch_cache / "rows")
    report = gather(read_choice("good", folder))
    assert "6 of 30 are here: all whose texts are here" in report.map_note
    (cluster,) = report.covers
    assert cluster.note == "of the 6 rows on the map, whose texts are here"


def test_keys_of_rows_may_be_named_as_ours(write_json, scratch_cache):
    names = ("cluster", "source", "language", "kept")
    values = [
        {"instruction": f"q{n}", "output": "a" * (1 + n % 9), **dict.fromkeys(names, "xy"[n % 2])}
        for n in range(SIZE)
    ]
    report = gather(
        with_column(choice_of(selection_of(read(write_json(values)))), "cluster", [0, 1, 2] * 10),
        with_map=False,
    )
    keys = [cover.key for cover in report.covers]
    others = (f"{key} (of the row)" for key in ("cluster", "language", "source"))
    assert sorted(keys) == sorted(["cluster", "kept", *others])
    draw(report)


def with_column(chosen, name, values):
    return replace(chosen, table=chosen.table.append_column(name, [values]))


def test_counts_are_whole_and_other_numbers_have_five_digits(source):
    chosen = with_column(
        choice_of(selection_of(read(source))), "tokens", [123_457.0, 123_457.5] * 15
    )
    report = gather(chosen, with_map=False)
    assert [row.numbers["tokens"] for row in report.rows[:2]] == [123_457, 123_460]


def test_bytes_are_kept_whatever_the_rows(write_json, scratch_cache, monkeypatch):
    rng = np.random.default_rng(0)
    letters = rng.choice([chr(0x4E00 + n) for n in range(3000)], (600, 300))
    values = [{"instruction": f"q{n}", "output": "".join(line)} for n, line in enumerate(letters)]
    rows = read(write_json(values))
    monkeypatch.setattr(page_rows, "BYTES", 200_000)
    monkeypatch.setattr(page_rows, "_HEAD", 10)
    report = gather(choice_of(selection_of(rows, keep=60)), with_map=False)
    held = {row.id: row for row in report.rows}
    assert 100 < len(held) < 600
    assert re.search(f"holds {len(held)} of 600 rows", report.left_out)
    control = set(curate.control(selection_of(rows, keep=60)).top(60)["id"])
    whole = {row.id for row in report.rows if not row.cut}
    assert set(rows.ids[:60]) | control <= whole
    assert set(rows.ids[60:70]) <= whole  # the nearest misses
    short = [row for row in report.rows if row.cut]
    assert short
    assert all(row.cut == 100 and len(row.messages[1][1]) == 200 for row in short)
    assert f"Of {len(short)} rows it has the beginning" in report.left_out
    views = {view.key: view for view in report.views}
    assert views["all"].rows == 600
    assert len(views["all"].places) == len(held)
    assert len(report.rows[views["near"].places[0]].messages[1][1]) == 300
    for view in report.views:
        assert set(view.places) <= set(range(len(held)))


def test_a_text_as_long_as_a_book_does_not_take_the_page(write_json, scratch_cache):
    values = [{"instruction": f"q{n}", "output": "长" * (10**6 if n == 1 else 9)} for n in range(9)]
    report = gather(choice_of(selection_of(read(write_json(values)), keep=2)), with_map=False)
    assert len(report.rows) == 9
    assert report.rows[1].cut + len(report.rows[1].messages[1][1]) == 10**6
    assert len(report.rows[1].messages[1][1]) < 50_000
    assert "beginning of the text" in report.left_out


@pytest.mark.model
def test_the_table_has_the_map_and_goes_with_its_data_set(call, folder):
    answer = call("report", "good", "--dataset-dir", folder, "--table", "--json")
    assert answer.code == 0, answer.err
    files = json.loads(answer.out)["files"]
    assert [each.rpartition("/")[2] for each in files] == ["good.report.html", "good.map.parquet"]
    table = pq.read_table(files[1]).to_pylist()
    assert len(table) == SIZE - 1  # a row without an answer has no vector
    for line in table:
        assert 0 <= line["x"] <= 1
        assert 0 <= line["y"] <= 1
        assert line["text"].startswith("问")
        assert line["kept"] == (line["reason"] == "")
    assert sum(line["kept"] for line in table) == 6
    assert {"id", "reward", "cluster", "control"} <= set(table[0])
    # They are no rows of a folder, and no data sets.
    assert call("ls", "--dataset-dir", folder).code == 0
    assert len(read(folder)) == 6
    answer = call("rm", "good", "--dataset-dir", folder, "--json")
    removed = json.loads(answer.out)["removed"][0]
    assert {"good.report.html", "good.map.parquet"} <= set(removed["removed"])
    assert removed["stays"] == {}


def test_a_page_that_cannot_be_written_is_one_line(folder, tmp_path, call):
    (tmp_path / "file").touch()
    page = tmp_path / "file" / "page.html"
    where = ("--dataset-dir", folder, "--no-map")
    call.refused(
        "cannot write to .*a file is in the place of the folder",
        "report",
        "good",
        *where,
        "--output",
        page,
    )
    with pytest.raises(OutputError, match="cannot write"):
        selection_of(read(folder / "good.jsonl"), keep=2).report(page)


@pytest.mark.model
def test_python_writes_the_same_page(folder, source, tmp_path):
    path = tmp_path / "a.html"
    selection = selection_of(read(source))
    assert selection.report(path) == path
    assert data_of(path.read_text(encoding="utf-8"))["rows"]
    again = curate.report("good", tmp_path / "b.html", dataset_dir=folder)
    rows = [data_of(each.read_text(encoding="utf-8"))["rows"] for each in (path, again)]
    assert rows[0] == rows[1]
    mixed = curate.mix(domain=source, ratio="1:0")
    assert mixed.report(tmp_path / "m.html").is_file()


def test_what_is_marked_by_hand_is_told(source):
    selection = selection_of(read(source), keep=6)
    ids = selection.rows.ids
    marked = selection.marked({ids[0]: "drop", ids[20]: "keep"})
    report = gather(choice_of(marked), with_map=False)
    stages = {stage.label: stage.rows for stage in report.funnel}
    assert stages["kept"] == marked.summary().kept
    assert stages["kept as marked by hand"] == 1
    assert stages["left out, marked_drop: marked by hand"] == 1
    lost = [stage.rows for stage in report.funnel if stage.kind in ("left_out", "unscored")]
    assert sum(lost) + stages["kept"] == stages["read"] == SIZE
    assert report.budgets == ()  # no budget alone would keep these
    assert [row.id for row in report.rows if not row.reason] == list(ids[marked.choice.kept])


def test_a_manifest_that_is_damaged_or_says_little(call, folder):
    path = folder / "good.manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["sources"][0]["sha256"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    call.refused("good.manifest.json does not say", "report", "good", "--dataset-dir", folder)
    path.write_text(json.dumps({"recipe": "ifd"}), encoding="utf-8")
    report = shown(folder)
    assert (report.rows, report.sha256) == ((), "")
    assert report.verdict.startswith("6 of 30 rows are kept")
    assert "no row is here" in report.left_out
