"""Packed files and spreadsheets: what is in them, and what they are refused for."""

from __future__ import annotations

import bz2
import datetime
import gzip
import io
import json
import lzma
import tarfile
import zipfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.data import packed
from curate.data.describe import notes_on
from curate.data.read import read
from curate.errors import CuratrainError, DataError, UsageError

VALUES = [{"instruction": f"能喝茶吗？{n}", "input": "", "output": f"可以{n}。"} for n in range(4)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in VALUES).encode()


@pytest.fixture(autouse=True)
def cache(scratch_cache):
    return scratch_cache


def zstd(content):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(content)
    return sink.getvalue().to_pybytes()


def zipped(members, **more):
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return sink.getvalue()


PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd}


@pytest.mark.parametrize("ending", PACK)
def test_one_packed_file(write, cache, ending):
    path = write(PACK[ending](LINES), f"rows.jsonl.{ending}")
    rows = read(path)
    assert [row.value for row in rows] == VALUES
    assert (rows.sources[0].name, rows.sources[0].encoding) == (path.name, "utf-8")
    assert list(rows.ids) == list(read(write(LINES, "plain.jsonl")).ids)
    assert not list((cache / "scratch").iterdir())  # what was unpacked is gone


@pytest.mark.parametrize("ending", ["gz", "zst", "bz2", "xz"])
def test_files_packed_one_by_one_and_put_together(write, ending):
    pack = PACK[ending]
    path = write(pack(LINES[: len(LINES) // 2]) + pack(LINES[len(LINES) // 2 :]), "rows")
    assert [row.value for row in read(path)] == VALUES


def test_parquet_in_a_zip_beside_what_is_no_rows(write):
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(VALUES), sink)
    content = {"a/rows.parquet": sink.getvalue(), "README.md": "x", "__MACOSX/._rows": "x"}
    rows = read(write(zipped(content), "set.zip"))
    assert [row.value for row in rows] == VALUES
    assert notes_on(rows.sources[0]) == ["set.zip: left aside: README.md"]


def test_a_zip_of_several_files_is_refused_with_their_names_or_read_by_one(write):
    path = write(
        zipped({"train.jsonl": LINES, "测试/test.jsonl": LINES.splitlines()[0]}), "set.zip"
    )
    with pytest.raises(
        DataError, match=r"2 files of rows: train.jsonl, 测试/test.jsonl; .*set.zip#"
    ):
        read(path)
    assert len(read(f"{path}#train.jsonl")) == 4
    assert len(read(f"{path}#测试/test.jsonl")) == 1
    with pytest.raises(UsageError, match=r"no file 'tran.jsonl' in it. Did you mean"):
        read(f"{path}#tran.jsonl")
    with pytest.raises(DataError, match="holds no file of rows"):
        read(write(zipped({"a.png": "x", "b.png": "x"}), "pictures.zip"))


def test_a_zip_of_several_files_in_a_folder_is_read_as_several(tmp_path):
    lines = LINES.splitlines(keepends=True)
    (tmp_path / "a.jsonl").write_bytes(lines[0])
    members = {"b.jsonl": lines[1], "c/d.jsonl": b"".join(lines[2:]), "note.md": "x"}
    (tmp_path / "more.zip").write_bytes(zipped(members))
    (tmp_path / "pictures.zip").write_bytes(zipped({"a.png": "x", "b.png": "x"}))
    rows = read(tmp_path)
    assert [row.value for row in rows] == VALUES
    names = [source.name for source in rows.sources]
    assert names == ["a.jsonl", "more.zip#b.jsonl", "more.zip#c/d.jsonl"]
    assert notes_on(rows.sources[0]) == ["a.jsonl: left aside: more.zip#note.md, pictures.zip"]


def test_what_packs_several_files_or_is_locked_is_refused(write):
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.jsonl"), io.BytesIO())
    for name, content in {
        "a.tar": sink.getvalue(),
        "a.tgz": gzip.compress(sink.getvalue()),
    }.items():
        with pytest.raises(
            DataError, match=rf"^{name} is a tar archive of several files; unpack it"
        ):
            read(write(content, name))
    with pytest.raises(DataError, match="is packed again"):
        read(write(gzip.compress(gzip.compress(LINES)), "twice.gz"))
    locked = bytearray(zipped({"a.jsonl": LINES}))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(mark) + at] |= 1
    with pytest.raises(DataError, match="locked with a password"):
        read(write(bytes(locked), "locked.zip"))
    with pytest.raises(UsageError, match="only a zip and a spreadsheet have parts"):
        read(f"{write(LINES, 'rows.jsonl')}#x")


@pytest.mark.parametrize("ending", PACK)
def test_a_bomb_is_refused_and_leaves_nothing(write, cache, monkeypatch, ending):
    monkeypatch.setattr(packed, "_ROOM", 1000)
    monkeypatch.setattr(packed, "_RATIO", 2)
    path = write(PACK[ending](b"[" + b" " * 10_000_000), f"bomb.{ending}")
    with pytest.raises(DataError, match=r"unpacks to more than [\d,]+ bytes"):
        read(path)
    with pytest.raises(DataError, match=r"unpacks to [\d,]+ bytes, and 1,000 are read"):
        read(write(sheets({"a": [["x"]] * 1000}), "bomb.xlsx"))
    assert not list(cache.glob("tmp*"))


@given(st.sampled_from(sorted(PACK)), st.data())
def test_damage_is_an_error_of_one_line_or_rows(tmp_path_factory, ending, data):
    content = bytearray(PACK[ending](LINES))
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    else:
        content = content[:at]
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        assert len(read(path)) <= len(VALUES)
    except CuratrainError as error:
        told = str(error)
        assert "\n" not in told  # noqa: PT017 - rows are as right as an error


# Spreadsheets


_SHEET = '<?xml version="1.0"?><worksheet xmlns="{0}"><sheetData>{1}</sheetData></worksheet>'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_DOC = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


def cell(value):
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime.datetime):
        days = (value - datetime.datetime(1899, 12, 30)) / datetime.timedelta(days=1)
        return f'<c s="1"><v>{days}</v></c>'
    if isinstance(value, int | float):
        return f"<c><v>{value}</v></c>"
    return f'<c t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>' if value else "<c/>"


def sheets(tables):
    """Return an .xlsx of sheets, each a list of lists of cells."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    types = "http://schemas.openxmlformats.org/package/2006/content-types"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{types}"/>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}"><Relationship Id="r1" '
        f'Type="{kind}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_DOC}"><sheets>'
        + "".join(f'<sheet name="{n}" sheetId="{i}" r:id="r{i}"/>' for i, n in enumerate(tables, 1))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}">'
        + "".join(
            f'<Relationship Id="r{i}" Type="{kind}/worksheet" Target="worksheets/{i}.xml"/>'
            for i in range(1, len(tables) + 1)
        )
        + f'<Relationship Id="s" Type="{kind}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><cellXfs><xf numFmtId="0"/>'
        '<xf numFmtId="22"/></cellXfs></styleSheet>',
    }
    for number, table in enumerate(tables.values(), 1):
        rows = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in table)
        files[f"xl/worksheets/{number}.xml"] = _SHEET.format(_MAIN, rows)
    return zipped(files)


def test_a_cover_sheet_and_a_title_are_left_aside(write):
    rows = [["问答集", ""], ["question", "answer"], ["头痛？", "休息。"]]
    read_rows = read(write(sheets({"说明": [["由医院提供"]], "数据": rows}), "a.xlsx"))
    assert [(row.prompt, row.response) for row in read_rows] == [("头痛？", "休息。")]
    assert notes_on(read_rows.sources[0]) == [
        "a.xlsx: left aside: sheets 说明 (as FILE#说明), a line above the columns' names (问答集)"
    ]
    with pytest.raises(DataError, match="holds no file of rows"):
        read(write(zipped({}), "a.zip"))


def test_the_first_sheet_or_the_one_that_is_named(write):
    first = [["question", "answer"], ["头痛\n三天？", "休息。"], [], ["发热？", "喝水。"]]
    path = write(sheets({"问答": first, "旧": [["question", "answer"], ["x", "y"]]}), "a.xlsx")
    rows = read(path)
    assert [row.value for row in rows] == [
        {"question": "头痛\n三天？", "answer": "休息。"},
        {"question": "发热？", "answer": "喝水。"},
    ]
    assert [row.where for row in rows] == ["line 2", "line 4"]
    assert notes_on(rows.sources[0]) == ["a.xlsx: left aside: sheets 旧 (as FILE#旧)"]
    assert rows.sources[0].container == "sheet"
    assert "spreadsheet" in repr(rows)
    named = read(f"{path}#旧")
    assert [row.value for row in named] == [{"question": "x", "answer": "y"}]
    with pytest.raises(UsageError, match="has no sheet '新'. .*It has 问答, 旧"):
        read(f"{path}#新")


def test_cells_become_text_as_people_read_them(write):
    day, noon = datetime.datetime(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 30)
    table = [
        [None, "question", "answer", "n", "x", "day", "at", "ok", None],
        [0, "a", "b", 3, 38.5, day, noon, True],
        [1, "c", "d", 1e20, "", "", "", False, "too many"],
    ]
    rows = read(write(sheets({"s": table}), "cells.xlsx"))
    wanted = {"": "0", "question": "a", "answer": "b", "n": "3", "x": "38.5"}
    wanted |= {"day": "2024-02-29", "at": "2024-02-29 12:30:00", "ok": "TRUE"}
    assert rows[0].value == wanted
    assert rows[1].flaw == "wrong_field_count"


def test_what_is_no_table_is_named(write):
    with pytest.raises(DataError, match="names the column 'q' twice"):
        read(write(sheets({"s": [["q", "q"], ["a", "b"]]}), "a.xlsx"))
    with pytest.raises(DataError, match="is empty"):
        read(write(sheets({"s": []}), "a.xlsx"))
    with pytest.raises(DataError, match="is a document, no data file"):
        read(write(zipped({"word/document.xml": "x"}), "a.docx"))
    with pytest.raises(
        DataError, match="cannot be read as a spreadsheet .*save it as .xlsx or CSV"
    ):
        read(write(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "a.doc"))
    with pytest.raises(DataError, match="cannot be read as a spreadsheet"):
        read(write(zipped({"xl/workbook.xml": "<"}), "b.xlsx"))


def test_pandas_reads_the_same(write):
    path = write(sheets({"s": [["question", "answer"], ["a", "b"], ["c", "d"]]}), "p.xlsx")
    frame = pd.read_excel(path, engine="calamine")
    assert [row.value for row in read(path)] == frame.to_dict("records")
