"""Columns that turn up late in a file: read as if they had been there from the first row."""

import json

import pytest

from curate.data.layout import SAMPLES, Spread
from curate.data.read import read


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


def plain(at):
    return {"question": f"第{at}问", "answer": f"第{at}答"}


def talk(at, **more):
    said = [("human", f"第{at}问"), ("gpt", f"第{at}答")]
    return {"conversations": [{"from": who, "value": text} for who, text in said], **more}


def lines(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def rows_of(write, late, early=plain, count=SAMPLES + 20):
    rows = [early(at) for at in range(count)]
    return read(write(lines(*rows, *late), "rows.jsonl"))


@pytest.mark.parametrize("verdicts", [(True, False), (1, 0), ("good", "bad"), ("true", "false")])
def test_a_late_column_of_verdicts_is_never_plain_sft(write, verdicts):
    late = [plain(1000 + at) | {"label": verdicts[at % 2]} for at in range(SAMPLES + 100)]
    rows = rows_of(write, late)
    assert rows.shape.kind == "kto"
    flaws = [row.flaw for row in rows]
    assert flaws == ["no_verdict"] * (SAMPLES + 20) + [""] * len(late)
    assert [row.parsed.verdict for row in rows][-2:] == [True, False]


@pytest.mark.parametrize("early", [plain, talk])
def test_one_late_verdict_is_enough(write, early):
    for key in ("kto_tag", "label"):
        rows = rows_of(write, [early(999) | {key: False}], early)
        assert rows.shape.columns["kto_tag"] == key
        assert rows.flaws() == {"no_verdict": SAMPLES + 20}


def test_a_late_column_of_classes_is_no_verdict(write):
    rows = rows_of(write, [plain(1000 + at) | {"label": at % 5} for at in range(400)])
    assert (rows.shape.kind, rows.flaws()) == ("sft", {})


def test_a_column_that_is_empty_at_first(write):
    cells = [f"第{at}问,第{at}答,{'' if at < SAMPLES + 9 else 'true'}\n" for at in range(400)]
    rows = read(write("question,answer,label\n" + "".join(cells), "rows.csv"))
    assert rows.shape.kind == "kto"
    assert rows.flaws() == {"no_verdict": SAMPLES + 9}


TOOLS = [{"name": "dose", "description": "查剂量", "parameters": {"properties": {}}}]


@pytest.mark.parametrize(
    ("early", "late", "said"),
    [
        (plain, {"system_prompt": "你是医生"}, lambda row: row.system == "你是医生"),
        (plain, {"context": "病史三年"}, lambda row: row.prompt.endswith("\n病史三年")),
        (plain, {"tools": TOOLS}, lambda row: "查剂量" in row.parsed.tools),
        (plain, {"reasoning": "先看病程"}, lambda row: "先看病程" in row.response),
        (plain, {"history": [["在吗", "在"]]}, lambda row: len(row.turns) == 4),
        (talk, {"System": "你是医生"}, lambda row: row.system == "你是医生"),
        (talk, {"functions": TOOLS}, lambda row: "查剂量" in row.parsed.tools),
    ],
)
def test_what_turns_up_late_is_used_and_earlier_rows_keep_their_ids(write, early, late, said):
    count = SAMPLES + 20
    before = read(write(lines(*map(early, range(count))), "before.jsonl"))
    rows = rows_of(write, [early(count) | late], early)
    assert said(rows[count])
    assert (rows.flaws(), rows.sources[0].unused) == ({}, {})
    assert rows.ids.tolist()[:count] == before.ids.tolist()


def test_pictures_that_turn_up_late(write):
    late = talk(1, images=["a.jpg"])
    late["conversations"][0]["value"] = "<image>看看"
    rows = rows_of(write, [late], talk)
    assert rows.shape.columns["images"] == "images"
    assert rows.flaws() == {}


def test_rows_that_stand_for_a_file_are_spread_over_it():
    spread = Spread([{"a": 1}])
    for at in range(10_000):
        spread.add({"a": at} | ({"b": at} if at % 5_000 == 4_999 else {}))
    kept = [row["a"] for row in spread.even]
    assert SAMPLES <= len(kept) <= 2 * SAMPLES
    assert {later - earlier for earlier, later in zip(kept, kept[1:], strict=False)} == {32}
    assert spread.late == [{"a": 4_999, "b": 4_999}]
