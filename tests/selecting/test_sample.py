"""`--limit`: a first look at some of the rows, drawn, said, and under a name of its own."""

import json

import numpy as np
import pytest

import curate
from curate.data.read import read
from curate.errors import UsageError
from curate.parameters.car import CarParams
from curate.parameters.ifd import IFDParams
from curate.parameters.mods import ModsParams
from curate.parameters.score import ScoreParams
from curate.parameters.select import SelectParams
from curate.recipes import answers
from curate.recipes.budgets import sample
from tests.conftest import SAMPLE


def drawn(rows, limit, seed=0):
    return sample(rows, CarParams(limit=limit, seed=seed))


def test_it_is_a_draw_of_the_rows_in_their_order(rows_file):
    rows = read(rows_file(40))
    some = drawn(rows, 10)
    places = [rows.ids.tolist().index(each) for each in some.ids]
    assert len(set(places)) == 10
    assert places == sorted(places) != list(range(10))
    for row in some:
        whole = rows[places[row.position]]
        assert (row.id, row.value, row.where) == (whole.id, whole.value, whole.where)
    assert set(some.ids) < set(drawn(rows, 20).ids)
    assert set(some.ids) != set(drawn(rows, 10, seed=1).ids)


def test_the_order_of_the_rows_does_not_matter(rows_file, tmp_path):
    path = rows_file(40)
    turned = tmp_path / "turned.json"
    turned.write_text(json.dumps(json.loads(path.read_text())[::-1]))
    assert drawn(read(path), 10).ids.tolist() == drawn(read(turned), 10).ids.tolist()[::-1]


def test_every_row_is_as_likely(rows_file):
    rows = read(rows_file(10))
    places = {id_: place for place, id_ in enumerate(rows.ids)}
    counts = np.zeros(10)
    for seed in range(400):
        counts[[places[each] for each in drawn(rows, 3, seed).ids]] += 1
    # Mean 120, standard deviation 9.2: five of them.
    assert np.abs(counts - 120).max() < 46


def test_sources_say_what_is_left_of_each(rows_file):
    rows = read(
        [
            rows_file(30, "a.json"),
            rows_file(10, "b.json", extra=[{"instruction": "x", "output": ""}]),
        ]
    )
    some = drawn(rows, 12)
    assert sum(source.rows for source in some.sources) == len(some) == 12
    by_source = [row.source for row in some]
    for source, whole in zip(some.sources, rows.sources, strict=True):
        assert by_source.count(source.name) == source.rows
        said = f"{source.rows} of {whole.rows} rows, as 12 of 41 rows, drawn with seed 0"
        assert next(iter(source.changes)) == said
        # What is cached of a file's rows is not taken for that of these.
        assert source.part != whole.part
        assert source.sha256 == whole.sha256
    assert drawn(rows, 13).sources[0].part != some.sources[0].part


def test_repeats_have_ids_of_the_whole_set(rows_file):
    same = {"instruction": "Same?", "output": "Same."}
    rows = read(rows_file(4, extra=[same] * 6))
    for seed in range(20):
        assert set(drawn(rows, 5, seed).ids) <= set(rows.ids)


def test_more_than_there_are_is_all_and_said(rows_file, capsys):
    rows = read(rows_file(4))
    assert drawn(rows, 4) is rows
    assert drawn(rows, None) is rows
    assert capsys.readouterr().err == "--limit 4: there are only 4 rows; all of them are taken\n"


def test_of_answers_prompts_are_drawn_whole(tmp_path):
    path = tmp_path / "several.json"
    values = [{"instruction": f"Q{i % 20}?", "output": f"A{i}."} for i in range(80)]
    path.write_text(json.dumps(values))
    some = sample(read(path), SelectParams("answers", limit=8), answers.prompts_of)
    asked = [row.prompt for row in some]
    assert [asked.count(each) for each in sorted(set(asked))] == [4, 4]


@pytest.mark.parametrize(
    "make",
    [
        lambda n: CarParams(limit=n),
        lambda n: IFDParams(limit=n),
        lambda n: ModsParams(limit=n),
        lambda n: SelectParams("random", limit=n),
        lambda n: ScoreParams(("length",), limit=n),
    ],
)
def test_none_is_no_look(make):
    with pytest.raises(UsageError, match=r"--limit 0: allowed are 1 and more"):
        make(0)
    assert make(1).limit == 1


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("car", "--top", "2", "--with-control"), "huatuo_car_sample12"),
        (("mods", "--seeds-only", "--min-quality", "20%"), "huatuo_mods_sample12"),
        (("select", "--recipe", "k_center", "--keep", "3"), "huatuo_k_center_sample12"),
        (("score", "--scorer", "length"), "huatuo_score_length_sample12"),
    ],
)
def test_commands_register_it_under_a_name_of_its_own(call, tmp_path, arguments, name):
    answer = call(*arguments, "--input", SAMPLE, "--limit", 12, "--output", tmp_path, "--json")
    assert answer.code == 0, answer.err
    assert answer.err.count("12 of 120 rows, drawn with seed 0; leave --limit out for all") == 1
    assert json.loads(answer.out.splitlines()[-1])["name"] == name
    manifest = json.loads((tmp_path / f"{name}.manifest.json").read_text())
    assert manifest["params"]["limit"] == 12
    assert manifest["counts"]["read"] == manifest["sources"][0]["rows"] == 12
    if arguments[0] == "car":
        control = json.loads((tmp_path / f"{name}_random.manifest.json").read_text())
        assert control["counts"]["read"] == 12


def test_a_name_that_is_given_stays(call, tmp_path):
    answer = call(
        *("select", "--recipe", "random", "--input", SAMPLE, "--limit", 20),
        *("--output", tmp_path, "--name", "mine"),
    )
    assert answer.code == 0, answer.err
    assert (tmp_path / "mine.jsonl").is_file()


def test_in_python(tmp_path):
    some = curate.select(SAMPLE, recipe="random", keep=5, limit=20)
    assert some.summary().read == 20
    files = curate.emit(some, tmp_path)
    assert files[0].name == "huatuo_random_sample20.jsonl"
    mixed = curate.mix(domain=some, general="mixtures/samples/alpaca_zh.json", ratio="1:2")
    assert mixed is not None


@pytest.mark.model
def test_ifd_of_a_sample(call, tmp_path):
    answer = call("ifd", "--input", SAMPLE, "--limit", 6, "--keep", 2, "--output", tmp_path)
    assert answer.code == 0, answer.err
    manifest = json.loads((tmp_path / "huatuo_ifd_sample6.manifest.json").read_text())
    assert (manifest["counts"]["read"], manifest["counts"]["kept"]) == (6, 2)
    again = call("ifd", "--input", SAMPLE, "--limit", 6, "--keep", 3, "--output", tmp_path)
    assert "an earlier run computed all of this" in again.err
