"""Blocks of lines in plain text."""

import io

import pytest

from curate.data.read import read
from curate.data.tables import blocks_of, dialogue_blocks, qa_blocks
from curate.errors import DataError


def dialogues(text):
    return list(dialogue_blocks(io.StringIO(text, newline=""), "x.txt"))


def pairs(text):
    return list(qa_blocks(io.StringIO(text, newline=""), "x.txt"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("id=1\nhttps://x\n", "dialogue-text"),
        ("id = 12 \r\nDescription\r\n", "dialogue-text"),
        ("id,question\n1,2\n", None),
        ("id=x\n", None),
        ("a,b\nc\n\n\nd,e\nf\n", "qa-text"),
        ("a,b\r\nc\r\n\r\n\r\nd,e\r\nf", "qa-text"),
        ("a,b\nc\n\nd,e\nf\n", None),  # one empty line: a CSV with gaps
        ("a,b\nc,d\n\n\n", None),  # one block: a CSV
        ("a,b\n\n\nc,d\n\n\n", None),  # a line a block: a CSV with gaps
        ("a\nb\n\n\nc\nd\n", None),
        ("", None),
    ],
)
def test_kinds(text, kind):
    assert blocks_of(text) == kind


def test_a_dialogue_keeps_every_line():
    text = "id=3\nhttp://x\nnote\nDescription\nd1\n\nd2\nDialogue\n病人：\na\nDescription\nb\n"
    (record,) = dialogues(text)
    assert record.value == {
        "id": "3",
        "url": "http://x",
        "head": "note",
        "Description": "d1\n\nd2",
        "Dialogue": "病人：\na\nDescription\nb",
    }


def test_an_id_within_a_text_begins_no_block():
    assert len(dialogues("id=1\nDialogue\n病人：\nid=2\n医生：\na\n")) == 1
    assert len(dialogues("\n\nid=1\nDialogue\na\n\nid=2\nDialogue\nb\n")) == 2
    assert len(dialogues("id=1\nDialogue\na\n\nid=二\nb\n")) == 1


def test_questions_and_answers():
    assert [each.value for each in pairs("t,a,b\nc\n\nd\n\n\n\nt2\n\n\n")] == [
        {"title": "t", "ask": "a,b", "answer": "c\n\nd"},
        {"title": "t2", "ask": "", "answer": ""},
    ]
    assert pairs("\n\n\n") == []


def test_plain_text_is_rows_of_a_line_each_where_the_user_says_so(scratch_cache, write):
    path = write('肺炎，是一种病。\n\n  "第二行\r\n第三行\n'.encode("gb18030"), "book.txt")
    rows = read(path, format="pretraining")
    assert [row.value["text"] for row in rows] == ["肺炎，是一种病。", '  "第二行', "第三行"]
    assert [row.where for row in rows] == ["line 1", "line 3", "line 4"]
    assert rows.sources[0].container == "lines"
    assert rows.shape.kind == "pretraining"
    with pytest.raises(DataError, match="Plain text is read with --format pretraining, a row a"):
        read(write("肺炎，是一种病。\n第二行\n", "b.txt"))
    table = read(write("id,text\n1,a\n", "c.csv"), format="pretraining")
    assert [row.value for row in table] == [{"id": "1", "text": "a"}]
    lines = read(write('{"text": "a"}\n', "d.txt"), format="pretraining")
    assert [row.value for row in lines] == [{"text": "a"}]
