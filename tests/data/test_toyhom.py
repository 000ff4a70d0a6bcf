"""Toyhom's CSV and text, in GB18030."""

import csv
import io
import json

import pytest

from curate.data.formats import exams
from curate.data.read import read
from curate.data.schema import Turn

HEADER = ["department", "title", "ask", "answer"]
# The second question and the second answer have commas, quotes and a line break.
ROWS = [
    ["心血管科", "高血压患者能吃党参吗？", "您好高血压患者能吃党参吗？谢谢", "可以的。"],
    ["内科", "胃痛", '疼了三天,吃了"胃药",没用', '先检查,\n再说"吃药"。'],
    ["神经科", "癔病是羊角风吗", "无", "不是。"],
    ["神经科", "癔病是羊角风吗", "无", "不是。"],
    ["肝病科", "乙肝", "怎么看<br/>报告", "HBV<1000拷贝/ml。"],
    ["肝病科", "", "", "好。"],
]


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


def as_csv(rows, header=HEADER):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    return text.getvalue().encode("gb18030")


def test_csv(write):
    rows = read(write(as_csv(ROWS), "内科.csv"))
    (source,) = rows.sources
    assert (source.format, source.container, source.encoding) == ("toyhom", "csv", "gb18030")
    assert [row.prompt for row in rows] == [
        "您好高血压患者能吃党参吗？谢谢",
        '胃痛\n疼了三天,吃了"胃药",没用',
        "癔病是羊角风吗",
        "癔病是羊角风吗",
        "乙肝\n怎么看<br/>报告",
        "",
    ]
    assert rows[1].turns[1] == Turn("assistant", '先检查,\n再说"吃药"。')
    assert [row.flaw for row in rows] == [""] * 5 + ["empty_prompt"]
    assert rows.repeats.tolist() == [0, 0, 0, 1, 0, 0]
    assert rows[3].id == f"{rows[2].id}-2"
    assert rows[1].value == {
        "instruction": '胃痛\n疼了三天,吃了"胃药",没用',
        "input": "",
        "output": '先检查,\n再说"吃药"。',
        "department": "内科",
        "title": "胃痛",
    }
    assert source.changes == {
        "HTML tags in the text left as they are": 1,
        "no question, the title taken for it": 2,
        "title put before the question": 2,
    }


def test_the_question_may_be_named_as_the_readme_says(write):
    first = read(write(as_csv(ROWS), "a.csv"))
    named = read(write(as_csv(ROWS, ["department", "title", "question", "answer"]), "b.csv"))
    assert list(first.ids) == list(named.ids)
    assert named.sources[0].format == "toyhom"


@pytest.mark.parametrize(
    ("title", "ask", "prompt", "changed"),
    [
        ("胃痛？", "我胃痛。", "我胃痛。", False),
        ("胃痛？", "胃痛", "胃痛", False),
        ("胃痛", "头痛", "胃痛\n头痛", True),
        ("胃痛", "无", "胃痛", True),
        ("胃痛", "  ", "胃痛", True),
        ("胃痛", "无力", "胃痛\n无力", True),
        ("", "头痛", "头痛", False),
        ("？", "头痛", "头痛", False),
        (None, "头痛", "头痛", False),
        ("胃痛", None, "胃痛", True),
        ("", "无", "", False),
    ],
)
def test_title_and_question(title, ask, prompt, changed):
    row = {"department": "内科", "title": title, "ask": ask, "answer": "b"}
    made = exams.convert_toyhom(row, exams.detect_toyhom([row]))
    assert made.row["instruction"] == prompt
    assert bool(made.changes) == changed


def test_a_value_that_is_no_text_leaves_the_row_as_it_is():
    row = {"title": "a", "ask": ["b"], "answer": "c"}
    assert exams.convert_toyhom(row, exams.detect_toyhom([row])) == exams.Converted(
        row, flaw="not_text"
    )


@pytest.mark.parametrize(
    ("text", "noted"),
    [("<br>", 1), ("</p>", 1), ('<a href="x">', 1), ("HBV<1000", 0), ("a<b>c", 1), ("<5>", 0)],
)
def test_html(text, noted):
    made = exams.convert_toyhom({"title": "", "ask": "a", "answer": text}, exams.detect_toyhom([]))
    assert len(made.changes) == noted


TEXT = (
    "高血压患者能吃党参吗？,我有高血压,您好\n可以的。\n\n\n"
    "胃痛,无\n先检查。\n\n再吃药。\n\n\n\n头痛,疼\n休息。\n"
)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["gb18030", "utf-8"])
def test_text(write, end, encoding):
    rows = read(write(TEXT.replace("\n", end).encode(encoding), "内科.txt"))
    (source,) = rows.sources
    assert (source.format, source.container, source.rows) == ("toyhom", "qa-text", 3)
    assert [(row.prompt, row.response) for row in rows] == [
        ("高血压患者能吃党参吗？\n我有高血压,您好", "可以的。"),
        ("胃痛", "先检查。\n\n再吃药。"),
        ("头痛\n疼", "休息。"),
    ]
    assert [row.where for row in rows] == ["line 1", "line 5", "line 12"]


def test_a_csv_with_empty_lines_stays_a_csv(write):
    rows = read(write("question,answer\na,b\n\n\nc,d\n"))
    assert rows.sources[0].container == "csv"
    assert len(rows) == 2


def test_the_same_question_in_csv_text_and_json_has_the_same_id(write):
    ids = {
        read(write(content, name))[0].id
        for name, content in {
            "a.csv": as_csv([["内科", "胃痛", "疼", "休息"]]),
            "b.txt": "胃痛,疼\n休息\n\n\n头痛,疼\n休息\n",
            "c.json": json.dumps([{"instruction": "胃痛\n疼", "output": "休息"}]),
            "d.json": json.dumps([{"data": ["问：胃痛\n疼", "答：休息"]}]),
            "e.json": json.dumps([["病人：胃痛\n疼", "医生：休息"]]),
            "f.json": json.dumps([{"question": "胃痛\n疼", "answer": "休息", "label": "内科"}]),
            "g.txt": "id=1\nhttp://x\n\nDialogue\n病人：\n胃痛\n疼\n医生：\n休息\n",
            "h.jsonl": json.dumps(
                {
                    "messages": [
                        {"role": "user", "content": [{"type": "text", "text": "胃痛\n疼"}]},
                        {"role": "assistant", "content": "休息"},
                    ]
                }
            ),
        }.items()
    }
    assert len(ids) == 1


def test_the_real_file(real):
    rows = read(real("toyhom_internal_medicine_gb18030.csv"))
    with real("toyhom_internal_medicine_gb18030.csv").open(encoding="gb18030", newline="") as file:
        given = list(csv.DictReader(file))
    assert len(rows) == len(given) == 5000
    for row, was in zip(rows, given, strict=True):
        assert row.response == was["answer"]
        said = was["title"] if was["ask"] == "无" else was["ask"]
        assert row.prompt.endswith(said.strip())
        assert row.value["department"] == was["department"]
    distinct = {(r["title"].strip() + "\n" + r["ask"].strip(), r["answer"]) for r in given}
    assert int((rows.repeats > 0).sum()) >= 5000 - len(distinct) > 200
    assert rows.sources[0].changes["no question, the title taken for it"] == 6
