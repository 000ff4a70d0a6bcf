"""`curate dedup` as it is typed."""

import json

import pyarrow.parquet as pq
import pytest

from curate.commands.with_options import spread
from curate.data.read import read
from curate.parameters.option import Option
from tests.calling import Caller
from tests.conftest import SAMPLE
from tests.dedup.conftest import pair

LONG = "高血压病人可以口服党参的。党参有降血脂，降血压的作用，可以清除血液中的垃圾，对冠心病有效。"


@pytest.fixture
def call(capsys):
    return Caller(capsys)


@pytest.fixture
def write(tmp_path):
    def write(values, name):
        path = tmp_path / name
        path.write_text(json.dumps(values), encoding="utf-8")
        return path

    return write


def test_the_sample_from_reading_to_llamafactorys_entry(call, tmp_path):
    out = tmp_path / "data"
    answer = call("dedup", "--input", SAMPLE, "--output", out, "--json")
    assert answer.code == 0, answer.err
    told = json.loads(answer.out.splitlines()[-1])
    assert told["read"] == told["kept"] + sum(told["dropped"].values()) == len(read(SAMPLE))
    assert told["name"] == "huatuo_dedup"
    table = pq.read_table(out / "huatuo_dedup.scores.parquet")
    assert table.column_names[6:] == ["tokens", "twin", "twin_source", "similarity", "novelty"]
    assert len(read(out / "huatuo_dedup.jsonl")) == told["kept"]
    entry = json.loads((out / "dataset_info.json").read_text())["huatuo_dedup"]
    assert entry["file_name"] == "huatuo_dedup.jsonl"
    manifest = json.loads((out / "huatuo_dedup.manifest.json").read_text())
    assert manifest["params"]["near"] == 0.8
    assert manifest["counts"]["dropped"] == told["dropped"]


def test_what_was_dropped_and_its_twin_are_shown_as_they_are(call, write, tmp_path):
    rows = write([pair("[red]q[/red]", LONG), pair("[red]q[/red]", LONG + "！")], "rows.json")
    answer = call("dedup", "--input", rows, "--output", tmp_path / "o")
    assert answer.code == 0, answer.err
    twin = read(rows)[0].id
    line = next(line for line in answer.out.splitlines() if "near_duplicate" in line)
    assert twin in line
    assert "[red]q[/red]" in line
    assert "dropped: near_duplicate" in answer.out


def test_dedup_of_what_was_deduplicated_drops_nothing(call, real, tmp_path):
    out = tmp_path / "data"
    name = real("toyhom_internal_medicine_gb18030.csv")
    first = call("dedup", "--input", name, "--output", out, "--name", "one", "--json")
    told = json.loads(first.out.splitlines()[-1])
    assert told["dropped"]["exact_duplicate"] == 235
    again = call("dedup", "--input", out / "one.jsonl", "--output", out, "--name", "two", "--json")
    assert json.loads(again.out.splitlines()[-1])["dropped"] == {}
    assert (out / "one.jsonl").read_bytes() == (out / "two.jsonl").read_bytes()


def test_twice_the_same_bytes(call, real, tmp_path):
    made = []
    for each in "ab":
        name = real("toyhom_internal_medicine_gb18030.csv")
        call("dedup", "--input", name, "--output", tmp_path / each, "--name", "x")
        made.append([(tmp_path / each / f"x.{end}").read_bytes() for end in ENDS])
    assert made[0] == made[1]


ENDS = ("jsonl", "scores.parquet")


def test_several_files_after_each_option(call, write, tmp_path):
    one = write([pair("a", LONG)], "one.json")
    two = write([pair("b b b b b b b b b b b b b b b", "c c c c c c c c c")], "two.json")
    three = write([pair("only here", "and nowhere else")], "three.json")
    told = []
    for order in (
        ["--input", one, two, "--against", three, two],
        ["--against", three, two, "--input", one, two],
        [one, two, "--against", three, "--against", two],
    ):
        answer = call("dedup", *order, "--output", tmp_path / "o", "--json", "--overwrite")
        assert answer.code == 0, answer.err
        told.append(json.loads(answer.out.splitlines()[-1]))
    assert all((each["read"], each["dropped"]) == (2, {"in_against": 1}) for each in told)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("--input a b", "--input a --input b"),
        ("--input a --input b", "--input a --input b"),
        ("a b --input c", "a b --input c"),
        ("--input=a b", "--input=a --input b"),
        ("--near 0.5 a --input b", "--near 0.5 a --input b"),
        ("--against a b --json --input c d", "--against a --against b --json --input c --input d"),
        ("", ""),
    ],
)
def test_spread(given, wanted):
    assert spread(given.split(), {"--input": Option(""), "--against": Option("")}) == wanted.split()


def test_wrong_use(call, write, tmp_path):
    rows = write([pair("a", LONG)], "rows.json")
    out = "--output", tmp_path / "o"
    call.refused("no input: give --input FILE", "dedup")
    call.refused("--near 80: allowed are 0.3 to 1", "dedup", rows, "--near", 80, *out)
    call.refused("--on promt: .*Did you mean 'prompt'", "dedup", rows, "--on", "promt", *out)
    call.refused("No such option.*--by", "dedup", rows, "--by", "quality", *out)
    call.refused("no file .*nowhere.json", "dedup", rows, "--against", "nowhere.json", *out)
    of = "--against-format"
    call.refused(f"{of} exam: give --against F", "dedup", rows, of, "exam", *out)
    call.refused(f"{of} exm: no such format", "dedup", rows, "--against", rows, of, "exm", *out)
    call.refused(
        "no row is left to write: of 1 rows read, 1 in_against",
        "dedup", rows, "--against", rows, *out,
    )  # fmt: skip
    assert not list((tmp_path / "o").glob("*.jsonl"))


def test_rows_that_all_have_a_flaw(call, write, tmp_path):
    rows = write([pair("a", ""), pair("b", "")], "rows.json")
    call.refused("no row is left.*2 empty_response", "dedup", rows, "--output", tmp_path / "o")


def test_half_a_pair_of_surrogates_and_nul(call, tmp_path):
    rows = tmp_path / "rows.json"
    rows.write_text(
        '[{"instruction": "a\\ud800", "input": "", "output": "b"},'
        '{"instruction": "a\\u0000", "input": "", "output": "b"},'
        '{"instruction": "a", "input": "", "output": "b"}]'
    )
    answer = call("dedup", rows, "--output", tmp_path / "o", "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out.splitlines()[-1])["dropped"] == {
        "lone_surrogate": 1,
        "nul_character": 1,
    }
