import codecs
import csv
import io
import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from curate.data.encoding import sniff
from curate.data.file_kinds import START, raw_rows
from curate.data.read import read as read_rows
from curate.errors import DataError

ROWS = [
    {"instruction": "头痛三天怎么办？", "output": "多休息，\r\n少看\r“屏幕”。\n"},
    {"instruction": "What\u2028now?\x85", "output": 'Say "hi", \\ and \t tab'},
    {"instruction": "", "output": "😀"},
]


def read(path):
    sniffed = sniff(path)
    container, records = raw_rows(path, sniffed)
    return container, [record.value for record in records]


def told(path):
    with pytest.raises(DataError) as error:
        read(path)
    return str(error.value)


def as_json(rows):
    return json.dumps(rows, ensure_ascii=False)


def as_pretty(rows):
    return json.dumps(rows, ensure_ascii=False, indent=2)


def as_lines(rows):
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def as_crlf_lines(rows):
    return "\r\n\r\n" + as_lines(rows).replace("\n", "\r\n") + "\r\n"


def as_pretty_values(rows):
    return "\n".join(json.dumps(row, ensure_ascii=False, indent=1) for row in rows)


def as_csv(rows):
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


TEXTS = {
    as_json: "json",
    as_pretty: "json",
    as_lines: "jsonl",
    as_crlf_lines: "jsonl",
    as_pretty_values: "json-values",
    as_csv: "csv",
}


@pytest.mark.parametrize("make", TEXTS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("name", ["rows.json", "rows.txt", "rows"])
def test_every_text_in_every_encoding_under_any_name(write, make, encoding, name):
    assert read(write(make(ROWS).encode(encoding), name)) == (TEXTS[make], ROWS)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.json"])
def test_columnar_files_under_any_name(tmp_path, name):
    path, table = tmp_path / name, pa.Table.from_pylist(ROWS)
    pq.write_table(table, path)
    assert read(path) == ("parquet", ROWS)
    for make in (pa.ipc.new_file, pa.ipc.new_stream):
        with pa.OSFile(str(path), "wb") as sink, make(sink, table.schema) as writer:
            writer.write_table(table)
        assert read(path) == ("arrow", ROWS)


@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from("abc"), st.text(max_size=9) | st.none(), max_size=3),
        min_size=1,
        max_size=4,
    ),
    make=st.sampled_from([as_json, as_pretty, as_lines, as_crlf_lines, as_pretty_values]),
)
def test_any_rows_come_back(tmp_path_factory, rows, make):
    assume(make is not as_pretty_values or rows[0])  # the first row tells how rows are written
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(make(rows).encode("utf-8", "ignore").decode(), encoding="utf-8", newline="")
    assert read(path)[1] == rows


@pytest.mark.parametrize(
    ("text", "container"),
    [
        ('\n \t\n{"a": 1}\n', "jsonl"),
        ('\ufeff\ufeff{"a": 1}\n', "jsonl"),
        ('\ufeff\n\ufeff[{"a": 1}]', "json"),
        ('{"a": 1}', "jsonl"),
        ('{\n"a": 1\n}', "json-values"),
        ('{"a": 1} {"a": 1}', "json-values"),
        ('{"data": [{"a": 1}]}', "jsonl"),
        ('{"a": "' + "x" * 2 * START + '"}\n{"a": 1}', "jsonl"),
        (" " * 2 * START + '{"a": 1}', "jsonl"),
        ("a,b\n1,2", "csv"),
        ("头痛\t发热\n", "csv"),
    ],
)
def test_what_the_first_characters_tell(write, text, container):
    path = write(text)
    assert raw_rows(path, sniff(path))[0] == container
    assert len(read(path)[1]) >= (container != "csv")


@pytest.mark.parametrize("text", ["", "\n\n", " \t\r\n", "\ufeff", "\ufeff\n"])
def test_an_empty_file(write, text):
    assert told(write(text, "none.jsonl")) == "none.jsonl is empty; fetch it again or leave it out"


def test_an_object_around_the_rows_is_one_row_for_the_reader_to_judge(write):
    wrapped = {"data": [{"a": 1}, {"a": 2}]}
    assert read(write(json.dumps(wrapped))) == ("jsonl", [wrapped])
    assert read(write(json.dumps(wrapped, indent=2))) == ("json-values", [wrapped])


def test_lines_with_commas_between_them(write):
    assert "',' after a row, but no '[' before the first" in told(write('{"a": 1},\n{"a": 2}'))


def test_files_put_together(write):
    one, two = '{"a": 1}\n'.encode("utf-8-sig"), '{"a": 2}\n'.encode("utf-8-sig")
    assert read(write(one + two)) == ("jsonl", [{"a": 1}, {"a": 2}])
    assert "line 2 column 3: more text after the end of the array" in told(write("[\n1][2]"))


@pytest.mark.parametrize(
    ("text", "container", "rows"),
    [
        ('[{"role": 1}]\n[{"role": 2}]\n', "jsonl", [[{"role": 1}], [{"role": 2}]]),
        ('\n[1]\n\n[2]', "jsonl", [[1], [2]]),
        ('[["a"],\n["b"]]', "json", [["a"], ["b"]]),
        ('// first version, of 2024\n[\n{"a": 1}]', "json", [{"a": 1}]),
        ('/* one, two */\n{"a": 1}\n// half\n{"a": 2} // "x"\n', "jsonl", [{"a": 1}, {"a": 2}]),
        ('```json\n[{"a": 1}]\n```\n', "json", [{"a": 1}]),
        ('```\n{"a": 1}\n{"a": 2}\n```', "jsonl", [{"a": 1}, {"a": 2}]),
        ('```jsonl\n{\n"a": 1,\n}\n```', "json-values", [{"a": 1}]),
        ('[{"a": "x\ny"}]', "json", [{"a": "x\ny"}]),
        ('{"a": {"0": 1}}\n{"a": {"0": 2}}', "jsonl", [{"a": {"0": 1}}, {"a": {"0": 2}}]),
        ('a,b\n"x,\n\n\ny",z\nu,v\n', "csv", [{"a": "x,\n\n\ny", "b": "z"}, {"a": "u", "b": "v"}]),
        ('t,q\nanswer\n\n\nt2,q2\n"a"\n', "qa-text",
         [{"title": "t", "ask": "q", "answer": "answer"},
          {"title": "t2", "ask": "q2", "answer": '"a"'}]),
    ],
)  # fmt: skip
def test_containers_that_are_told_with_care(write, text, container, rows):
    assert read(write(text)) == (container, rows)


@pytest.mark.parametrize(
    "text",
    [
        "Fever is common, and mild, and short, and mild, as nurses say.\nRest.\nDrink.\n",
        "[注] 这是一本书。\n第二段，很长。\n",
        "// 序言：这是一本书。\n第二段，很长。\n",
    ],
)
def test_plain_text_is_named_and_no_table(write, text):
    assert "is plain text, no table" in told(write(text, "book.txt"))
    assert "--format pretraining" in told(write(text, "book.txt"))
    path = write(text, "book.txt")
    assert [record.value for record in raw_rows(path, sniff(path), plain=True)[1]] == [
        {"text": line} for line in text.splitlines()
    ]


@pytest.mark.parametrize("encode", [json.dumps, lambda value: json.dumps(value, indent=1)])
@pytest.mark.parametrize("key", ["messages", "对话"])
def test_messages_in_the_cells_of_a_table(write, scratch_cache, encode, key):
    roles = ("user", "assistant")
    talks = [[{"role": role, "content": f"{n}, \n\n\n"} for role in roles] for n in range(3)]
    rows = [{"id": str(n), key: encode(talk)} for n, talk in enumerate(talks)]
    broken = read_rows(write(as_csv([*rows, {"id": "3", key: "broken"}]), "rows.csv"))
    assert [row.value[key] for row in broken] == [*talks, "broken"]
    assert [row.flaw for row in broken] == ["", "", "", "not_text"]
    assert broken.sources[0].changes == {f"the list in the text of '{key}' read": 3}


def test_texts_that_are_lists_stay_texts(write, scratch_cache):
    rows = [{"input": "name them", "output": '[["a", "b"]]', "tools": "[]", "images": '["a.png"]'}]
    (row,) = read_rows(write(as_csv(rows), "rows.csv"))
    assert row.value == {**rows[0], "images": ["a.png"]}


def test_broken_first_line_is_named(write):
    told_of = told(write('{"a": 1, b}\n{"a": 2}\n', "rows.jsonl"))
    assert told_of.startswith("rows.jsonl, line 1 column 10: Expecting property name")


def test_cut_array_in_gb18030_is_told_from_wrong_bytes(write):
    whole = json.dumps(ROWS, ensure_ascii=False).encode("gb18030")
    assert "without the closing ]" in told(write(whole[:-1]))
    assert "ends inside row 1" in told(write(whole[:40]))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("\n<!DOCTYPE html>\n<html>", "is a web page; open its address and fetch the file it"),
        ("<html lang='en'>", "is a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1", "run `git lfs pull`"),
    ],
)
def test_what_downloads_leave_in_place_of_the_file(write, text, wanted):
    assert wanted in told(write(text))


def test_an_array_on_one_line_is_not_read_whole_to_know_it(write):
    path = write(json.dumps([{"a": "x" * 1000}] * 3000))
    sniffed = sniff(path)
    tracemalloc.start()
    assert raw_rows(path, sniffed)[0] == "json"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300_000


@pytest.mark.parametrize(
    ("name", "container", "rows"),
    [
        ("alpaca_en.json", "json", 600),
        ("kto_en_demo.json", "json", 200),
        ("coachlm_expert_revisions_train.json", "json", 2072),
        ("care_qa.jsonl", "jsonl", 2000),
        ("disc_med_sft.jsonl", "jsonl", 100),
        ("medical_corpus.txt", "jsonl", None),
        ("toyhom_internal_medicine_gb18030.csv", "csv", 5000),
    ],
)
def test_real_files(real, name, container, rows):
    found, values = read(real(name))
    assert found == container
    assert rows in (None, len(values))
    assert all(isinstance(value, dict) and value for value in values)


def test_a_mark_of_order_is_not_part_of_the_first_key(write):
    for text in ('[{"a": "1"}]', '{"a": "1"}', "a\n1"):
        assert read(write(codecs.BOM_UTF8 + text.encode()))[1] == [{"a": "1"}]


@pytest.mark.parametrize("write", [as_json, as_pretty, as_lines, as_pretty_values])
@pytest.mark.parametrize(
    "above",
    [
        *("/*\n{licence}\n*/\n", "/* one line */", f"/*{'[ terms ]' * START}*/\n"),
        *(f"// {'x' * START}\n", "/**\n" + " * {terms},\n" * START + " */\n# end\n"),
    ],
)
def test_comments_of_any_length_stand_above_rows(tmp_path, write, above):
    path = tmp_path / "rows.json"
    path.write_text(above + write(ROWS), encoding="utf-8")
    assert read(path)[1] == ROWS


def test_a_comment_that_does_not_end_is_told(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text("/*\n" + as_pretty(ROWS), encoding="utf-8")
    assert "JSON begins on line 2, behind other text ('/*')" in told(path)
