"""`curate decontaminate`: every question of a benchmark that stands in the rows is reported."""

import json

import pytest

from curate.data.read import read
from curate.errors import UsageError
from curate.parameters.split import DecontaminateParams
from curate.recipes.decontaminate import decontaminate
from tests.calling import Caller
from tests.dedup.test_split import TOPICS, qa

OTHER = "骨折以后多久可以下地走路需要拍片复查吗"


@pytest.fixture
def rows(write_json):
    return write_json(
        [
            qa(f"{TOPICS[0]}?", "可以。"),
            qa(
                f"老师问：{TOPICS[1]}，请大家回答，并且说明为什么要这样做，以及什么时候去医院。",
                "先物理降温。",
            ),
            qa("谢谢", f"不客气。{TOPICS[1]}"),
            qa(OTHER, "六周。"),
            qa(OTHER, "六周。"),
            qa("", "没有问题"),
        ]
    )


@pytest.fixture
def benchmarks(write_json):
    return [
        write_json([qa(TOPICS[0], "A"), qa(TOPICS[2], "B")], "one.json"),
        write_json([qa(TOPICS[0], "A"), qa(TOPICS[1], "C"), qa(TOPICS[1], "D")], "two.json"),
    ]


def test_all_matches_are_reported(rows, benchmarks):
    rows, others = read(rows), [read(each) for each in benchmarks]
    choice = decontaminate(rows, DecontaminateParams(), others)
    ids = rows.ids
    assert choice.choice.reason.tolist() == [
        "in_against",
        "contains_against",
        "contains_against",
        "",
        "",
        "empty_prompt",
    ]
    one, two = choice.details["against"]
    assert (one["name"], one["questions"], one["found"]) == ("one.json", 2, 1)
    assert one["where"] == [{"id": others[0].ids[0], "rows": [ids[0]]}]
    assert (two["questions"], two["found"]) == (3, 3)
    assert [each["rows"] for each in two["where"]] == [[ids[0]], [ids[1], ids[2]], [ids[1], ids[2]]]


def test_no_benchmark_is_refused(rows):
    with pytest.raises(UsageError, match="give --against"):
        decontaminate(read(rows), DecontaminateParams(), [])


def test_the_report_of_the_command(capsys, rows, benchmarks, tmp_path):
    answer = Caller(capsys)(
        "decontaminate", "--input", rows, "--against", *benchmarks, "--output", tmp_path, "--json"
    )
    result = json.loads(answer.out)
    assert result["dropped"] == {"contains_against": 2, "empty_prompt": 1, "in_against": 1}
    assert [each["found"] for each in result["against"]] == [1, 3]
    assert "two.json" in answer.err
    manifest = json.loads(
        (tmp_path / "rows_decontaminate.manifest.json").read_text(encoding="utf-8")
    )
    assert manifest["against"] == result["against"]
