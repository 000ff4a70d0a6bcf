"""Rows with verdicts: refused, parted with --good-only, or chosen among as they are."""

import json

import pyarrow.parquet as pq
import pytest

import curate
from curate.errors import UsageError
from tests.converter import train_in

SIZE, BAD = 12, 4


def judged_rows(key="label"):
    return [
        {"instruction": f"Question {at}?", "output": f"Answer {at}.", key: at % 3 != 0}
        for at in range(SIZE)
    ]


@pytest.fixture
def judged_file(tmp_path):
    def write(key="label", extra=()):
        path = tmp_path / f"{key}.json"
        path.write_text(json.dumps([*judged_rows(key), *extra]), encoding="utf-8")
        return path

    return write


def last(answer):
    assert answer.code == 0, answer.err
    return json.loads(answer.out.splitlines()[-1])


@pytest.mark.parametrize("key", ["label", "kto_tag"])
@pytest.mark.parametrize(
    "command",
    [
        ("ifd",),
        ("car",),
        ("mods", "--seeds-only"),
        ("select", "--recipe", "random"),
        ("select", "--recipe", "superfilter"),
        ("select", "--recipe", "deita"),
    ],
    ids=" ".join,
)
def test_rows_with_verdicts_are_refused_in_one_line(call, judged_file, tmp_path, key, command):
    error = call.refused(
        f"verdicts on their responses \\('{key}'.*--good-only",
        *(*command, "--input", judged_file(key), "--output", tmp_path / "o"),
    )
    assert "--stage kto" in error
    assert not list((tmp_path / "o").glob("*.jsonl"))


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    "command",
    [
        ("ifd", "--keep", 5, "--keep-above-one"),
        ("car", "--top", 5),
        ("mods", "--seeds-only", "--min-quality=-1000", "--seeds", 5),
        ("select", "--recipe", "random", "--keep", 5),
    ],
    ids=lambda command: command[0],
)
def test_good_only_leaves_the_bad_rows_and_the_column_out(call, judged_file, tmp_path, command):
    path, out = judged_file(), tmp_path / "o"
    found = last(call(*command, "--input", path, "--good-only", "--output", out, "--json"))
    assert found["dropped"]["bad_verdict"] == BAD
    assert found["read"] == SIZE == found["kept"] + sum(found["dropped"].values())
    emitted = [json.loads(line) for line in (out / f"{found['name']}.jsonl").open()]
    good = [{k: v for k, v in row.items() if k != "label"} for row in judged_rows() if row["label"]]
    assert len(emitted) == found["kept"] > 0
    assert all(row in good for row in emitted)
    entry = json.loads((out / "dataset_info.json").read_text())[found["name"]]
    assert "kto_tag" not in entry.get("columns", {})
    manifest = json.loads((out / f"{found['name']}.manifest.json").read_text())
    assert manifest["counts"]["dropped"]["bad_verdict"] == BAD
    assert manifest["params"]["good_only"] is True
    reasons = pq.read_table(out / f"{found['name']}.scores.parquet").column("reason").to_pylist()
    assert [at for at, why in enumerate(reasons) if why == "bad_verdict"] == [0, 3, 6, 9]


@pytest.mark.usefixtures("scratch_cache")
def test_a_row_without_a_verdict_is_no_good_row(judged_file):
    rows = curate.read(judged_file(extra=[{"instruction": "Why?", "output": "So."}]))
    found = curate.select(rows, recipe="random", keep=5, good_only=True)
    assert found.summary().dropped["no_verdict"] == 1
    with pytest.raises(UsageError, match="verdicts on their responses"):
        curate.select(rows, recipe="random", keep=5)


def test_what_does_not_fit_is_refused(call, judged_file, rows_file, tmp_path):
    random = ("select", "--recipe", "random", "--output", tmp_path / "o", "--input")
    call.refused("--stage dpo: allowed are sft, kto", *random, judged_file(), "--stage", "dpo")
    call.refused("give one", *random, judged_file(), "--stage", "kto", "--good-only")
    for option in (["--good-only"], ["--stage", "kto"]):
        call.refused("no verdicts", *random, rows_file(9), *option)
    with pytest.raises(UsageError, match="--good-only"):
        curate.ifd(curate.read(judged_file()))


def test_stage_kto_chooses_among_public_rows_as_they_are(call, real, tmp_path):
    path, out = real("kto_en_demo.json"), tmp_path / "o"
    call.refused("--good-only", "ifd", "--input", path, "--output", out)
    command = ("select", "--recipe", "random", "--input", path, "--output", out, "--json")
    found = last(call(*command, "--stage", "kto", "--keep", 40))
    emitted = [json.loads(line) for line in (out / f"{found['name']}.jsonl").open()]
    original = json.loads(path.read_text())
    assert all(row in original for row in emitted)
    assert {row["label"] for row in emitted} == {True, False}
    entry = json.loads((out / "dataset_info.json").read_text())[found["name"]]
    assert entry["columns"]["kto_tag"] == "label"
    training = train_in(out, found["name"], "kto")
    assert (training.error, training.usable) == ("", 40)
    bad = sum(not row["label"] for row in original)
    good = last(call(*command, "--good-only", "--keep", 40))
    assert good["dropped"]["bad_verdict"] == bad > 0
    assert train_in(out, good["name"], "sft").usable == 40
