import io
import json

import pytest

from curate.data.json_values import DEPTH, json_array, json_lines, json_values
from curate.errors import DataError


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


def test_an_integer_that_is_too_long():
    digits = "1" * 5000
    for read in (lines, values, lambda text: array(f"[{text}]")):
        told = refused(read, f'{{"a": {digits}}}')
        assert "line 1" in told
        assert "4300 digits" in told
        assert told.endswith("take that row out and read the file again")
        assert len(told) < 250


@pytest.mark.parametrize("deep", [DEPTH + 2, 900, 100_000])
def test_deep_nesting_is_refused(deep):
    row = "[" * deep + "1" + "]" * deep
    for read in (lines, values, lambda text: array(f"[{text}]")):
        told = refused(read, row)
        assert "line 1" in told
        assert f"nested more than {DEPTH} levels deep; take that row out" in told


def test_nesting_up_to_the_limit_and_many_brackets_in_text():
    row = "[" * DEPTH + "1" + "]" * DEPTH
    flat = json.dumps({"a": "[{" * 500, "b": [[]] * 500})
    for read in (lines, values, lambda text: array(f"[{text}]")):
        assert json.dumps(read(row)[0].value) == row
        assert read(flat)[0].value == json.loads(flat)


ROWS = '[\n{"a": 1},\n{"a": "x, y"}\n]'


@pytest.mark.parametrize("cut", range(1, len(ROWS)))
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_an_array_cut_anywhere_is_called_cut(cut, chunk):
    told = refused(array, ROWS[:cut], chunk=chunk)
    assert "the file looks cut off - fetch it again" in told
    rows = (cut > ROWS.index("},")) + (cut > ROWS.index("}\n]"))
    assert f"whole rows before it: {rows};" in told or f"ends after row {rows} without" in told


def test_a_missing_bracket():
    assert refused(array, '[{"a": 1},\n {"a": 2}\n') == (
        "rows.json ends after row 2 without the closing ]; the file looks cut off - fetch it again"
    )


def test_a_row_that_is_cut():
    assert refused(array, '[{"a": 1},\n {"a": "xy') == (
        "rows.json ends inside row 2 (line 2), whole rows before it: 1; "
        "the file looks cut off - fetch it again"
    )
    assert refused(lines, '{"a": 1}\n{"a": [tru') == (
        "rows.jsonl ends inside line 2, whole rows before it: 1; "
        "the file looks cut off - fetch it again"
    )
    assert "ends inside row 2 (line 2)" in refused(values, '{"a": 1}\n{"a": "\\ud83d\\u')


@pytest.mark.parametrize("tail", ["tru", "-", "-Infin", "1.", "1e", "2E-", '"\\u', '"\\u00e', "["])
@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_every_kind_of_cut_value(tail, chunk):
    row = f'{{"a": {tail}'
    assert "looks cut off" in refused(array, f"[{row}", chunk=chunk)
    assert "looks cut off" in refused(values, row, chunk=chunk)
    assert "looks cut off" in refused(lines, row)


@pytest.mark.parametrize("chunk", [1, 2, 9, 1000])
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[{"a": 1},\n {"a": }]', "line 2 column 8: Expecting value"),
        ('[{"a": 1},\n {"a" 2}]', "line 2 column 7: Expecting ':' delimiter"),
        ('[\n\n  {"a": 1} {"a": 2}]', "line 3 column 12: expecting ',' or ']' after a row"),
        ("[\r\n{'a': 1}]", "line 2 column 2: Expecting property name enclosed in double quotes"),
        ("[,1]", "line 1 column 2: Expecting value"),
        ('[{"a": "\\x"}]', "line 1 column 9: Invalid \\escape"),
        ("[1]\n[2]", "line 2 column 1: more text after the end of the array"),
        ('[{"a": 1}]]', "line 1 column 11: more text after the end of the array"),
    ],
)
def test_broken_arrays_name_line_and_column(text, place, chunk):
    told = refused(array, text, chunk=chunk)
    assert told.startswith(f"rows.json, {place}")
    assert told.endswith("; put the JSON right there, or fetch the file again")


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('{"a": }', "line 3 column 7: Expecting value"),
        ('{"a": 1}, ', "line 3 column 9: Extra data"),
        ('{"a": 1}{"a": 2}', "line 3 column 9: Extra data"),
        ("{a: 1}", "line 3 column 2: Expecting property name"),
        ("nul", None),
        ("None", "line 3 column 1: Expecting value"),
        ("\x00\x00", "line 3 column 1: Expecting value"),
    ],
)
def test_broken_lines_name_line_and_column(line, place, end):
    told = refused(lines, f'{{"a": 1}}\n\n{line}{end}')
    if place is None and not end:
        assert "ends inside line 3" in told
    else:
        assert told.startswith(f"rows.jsonl, {place or 'line 3 column 1: Expecting value'}")


def test_a_quote_not_closed_within_its_line():
    told = refused(lines, '{"a": 1}\n{"a": "x}\n{"a": 3}\n')
    assert told.startswith("rows.jsonl, line 2 column 7: Unterminated string starting at")


def test_rows_with_commas_but_without_brackets():
    told = refused(values, '{"a": 1},\n{"a": 2}\n')
    assert told.startswith("rows.json, line 1 column 9: ',' after a row, but no '[' before the")
    assert "']' after a row" in refused(values, '{"a": 1}\n]')


@pytest.mark.parametrize("chunk", [1, 10, 1000])
def test_values_longer_than_the_limit(chunk):
    long = json.dumps({"a": "x" * 100})
    fits = json.dumps({"a": "x" * 20})
    for read in (array, values):
        text = f"[{fits}, {long}]" if read is array else f"{fits}\n{long}"
        told = refused(read, text, chunk=chunk, limit=60)
        assert "row 2" in told
        assert "longer than 60 characters, the most that is read; take that row out" in told
        assert "if one object wraps the whole file, save the list in it alone" in told
    assert refused(lines, f"{fits}\n{long}", limit=60).startswith("rows.jsonl, line 2: one value")
    assert len(lines(f"{long}\n", limit=len(long) + 1)) == 1
