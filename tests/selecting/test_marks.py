"""Marks: rows that somebody wants kept or dropped, whatever the rule says."""

import hashlib
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import curate
from curate.data.read import read
from curate.errors import DataError, UsageError
from curate.parameters.select import SelectParams
from curate.recipes.controls import control
from curate.recipes.select import select
from curate.reports.on_disk import read_choice
from curate.reports.provenance import command_of
from tests.conftest import SAMPLE


def kept(selection):
    return np.flatnonzero(selection.choice.kept).tolist()


@pytest.fixture
def chosen(rows_file, scores_file):
    """The best two of six rows, scored 6 to 1; the last one has an empty response."""
    path = rows_file(5, extra=[{"instruction": "x", "output": ""}])
    status = [*["ok"] * 5, "empty_response"]
    file = scores_file(path, "run", a=[6.0, 5.0, 4.0, 3.0, 2.0, float("nan")], status=status)
    return select(read(path), SelectParams(by="a", keep=2), [file])


def test_keep_is_paid_first_and_the_ranking_fills_the_rest(chosen):
    ids = chosen.rows.ids
    found = chosen.marked({ids[3]: "keep", ids[0]: "drop"})
    assert found.choice.reason.tolist() == [
        *("marked_drop", "", "below_cut", "", "below_cut", "empty_response")
    ]
    table = found.table().to_pydict()
    assert table["kept"] == [False, True, False, True, False, False]
    assert table["reason"][3] == "marked_keep"
    assert found.choice.order.tolist() == [3, 1]
    assert found.threshold() == 5.0  # what was kept by the rule
    assert found.summary().dropped["marked_drop"] == 1
    assert found.details["marks"] == {"file": "", "of": "", "keep": 1, "drop": 1}


def test_another_budget_condition_or_score_keeps_the_marks(chosen):
    ids = chosen.rows.ids
    found = chosen.marked({ids[3]: "keep", ids[0]: "drop"})
    assert kept(found.keep(3)) == [1, 2, 3]
    assert kept(found.keep(1)) == [3]
    assert kept(found.where("a < 5")) == [2, 3]
    assert kept(found.by("-a")) == [3, 4]
    assert found.by("-a").table()["reason"].to_pylist()[3] == "marked_keep"
    again = found.where("a < 5").by("-a").manifest()["chosen_again"]
    assert again == [{"where": "a < 5"}, {"by": "-a"}]
    assert kept(found.marked({ids[3]: "drop"})) == [1, 2]
    assert kept(found.marked({ids[0]: "keep"})) == [0, 3]
    with pytest.raises(UsageError, match="--keep is 2 rows, and .* marked keep are 3"):
        chosen.marked(dict.fromkeys(ids[:3], "keep"))


def test_of_tokens_what_is_marked_is_paid_first(rows_file, scores_file):
    path = rows_file(6)
    file = scores_file(path, "run", a=[6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    whole = select(read(path), SelectParams(by="a", keep="50%-tokens"), [file])
    tokens = whole.tokens.counts
    found = whole.marked({whole.rows.ids[5]: "keep"})
    assert kept(found) == [0, 1, 5]
    assert tokens[kept(found)].sum() <= whole.wanted.tokens
    with pytest.raises(UsageError, match="tokens, and the rows that are marked keep are 6"):
        whole.marked(dict.fromkeys(whole.rows.ids, "keep"))


def test_a_choice_without_a_budget(rows_file):
    again = {"instruction": "Question 1?", "output": "Answer 1."}
    whole = curate.dedup(read(rows_file(3, extra=[again])))
    ids = whole.rows.ids
    found = whole.marked({ids[3]: "keep", ids[0]: "drop"})
    assert kept(found) == [1, 2, 3]
    assert found.table()["reason"].to_pylist() == ["marked_drop", "", "", "marked_keep"]


def test_a_flawed_row_that_is_to_be_kept_is_not_emitted(chosen, tmp_path):
    found = chosen.marked({chosen.rows.ids[5]: "keep"})
    with pytest.raises(DataError, match=r"to be kept and cannot be trained on \(empty_response\)"):
        curate.emit(found, tmp_path, name="mine")


def test_a_control_of_it_is_not_marked(chosen):
    found = chosen.marked({chosen.rows.ids[3]: "keep"})
    assert "marked_keep" not in control(found).table()["reason"].to_pylist()


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        ({"0": "keep", "1": "drop"}, "2 of 2 marked rows are not among these 6 rows: 0, 1; give"),
        ({"FIRST": "maybe"}, "row .*: 'maybe'; allowed are keep and drop"),
    ],
)
def test_marks_that_cannot_be(chosen, marks, said):
    ids = {"FIRST": chosen.rows.ids[0]}
    with pytest.raises(DataError, match=said):
        chosen.marked({ids.get(each, each): mark for each, mark in marks.items()})


# By a file


@pytest.fixture
def data(call, tmp_path):
    """A folder with `mine`, the ten longest answers; ids in their order; a writer of marks."""
    made = call(
        *("select", "--recipe", "longest", "--keep", 10, "--input", SAMPLE),
        *("--output", tmp_path, "--name", "mine"),
    )
    assert made.code == 0, made.err
    return tmp_path


def lines(folder, name):
    table = pq.read_table(folder / f"{name}.scores.parquet").to_pylist()
    return sorted(table, key=lambda line: -line["response_tokens"])


def write(folder, marks, name="mine", sha256=None, **more):
    of = hashlib.sha256((folder / "mine.jsonl").read_bytes()).hexdigest()
    path = folder / "mine.marks.json"
    whole = {"of": {"name": name, "sha256": sha256 or of}, "marks": marks, **more}
    path.write_text(json.dumps(whole), encoding="utf-8-sig")
    return path


LONGEST = ("select", "--recipe", "longest", "--keep", 10, "--input", SAMPLE, "--json")


def test_the_same_input_again_with_what_was_marked(call, data):
    before = lines(data, "mine")
    marks = {before[0]["id"]: "drop", before[60]["id"]: "keep"}
    file = write(data, marks, note={before[0]["id"]: "a dose"})
    answer = call(*LONGEST, "--output", data, "--marks", file)
    assert answer.code == 0, answer.err
    result = json.loads(answer.out.splitlines()[-1])
    assert (result["name"], result["kept"]) == ("huatuo_longest_marked", 10)
    assert "mine.marks.json: marked keep: 1; drop: 1" in answer.err
    table = {line["id"]: line for line in lines(data, result["name"])}
    dropped, added = table[before[0]["id"]], table[before[60]["id"]]
    assert (dropped["kept"], dropped["reason"]) == (False, "marked_drop")
    assert (added["kept"], added["reason"]) == (True, "marked_keep")
    assert (dropped["mark_note"], added["mark_note"]) == ("a dose", None)
    assert [table[line["id"]]["kept"] for line in before[1:11]] == [True] * 9 + [False]
    page = read_choice(result["name"], data)
    assert page.kept.tolist() == page.table["kept"].to_pylist()
    assert command_of(result["name"], page.manifest).count("--marks mine.marks.json") == 1
    manifest = json.loads((data / f"{result['name']}.manifest.json").read_text())
    signed = f"mine.marks.json {hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert manifest["params"]["marks"] == manifest["marks"]["file"] == signed
    assert manifest["counts"]["dropped"]["marked_drop"] == 1


def test_marks_alone_change_the_choice_that_is_there(call, data):
    before = lines(data, "mine")
    file = write(data, {before[0]["id"]: "drop", before[60]["id"]: "keep", before[3]["id"]: "keep"})
    arguments = ("select", "--input", SAMPLE, "--output", data, "--marks", file)
    answer = call(*arguments)
    assert answer.code == 0, answer.err
    after = {line["id"] for line in lines(data, "huatuo_select_marked") if line["kept"]}
    assert after == {line["id"] for line in [*before[1:10], before[60]]}
    call.refused("--keep and --where go with --by or --recipe", *arguments, "--keep", "3")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "other"}, "has no data set 'other'"),
        ({"sha256": "0" * 64}, "its marks are of another 'mine' .sha256 000000000000"),
        ({"marks": {"f00": "keep"}}, "1 of 1 marked rows are not among these 120 rows: f00; give "),
        ({"marks": {"f00": "perhaps"}}, "row f00: 'perhaps'; allowed are keep and drop"),
        ({"marks": ["f00"]}, "is no file of marks"),
        ({"note": {"f00": 3}}, "is no file of marks"),
        ("not JSON", "is no file of marks"),
        ("[]", "is no file of marks"),
        ("\udcff", "is no file of marks"),
        (None, "No such file"),
    ],
)
def test_what_is_no_file_of_marks_of_it(call, data, change, said):
    file = write(data, {})
    if isinstance(change, dict):
        write(data, change.pop("marks", {}), **change)
    elif change is None:
        file.unlink()
    else:
        file.write_bytes(change.encode("utf-8", "surrogateescape"))
    call.refused(said, *LONGEST, "--output", data, "--marks", file)


def test_the_page_of_a_choice_in_memory_is_of_no_file(data):
    rows = read(SAMPLE)
    file = write(data, {rows.ids[0]: "keep"}, name="unwritten", sha256="")
    whole = json.loads(file.read_text("utf-8-sig"))
    file.write_text(json.dumps(whole | {"of": {"name": "unwritten", "sha256": ""}}))
    found = curate.select(rows, recipe="longest", keep=2).marked(file, dataset_dir=data)
    assert found.choice.order[0] == 0
    assert len(kept(found)) == 2


def test_a_set_that_was_written_anew_is_another(call, data):
    file = write(data, {})
    made = call(*LONGEST[:4], 9, *LONGEST[5:], "--output", data, "--name", "mine")
    assert made.code == 0, made.err
    call.refused("its marks are of another 'mine'", *LONGEST, "--output", data, "--marks", file)


def test_by_every_recipe_with_questions(data, rows_file):
    rows = read(SAMPLE)
    asked = {"recipe": "like", "like": "mixtures/samples/alpaca_zh.json", "keep": 5}
    whole = curate.select(rows, **asked)
    place = int(np.flatnonzero(~whole.choice.kept)[0])
    first = whole.choice.order[0]
    file = write(data, {rows.ids[place]: "keep", rows.ids[first]: "drop"})
    found = curate.select(rows, **asked, marks=str(file), dataset_dir=data)
    assert len(kept(found)) == 5
    assert found.choice.order[0] == place
    line = found.table().slice(place, 1).to_pylist()[0]
    assert (line["reason"], line["question"], line["place"]) == ("marked_keep", None, None)
    assert sum(each["rows"] for each in found.details["like"]) == 4


def test_marks_of_a_data_set_in_shards(call, data):
    answer = call(*LONGEST, "--output", data, "--name", "shards", "--shard-rows", 4)
    assert answer.code == 0, answer.err
    output = json.loads((data / "shards.manifest.json").read_text())["output"]
    marks = {lines(data, "shards")[0]["id"]: "drop"}
    file = write(data, marks, name="shards", sha256=output["sha256"])
    answer = call(*LONGEST, "--output", data, "--marks", file)
    assert answer.code == 0, answer.err
    other = write(data, marks, name="shards", sha256="0" * 64)
    call.refused("its marks are of another 'shards'", *LONGEST, "--output", data, "--marks", other)
