import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curate.data.json_values import plain
from curate.data.tables import BATCH, arrow_rows, parquet_rows
from curate.errors import DataError

MESSAGES = [
    {"id": 1, "conversations": [{"from": "human", "value": "问"}, {"from": "gpt", "value": "答"}]},
    {"id": 2, "conversations": []},
    {"id": 3, "conversations": None},
    {"id": None, "conversations": [{"value": "x"}]},  # what Arrow puts there is taken away again
]


@pytest.fixture
def columnar(tmp_path):
    """Write a table in a way, and read it back as rows."""

    def columnar(table, way):
        path = tmp_path / "rows.bin"
        if way == "parquet":
            pq.write_table(table, path, row_group_size=3)
            return parquet_rows(path)
        make = {"file": pa.ipc.new_file, "stream": pa.ipc.new_stream}[way]
        with pa.OSFile(str(path), "wb") as sink, make(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=3)
        return arrow_rows(path)

    return columnar


WAYS = pytest.mark.parametrize("way", ["parquet", "file", "stream"])


@WAYS
def test_lists_of_structs(columnar, way):
    # The metadata is what Hugging Face `datasets` writes beside its schema.
    about = {"huggingface": json.dumps({"info": {"features": {}}})}
    table = pa.Table.from_pylist(MESSAGES).replace_schema_metadata(about)
    found = list(columnar(table, way))
    assert [each.value for each in found] == MESSAGES
    assert [each.where for each in found] == ["row 1", "row 2", "row 3", "row 4"]


@WAYS
def test_order_over_many_batches(columnar, way):
    table = pa.table({"n": list(range(2 * BATCH + 5))})
    assert [each.value["n"] for each in columnar(table, way)] == list(range(2 * BATCH + 5))


@WAYS
def test_no_rows(columnar, way):
    assert list(columnar(pa.table({"a": pa.array([], pa.string())}), way)) == []


@WAYS
def test_types_that_json_has_no_word_for(columnar, way):
    day = datetime.date(2024, 2, 29)
    table = pa.table(
        {
            "day": [day],
            "at": pa.array([1], pa.timestamp("ns")),
            "took": pa.array([1_500_000], pa.duration("us")),
            "price": [decimal.Decimal("1.50")],
            "word": pa.array(["x"]).dictionary_encode(),
            "long": pa.array(["中"], pa.large_string()),
            "pairs": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        }
    )
    value = next(columnar(table, way)).value
    assert value == {
        "day": "2024-02-29",
        "at": "1970-01-01T00:00:00.000000001",
        "took": "0:00:01.500000",
        "price": "1.50",
        "word": "x",
        "long": "中",
        "pairs": [["k", 1]],
    }
    assert json.loads(json.dumps(value)) == value


@WAYS
@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        (pa.binary(), b"x"),
        (pa.large_binary(), b"x"),
        (pa.binary(1), b"x"),
        (pa.list_(pa.binary()), [b"x"]),
        (pa.struct([("bytes", pa.binary()), ("path", pa.string())]), {"bytes": b"x", "path": "a"}),
    ],
)
def test_a_column_of_bytes_is_named(columnar, way, kind, cell):
    table = pa.table({"text": ["a"], "image": pa.array([cell], kind)})
    wanted = r"rows.bin: column 'image' holds bytes \(.*\), rows hold text; save the file again"
    with pytest.raises(DataError, match=wanted):
        list(columnar(table, way))


@WAYS
def test_a_field_that_is_only_called_binary_is_read(columnar, way):
    table = pa.table({"x": [{"binary": "text"}]})
    assert next(columnar(table, way)).value == {"x": {"binary": "text"}}


@WAYS
def test_two_columns_of_one_name(columnar, way):
    table = pa.table([pa.array(["1"]), pa.array(["2"])], names=["ask", "ask"])
    with pytest.raises(DataError, match="rows.bin has two columns named 'ask'; save it again"):
        list(columnar(table, way))


@pytest.mark.parametrize("what", ["cut", "pages", "footer"])
def test_damaged_parquet(tmp_path, what):
    path = tmp_path / "rows.parquet"
    table = pa.table({"a": [f"{number} {'x' * 50}" for number in range(5000)]})
    pq.write_table(table, path, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    if what == "cut":
        content = content[: len(content) // 2]
    else:
        at = len(content) // 2 if what == "pages" else len(content) - 40
        content[at : at + 30] = b"\xff" * 30
    path.write_bytes(content)
    wanted = r"rows.parquet begins like parquet but cannot be read \(.+\); fetch it again"
    with pytest.raises(DataError, match=wanted):
        list(parquet_rows(path))


def test_arrow_cut_anywhere(tmp_path):
    path = tmp_path / "rows.arrow"
    table = pa.table({"a": ["some text"] * 10})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content = path.read_bytes()
    for cut in range(5, len(content) - 8, 7):
        path.write_bytes(content[:cut])
        with pytest.raises(DataError, match="begins like arrow but cannot be read"):
            list(arrow_rows(path))


def test_text_that_is_no_utf8_inside_parquet(tmp_path):
    path = tmp_path / "rows.parquet"
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xd0\xc4")]
    )
    pq.write_table(pa.table({"a": broken}), path)
    with pytest.raises(DataError, match="cannot be read"):
        list(parquet_rows(path))


def test_a_missing_file_stays_one(tmp_path):
    for read in (parquet_rows, arrow_rows):
        with pytest.raises(FileNotFoundError):
            list(read(tmp_path / "none"))


# Values


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.array(["a", None], dtype=object), ["a", None]),
        ({1: (np.str_("x"), {"k": np.array([True])})}, {"1": ["x", {"k": [True]}]}),
        (pd.Timestamp("2024-01-02 03:04:05"), "2024-01-02T03:04:05"),
        (pd.NaT, None),
        (pd.NA, None),
        (datetime.time(1, 2), "01:02:00"),
    ],
)
def test_plain(value, wanted):
    assert plain(value) == wanted
    json.dumps(plain(value))


@pytest.mark.parametrize("value", [b"x", {"a": [b"x"]}, object(), {1, 2}])
def test_plain_refuses_what_is_no_json(value):
    with pytest.raises(TypeError, match="is no JSON"):
        plain(value)
