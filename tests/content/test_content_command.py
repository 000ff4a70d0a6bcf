"""`curate doctor --content` as a user calls it, and what LLaMA-Factory makes of the copy."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import curate
from curate.content import FLAWS, IDENTIFIERS, KINDS
from curate.errors import DataError, UsageError
from curate.llamafactory.doctor.findings import rules
from tests.calling import Caller
from tests.converter import train_in

CLEAN = {"instruction": "高血压能吃柚子吗？", "input": "", "output": "可以适量吃。"}
NAMED = {**CLEAN, "instruction": "患者王秀英，女，电话13812345678，能吃柚子吗？"}
REFUSED = {**CLEAN, "output": "抱歉，我无法回答这个问题。"}
FLAWED = {**CLEAN, "output": ""}


@pytest.fixture
def call(capsys):
    return Caller(capsys)


@pytest.fixture(autouse=True)
def _own_place(scratch_cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def last_line(answer):
    return json.loads(answer.out.splitlines()[-1])


def copied(name="rows_content"):
    lines = Path(f"data/{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_nothing_found(call, write_json):
    answer = call("doctor", "--content", "--input", write_json([CLEAN] * 2), "--json")
    assert answer.code == 0
    found = last_line(answer)
    assert (found["rows"], found["usable"], found["findings"]) == (2, 2, [])
    assert "written" not in found


def test_what_is_found_is_told_and_ends_with_1(call, write_json):
    path = write_json([CLEAN, NAMED, REFUSED, NAMED])
    answer = call("doctor", "--content", "--input", path)
    assert answer.code == 1
    ids = curate.read(path).ids
    line = next(line for line in answer.out.splitlines() if line.split()[:1] == ["phone"])
    assert line.split() == ["phone", "identifies", "somebody", "2", ids[1], ids[3]]
    assert "13812345678" not in answer.out + answer.err
    assert "something was found in 3 of 4 rows" in answer.out
    found = last_line(call("doctor", "--content", "--input", path, "--json"))
    assert {each["rule"]: each["count"] for each in found["findings"]} == {
        "phone": 2,
        "name": 2,
        "refusal": 1,
    }
    assert next(each for each in found["findings"] if each["rule"] == "phone")["ids"] == [
        ids[1],
        ids[3],
    ]


def test_a_copy_without_identifiers(call, write_json):
    path = write_json([CLEAN, NAMED, FLAWED])
    answer = call("doctor", "--content", "--input", path, "--mask", "all", "--json")
    assert answer.code == 0
    hidden = "患者***，女，电话***********，能吃柚子吗？"
    assert copied() == [CLEAN, {**CLEAN, "instruction": hidden}]
    assert train_in("data", "rows_content", "sft").usable == 2
    (written,) = last_line(answer)["written"]
    assert (written["masked"], written["dropped"], written["findings"]) == (
        1,
        {"empty_response": 1},
        [],
    )
    scores = pd.read_parquet("data/rows_content.scores.parquet")
    assert scores["masked"].tolist() == [False, True, False]
    assert scores[["phone", "name", "refusal"]].to_numpy().tolist() == [[0] * 3, [1, 1, 0], [0] * 3]
    assert scores["reason"].tolist() == ["", "", "empty_response"]
    again = call("doctor", "--content", "--dataset", "rows_content")
    assert again.code == 0
    once = Path("data/rows_content.jsonl").read_bytes()
    assert call("doctor", "--content", "--input", path, "--mask", "all").code == 0
    assert Path("data/rows_content.jsonl").read_bytes() == once


def test_many_rows_of_several_files(call, write_json):
    def row(place, who="病人"):
        return {**CLEAN, "instruction": f"{who}第{place}次问：能吃柚子吗？"}

    named = {0, 999, 1000, 1700, 2099}
    rows = [row(n, "患者王秀英，女，" if n in named else "病人") for n in range(2100)]
    paths = [write_json(rows[:700], "one.json"), write_json(rows[700:], "two.json")]
    assert call("doctor", "--content", "--input", *paths, "--mask", "name", "--overwrite").code == 0
    hidden = [row(n, "患者***，女，" if n in named else "病人") for n in range(700)]
    assert copied("one_content") == hidden
    whole = call("doctor", "--content", "--input", write_json(rows), "--mask", "name")
    assert whole.code == 0
    assert copied() == [row(n, "患者***，女，" if n in named else "病人") for n in range(2100)]


def test_rows_are_left_out_by_kind_and_the_rest_is_told(call, write_json):
    path = write_json([CLEAN, NAMED, REFUSED])
    kinds = ("--mask", "phone", "--drop", "refusal,cut", "loop")
    answer = call("doctor", "--content", "--input", path, *kinds, "--json")
    assert answer.code == 1  # the name is left
    assert [row["instruction"] for row in copied()] == [
        CLEAN["instruction"],
        "患者王秀英，女，电话***********，能吃柚子吗？",
    ]
    (written,) = last_line(answer)["written"]
    assert written["dropped"] == {"refusal": 1}
    assert [each["rule"] for each in written["findings"]] == ["name"]
    every = ("--mask", "name,phone", "--drop", "all")
    assert call("doctor", "--content", "--input", path, *every).code == 0
    assert len(copied()) == 2
    assert call("doctor", "--content", "--input", path, "--drop", "all").code == 0
    assert copied() == [CLEAN]


def test_a_call_that_a_mask_would_break_is_left_out(call, write_json):
    def row(arguments):
        call_ = json.dumps({"name": "dial", "arguments": arguments}, ensure_ascii=False)
        roles = (
            ("human", "打电话"),
            ("function_call", call_),
            ("observation", "好"),
            ("gpt", "打了。"),
        )
        return {"conversations": [{"from": role, "value": text} for role, text in roles]}

    path = write_json([row({"phone": "13812345678"}), row({"phone": 13812345678})])
    answer = call("doctor", "--content", "--input", path, "--mask", "all", "--json")
    (written,) = last_line(answer)["written"]
    assert written["dropped"] == {"mask_breaks_row": 1}
    assert [each["conversations"][1]["value"] for each in copied()] == [
        '{"name": "dial", "arguments": {"phone": "***********"}}'
    ]
    assert train_in("data", "rows_content", "sft").usable == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--content", "--mask", "phon"), "--mask phon: allowed are all, id_number"),
        (("--content", "--mask", "refusal"), "--mask refusal: allowed are all, id_number"),
        (("--content", "--drop", "refusals"), "Did you mean 'refusal'?"),
        (("--content", "--drop", "name", "--mask", "all,name"), "--mask and --drop name: name it"),
        (("--mask", "all"), "--mask all: only --content takes it"),
        (("--content", "--fix"), "goes without --fix"),
        (("--content", "--stage", "sft"), "goes without --fix, --stage and --model"),
    ],
)
def test_what_goes_with_nothing(call, write_json, arguments, said):
    answer = call("doctor", "--input", write_json([CLEAN]), *arguments)
    assert answer.code == 2
    assert said in answer.errors[0]


def test_no_row_is_left(call, write_json):
    answer = call("doctor", "--content", "--input", write_json([REFUSED] * 2), "--drop", "all")
    assert answer.code == 2
    assert "of 2 rows read, 2 refusal" in answer.errors[0]


def test_another_data_set_of_the_name_stays(call, write_json):
    path = write_json([NAMED])
    assert call("convert", "--input", path, "--to", "sharegpt", "--name", "rows_content").code == 0
    answer = call("doctor", "--content", "--input", path, "--mask", "all")
    assert answer.code == 2
    assert "was made by the recipe convert" in answer.errors[0]
    assert call("doctor", "--content", "--input", path, "--mask", "all", "--overwrite").code == 0


def test_in_python(tmp_path, by_rules):
    found = curate.doctor([CLEAN, NAMED], content=True)
    assert found.findings[["rule", "count"]].to_numpy().tolist() == [["phone", 1], ["name", 1]]
    assert not found.well
    after = curate.doctor([CLEAN, NAMED], content=True, mask="all", output=tmp_path / "out")
    assert after.well
    assert curate.doctor(dataset=after.name, dataset_dir=tmp_path / "out", content=True).well
    (tmp_path / "talk.json").write_text(json.dumps([CLEAN, NAMED]), encoding="utf-8")
    rows = curate.read(tmp_path / "talk.json")
    copy = curate.doctor(rows, content=True, drop="phone", output=tmp_path / "out")
    assert copy.name == "talk_content"
    with pytest.raises(UsageError, match="allowed are all"):
        curate.doctor([CLEAN], content=True, drop=("names",))
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(DataError, match="broken.json"):
        curate.doctor(tmp_path / "broken.json", content=True)


def test_every_kind_has_a_rule():
    assert {name for name, rule in rules().items() if rule.effect == "identifies"} == set(
        IDENTIFIERS
    )
    assert {name for name, rule in rules().items() if rule.effect == "content"} == set(FLAWS)
    assert set(KINDS) == {*IDENTIFIERS, *FLAWS}


HOSTILE = [
    {**CLEAN, "instruction": "[bold]患者王秀英，女[/bold] \x1b[31m<script>alert(1)</script>"},
    {**CLEAN, "output": "\ud800电话13812345678"},
    {**CLEAN, "instruction": "9" * 30_000, "output": "床" * 30_000},
    {**CLEAN, "output": "a@" * 10_000},
    {**CLEAN, "output": "住院号" * 5_000 + "路" * 5_000},
    {**CLEAN, "output": "李" * 20_000 + "女士" + "省市区县" * 4_000 + "1号"},
    {**CLEAN, "output": " " * 20_000 + "1-" * 10_000 + "·" * 9_000},
    {**CLEAN, "output": "抱歉" * 9_000 + "，" * 3_000},
    [1, "x"],
    {"instruction": 5},
]


def test_hostile_rows(call, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in HOSTILE))
    answer = call("doctor", "--content", "--input", path, "--mask", "all")
    assert answer.code in (0, 1)
    assert "\x1b" not in answer.out
    assert sum(len(row["instruction"]) for row in copied()) > 30_000
    assert "13812345678" not in Path("data/rows_content.jsonl").read_text(encoding="utf-8")


def test_real_rows(real, by_rules):
    """Of 5,000 answers to patients, four have a name: a patient's own, and those of doctors."""
    path = real("toyhom_internal_medicine_gb18030.csv")
    found = {each.rule: each for each in curate.doctor(path, content=True).found}
    assert found.keys() & set(IDENTIFIERS) == {"name"}
    assert found["name"].count <= 10
    assert found["cut"].count <= 100
    zh = {
        each.rule: each.count for each in curate.doctor(real("alpaca_zh.json"), content=True).found
    }
    assert zh["speaks_as_ai"] >= 15  # 1.7 % of all were counted by phrase alone, 10 of 600
    after = curate.doctor(real("alpaca_zh.json"), content=True, drop="all")
    assert after.well
    assert (
        train_in("data", after.name, "sft").usable
        == after.rows
        == 600
        - sum(
            1 for status in pd.read_parquet(f"data/{after.name}.scores.parquet")["reason"] if status
        )
    )
