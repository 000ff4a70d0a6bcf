import io
import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.data.json_values import Record, is_json, json_array, json_lines, json_values
from curate.errors import DataError

TEXT = st.text(alphabet='ab"\\/{}[],:\n\r\t\x00\u2028\x85\ufeff中😀', max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)
INDENT = st.sampled_from([None, 0, 2, 40])
CHUNKS = st.integers(1, 50)


def array(text, **more):
    return list(json_array(io.StringIO(text, newline=""), "rows.json", **more))


def values(text, **more):
    return list(json_values(io.StringIO(text, newline=""), "rows.json", **more))


def lines(text, **more):
    return list(json_lines(io.StringIO(text, newline="\n"), "rows.jsonl", **more))


def refused(read, text, **more):
    with pytest.raises(DataError) as error:
        read(text, **more)
    return str(error.value)


# By hand


def test_array_values_and_places():
    text = '[{"a": 1},\n  {"a": 2}\n, 3,\n\n"x"]\n'
    assert array(text) == [
        Record({"a": 1}, "row 1 (line 1)"),
        Record({"a": 2}, "row 2 (line 2)"),
        Record(3, "row 3 (line 3)"),
        Record("x", "row 4 (line 5)"),
    ]


@pytest.mark.parametrize("text", ["[]", " [ \r\n ] ", "[\n]"])
def test_array_without_rows(text):
    assert array(text) == []


def test_pretty_printed_values_and_places():
    text = '\n{\n "a": 1\n}\n{"a": 2}{"a": 3}\r\n'
    assert values(text) == [
        Record({"a": 1}, "line 2"),
        Record({"a": 2}, "line 5"),
        Record({"a": 3}, "line 5"),
    ]


def test_lines_values_and_places():
    text = '\n{"a": 1}\r\n  \t\n {"a": 2} \n\n{"a": 3}'
    assert lines(text) == [
        Record({"a": 1}, "line 2"),
        Record({"a": 2}, "line 4"),
        Record({"a": 3}, "line 6"),
    ]


@pytest.mark.parametrize("inner", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_lines_end_at_newlines_and_nowhere_else(inner):
    assert lines(f'{{"a": "x{inner}y"}}\n{{"a": 2}}')[0].value == {"a": f"x{inner}y"}


def test_a_byte_order_mark_between_rows_is_no_part_of_them():
    first, second = '{"a": "\ufeffx"}', '{"a": 2}'
    wanted = [{"a": "\ufeffx"}, {"a": 2}]
    for text in (f"{first}\n\ufeff{second}\n\ufeff\n", f"\ufeff{first}\n\ufeff{second}"):
        assert [each.value for each in lines(text)] == wanted
        assert [each.value for each in values(text)] == wanted
    assert [each.value for each in array(f"[{first},\ufeff{second}]\ufeff")] == wanted


@pytest.mark.parametrize("read", [lines, values, lambda text: array(f"[{text}]")])
def test_half_a_pair_of_escapes_is_kept(read):
    assert read(r'{"a": "\ud83d", "b": "\ud83d\ude00"}')[0].value == {"a": "\ud83d", "b": "😀"}


@pytest.mark.parametrize("read", [lines, values, lambda text: array(f"[{text}]")])
def test_numbers_that_only_python_writes(read):
    value = read('{"a": NaN, "b": [Infinity, -Infinity]}')[0].value
    assert value["a"] is None  # what pandas writes for a cell that is not there
    assert value["b"] == [math.inf, -math.inf]


# Against json.loads


@given(rows=st.lists(VALUES, max_size=4), indent=INDENT, ascii_only=st.booleans(), chunk=CHUNKS)
def test_array_equals_json_loads(rows, indent, ascii_only, chunk):
    text = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    assert [each.value for each in array(text, chunk=chunk)] == json.loads(text)
    assert [each.value for each in array(f" \n{text}\r\n", chunk=chunk)] == json.loads(text)


@given(
    rows=st.lists(VALUES, max_size=4), indent=INDENT, between=st.sampled_from([" ", "\n", "\r\n\n"])
)
def test_values_equal_json_loads_with_any_chunk(rows, indent, between):
    text = between.join(json.dumps(row, indent=indent, ensure_ascii=False) for row in rows)
    for chunk in (1, 2, 3, 5, 17, 50, 1 << 20):
        assert [each.value for each in values(text, chunk=chunk)] == rows


@given(rows=st.lists(VALUES, max_size=5), end=st.sampled_from(["\n", "\r\n", "\n\n", "\n \t\r\n"]))
def test_lines_equal_json_loads(rows, end):
    texts = [json.dumps(row, ensure_ascii=False) for row in rows]
    assert [each.value for each in lines(end.join(texts))] == rows
    assert [each.value for each in lines("".join(text + end for text in texts))] == rows


@pytest.mark.parametrize("number", ["1", "-12.5e+30", "123456789012345678901234567890", "-0.5"])
def test_numbers_and_words_cut_by_chunks(number):
    text = f"[{number}, true, null, {number} , false, -Infinity, {number}]"
    for chunk in range(1, 60):
        assert [each.value for each in array(text, chunk=chunk)] == json.loads(text)
        joined = text[1:-1].replace(",", " ")
        assert [each.value for each in values(joined, chunk=chunk)] == json.loads(text)


@given(chunk=CHUNKS, spaces=st.integers(0, 40))
def test_white_space_longer_than_a_chunk(chunk, spaces):
    gap = " " * spaces
    text = f'[{gap}{{{gap}"a"{gap}:{gap}1{gap},{gap}"b":[{gap}]{gap}}}{gap},{gap}2{gap}]{gap}'
    assert [each.value for each in array(text, chunk=chunk)] == [{"a": 1, "b": []}, 2]


@given(rows=st.lists(VALUES, min_size=1, max_size=4), chunk=CHUNKS)
def test_places_are_the_lines_that_rows_begin_on(rows, chunk):
    text = "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]"
    wanted = [f"row {place} (line {place + 1})" for place in range(1, len(rows) + 1)]
    assert [each.where for each in array(text, chunk=chunk)] == wanted


def testis_json_survives_what_json_loads_does_not():
    assert not is_json("[" * 100_000)
    assert not is_json("1" * 5000)


class Counting(io.StringIO):
    characters = 0

    def read(self, size=-1):
        text = super().read(size)
        self.characters += len(text)
        return text


def test_reading_is_lazy():
    stream = Counting(json.dumps([{"a": "x" * 100}] * 1000))
    first = next(json_array(stream, "rows.json", chunk=300))
    assert first.value == {"a": "x" * 100}
    assert stream.characters <= 600


# Real rows


@pytest.mark.parametrize(
    "name", ["alpaca_zh.json", "identity.json", "dpo_zh_demo.json", "kto_en_demo.json"]
)
@pytest.mark.parametrize("chunk", [97, 10_007, 1 << 20])
def test_real_arrays(real, name, chunk):
    text = real(name).read_text(encoding="utf-8")
    assert [each.value for each in array(text, chunk=chunk)] == json.loads(text)


@pytest.mark.parametrize("name", ["care_qa.jsonl", "dpo_zh.jsonl", "medical_corpus.txt"])
def test_real_lines(real, name):
    text = real(name).read_text(encoding="utf-8")
    wanted = [json.loads(line) for line in text.split("\n") if line]
    assert [each.value for each in lines(text)] == wanted
    assert [each.value for each in values(text, chunk=1009)] == wanted


# What is no JSON and harms nobody

_BETWEEN = st.sampled_from(["", " ", "\n", '// one, "two" {\n', '/* , ] \n " */', "/**/"])
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"{}\[\]:,]+|[{}\[\]:,]')


@given(
    rows=st.lists(st.dictionaries(TEXT, VALUES, min_size=1), min_size=1, max_size=4),
    data=st.data(),
    chunk=CHUNKS,
    whole=st.booleans(),
)
def test_comments_and_last_commas_are_no_content(rows, data, chunk, whole):
    plain = json.dumps(rows) if whole else "\n".join(map(json.dumps, rows))
    text = ""
    for token in _TOKEN.findall(plain):
        text += data.draw(_BETWEEN)
        if token in "]}" and text.rstrip()[-1:] not in ("[", "{", ",", ":", "/"):
            text += data.draw(st.sampled_from(["", ","]))
        text += token
    read = array if whole else values
    assert [record.value for record in read(text + "\n// end", chunk=chunk)] == rows


@pytest.mark.parametrize("read", [lambda text: array(f"[{text}]"), values, lines])
def test_keys_that_stand_twice_are_noted(read):
    records = read('{"a": 1, "b": {"c": 1, "c": 2}, "a": 3}')
    assert records[0].value == {"a": 3, "b": {"c": 2}}
    assert records[0].changes == (
        "the key 'c' twice, the last is read",
        "the key 'a' twice, the last is read",
    )
    assert read('{"a": [{"b": 1}, {"b": 1}]}')[0].changes == ()


def test_a_value_with_a_comment_longer_than_what_is_tried_first():
    row = {"a": "//" + "x" * 10_000, "b": 1}
    text = json.dumps(row).replace('"b"', "/* " + "y" * 10_000 + ' */ "b"')
    for chunk in (1, 100, 1 << 20):
        assert array(f"[{text}, // c\n{text}]", chunk=chunk)[1].value == row
