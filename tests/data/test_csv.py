import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.data import tables
from curate.data.json_values import Record
from curate.data.tables import SURPLUS, csv_rows
from curate.errors import DataError

CELL = st.text(alphabet='ab",;\t\n\r\x00\u2028\x85\ufeff中文 ', max_size=8)
TABLE = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), max_size=6)
)


def rows(text):
    return list(csv_rows(io.StringIO(text, newline=""), "rows.csv"))


def told(text):
    with pytest.raises(DataError) as error:
        rows(text)
    return str(error.value)


# CSV by hand


def test_csv_values_and_places():
    text = 'ask,answer\r\n"a,b\n""c""",d\r\n\r\ne,\n'
    assert rows(text) == [
        Record({"ask": 'a,b\n"c"', "answer": "d"}, "line 2"),
        Record({"ask": "e", "answer": ""}, "line 5"),
    ]


def test_csv_lines_are_counted_from_the_top_of_the_file():
    text = '\n \n"a\nb",c\n1,2\n\n3,"4\n5"\n6,7'
    assert [each.where for each in rows(text)] == ["line 5", "line 7", "line 9"]
    assert list(rows(text)[0].value) == ["a\nb", "c"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [",", "\t", ";"])
@pytest.mark.parametrize("last", [True, False])
def test_csv_line_ends_and_delimiters(end, mark, last):
    text = end.join([f"问{mark}答", f"a{mark}b", f"c{mark}d"]) + end * last
    assert [each.value for each in rows(text)] == [{"问": "a", "答": "b"}, {"问": "c", "答": "d"}]


def test_csv_rows_with_a_wrong_number_of_fields_are_told_by_a_list():
    assert [each.value for each in rows("a,b\n1\n1,2,3,4\n1,2\n")] == [
        {"a": "1", SURPLUS: []},
        {"a": "1", "b": "2", SURPLUS: ["3", "4"]},
        {"a": "1", "b": "2"},
    ]


def test_csv_with_the_index_that_pandas_writes():
    assert [each.value for each in rows(",a\n0,x\n1,y,z\n")] == [
        {"": "0", "a": "x"},
        {SURPLUS: ["1", "z"], "a": "y"},
    ]


@pytest.mark.parametrize("text", ["", "\n \n", "a,b", "a,b\n", 'a,"b\n"\r\n\n'])
def test_csv_without_rows(text):
    assert rows(text) == []


def test_csv_keeps_zero_bytes_and_long_fields():
    long = "x" * 200_000  # more than the csv module takes by itself
    assert rows(f"a,b\n1\x002,{long}\n")[0].value == {"a": "1\x002", "b": long}


# CSV, what is wrong with it


def test_csv_quote_never_closed_names_where_it_opens():
    text = 'a,b\n1,2\n3,"4\n5,6\n7,8\n'
    assert told(text) == (
        'rows.csv: a quote (") that opens in the row starting on line 3 is never closed; close it '
        "(a quote inside a field is written twice), or fetch the file again"
    )
    assert "starting on line 3 is" in told(text.rstrip("\n"))
    assert "starting on line 1 is" in told('a,"b\n1,2\n')


def test_csv_rows_before_an_open_quote_are_yielded():
    found = []
    with pytest.raises(DataError):
        found.extend(csv_rows(io.StringIO('a\n1\n2\n"3\n', newline=""), "rows.csv"))
    stream = csv_rows(io.StringIO('a\n1\n2\n"3\n', newline=""), "rows.csv")
    assert [next(stream).value, next(stream).value] == [{"a": "1"}, {"a": "2"}]


def test_csv_duplicate_column_or_no_header():
    assert told("ask,answer,ask\n1,2,3\n") == (
        "rows.csv: its first line names the column 'ask' twice; rename one of them, or, if that "
        "line is data already, put a line with the columns' names above it"
    )


def test_csv_field_longer_than_the_limit(monkeypatch):
    monkeypatch.setattr(tables, "LIMIT", 100)
    limit = csv.field_size_limit(100)
    try:
        assert told("a\n" + "x" * 101) == (
            "rows.csv, row starting on line 2: field larger than field limit (100); look for a "
            "quote that is not closed"
        )
    finally:
        csv.field_size_limit(limit)


# CSV against the csv module


@given(table=TABLE, mark=st.sampled_from(",\t;"), end=st.sampled_from(["\r\n", "\n"]))
def test_csv_equals_dict_reader(table, mark, end):
    header = [f"column{place}" for place in range(len(table[0]) if table else 2)]
    stream = io.StringIO(newline="")
    quoting = csv.QUOTE_MINIMAL if end == "\r\n" else csv.QUOTE_ALL
    csv.writer(stream, delimiter=mark, lineterminator=end, quoting=quoting).writerows(
        [header, *table]
    )
    text = stream.getvalue()
    wanted = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=mark))
    found = [each.value for each in rows(text)]
    if len(header) > 1:  # alone, a column's delimiter cannot be seen and is not needed
        assert found == wanted
    assert [list(value.values()) for value in found] == table or len(header) == 1


@given(table=st.lists(st.lists(st.sampled_from(["", "a", "b c", '"']), max_size=4), max_size=6))
def test_csv_of_uneven_rows_equals_dict_reader(table):
    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([["x", "y"], *table])
    reader = csv.DictReader(io.StringIO(stream.getvalue(), newline=""), restkey="+", restval=None)
    wanted = []
    for row in reader:
        surplus = row.pop("+", None)
        while surplus and not surplus[-1]:  # empty cells behind the last column, as Excel writes
            surplus.pop()
        short = [key for key, value in row.items() if value is None]
        value = {key: value for key, value in row.items() if value is not None}
        wanted.append(value | ({SURPLUS: surplus or []} if surplus or short else {}))
    assert [each.value for each in rows(stream.getvalue())] == wanted


def test_real_gb18030_csv_equals_the_csv_module(real):
    path = real("toyhom_internal_medicine_gb18030.csv")
    with path.open(encoding="gb18030", newline="") as stream:
        wanted = list(csv.DictReader(stream))
    with path.open(encoding="gb18030", newline="") as stream:
        found = [each.value for each in csv_rows(stream, path.name)]
    assert len(found) == 5000
    assert found == wanted
    assert list(found[0]) == ["department", "title", "ask", "answer"]
