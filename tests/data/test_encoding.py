import codecs
import hashlib
import tracemalloc
from unittest import mock

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from curate.data import encoding as text
from curate.data.encoding import sniff
from curate.errors import DataError

CHINESE = "心血管科，高血压患者能吃党参吗？我有高血压这两天女婿来的时候给我拿了些党参泡水喝。您好！"
PROSE = st.text(alphabet=CHINESE + 'abc {}[]":,\r\n\t0123', max_size=80)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("sniffed") / "rows.txt"


def is_utf8(encoded):
    try:
        encoded.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize(
    ("encoded", "encoding"),
    [
        ("[1]".encode("ascii"), "utf-8"),
        (CHINESE.encode("utf-8"), "utf-8"),
        (CHINESE.encode("utf-8-sig"), "utf-8-sig"),
        (CHINESE.encode("gb18030"), "gb18030"),
        (CHINESE.encode("gbk"), "gb18030"),
        ("国 𠀀 ㆐ 😀 女".encode("gb18030"), "gb18030"),
        (CHINESE.encode("utf-16"), "utf-16"),
        (codecs.BOM_UTF16_BE + CHINESE.encode("utf-16-be"), "utf-16"),
        ("Überraschung, déjà vu".encode(), "utf-8"),
        (b"", "utf-8"),
        (b"PAR1\x15\x04\x00", "binary"),
        (b"ARROW1\x00\x00", "binary"),
        (b"\xff\xff\xff\xff\x78\x00", "binary"),
    ],
)
def test_encoding_hash_and_size(write, encoded, encoding):
    found = sniff(write(encoded))
    assert found.encoding == encoding
    assert found.sha256 == hashlib.sha256(encoded).hexdigest()
    assert found.size == len(encoded)


@given(said=PROSE, size=st.integers(1, 50), encoding=st.sampled_from(["utf-8", "utf-8-sig"]))
def test_utf8_cut_anywhere_by_chunks(scratch, said, size, encoding):
    encoded = said.encode(encoding)
    scratch.write_bytes(encoded)
    with mock.patch.object(text, "CHUNK", size):
        found = sniff(scratch)
    assert found.encoding == encoding
    assert encoded.decode(found.encoding) == said
    assert found.sha256 == hashlib.sha256(encoded).hexdigest()


@given(said=PROSE, size=st.integers(1, 50))
def test_gb18030_cut_anywhere_by_chunks(scratch, said, size):
    encoded = said.encode("gb18030")
    assume(not is_utf8(encoded))  # else nobody can tell
    scratch.write_bytes(encoded)
    with mock.patch.object(text, "CHUNK", size):
        found = sniff(scratch)
    assert found.encoding == "gb18030"
    assert encoded.decode(found.encoding) == said


@given(said=st.text(alphabet=CHINESE, min_size=4, max_size=40), cut=st.integers(1, 2))
def test_utf8_cut_inside_its_last_character_is_damage(scratch, said, cut):
    scratch.write_bytes(said.encode("utf-8")[: -cut if said[-1] not in "aA" else None])
    with pytest.raises(DataError, match="damaged, cut"):
        sniff(scratch)


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
@pytest.mark.parametrize("before", range(4))
def test_a_character_across_the_real_chunk_border(write, encoding, before):
    said = "a" * (text.CHUNK - before) + "高血压" + "b" * text.CHUNK + "患者"
    path = write(said.encode(encoding))
    assert sniff(path).encoding == encoding
    assert path.read_text(encoding=sniff(path).encoding) == said


def test_damage_is_named_by_byte_offset_and_line(write):
    path = write("一二三四五\n六七八九十\n".encode() + b"ab\xff\n", "damaged.csv")
    with pytest.raises(DataError) as error:
        sniff(path)
    assert str(error.value) == (
        "damaged.csv is UTF-8 up to byte 0xff at offset 34 (line 3), then no longer: the file is "
        "damaged, cut, or two files put together; fetch it again"
    )


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 1000])
def test_damage_has_the_same_place_whatever_the_chunks(write, monkeypatch, size):
    monkeypatch.setattr(text, "CHUNK", size)
    path = write("一二三四五\n六七八九十\n".encode() + b"ab\xff\n")
    with pytest.raises(DataError, match=r"byte 0xff at offset 34 \(line 3\)"):
        sniff(path)


def test_a_file_that_turns_from_utf8_to_gb18030(write):
    path = write(f"{CHINESE}\n".encode() + CHINESE.encode("gb18030"))
    with pytest.raises(DataError, match=r"\(line 2\).*two files put together"):
        sniff(path)


def test_damaged_utf8_with_a_mark_is_not_tried_as_gb18030(write):
    with pytest.raises(DataError, match="is UTF-8 up to byte 0xb8"):
        sniff(write(codecs.BOM_UTF8 + "高".encode("gb18030")))


def test_damaged_utf16(write):
    with pytest.raises(DataError, match=r"is UTF-16 up to byte 0x61 at offset 6 \(line 1\)"):
        sniff(write("中文".encode("utf-16") + b"a"))


def test_one_word_of_gb18030_that_looks_like_utf8_in_every_row(write):
    assert "女".encode("gb18030").decode("utf-8") == "Ů"
    path = write(("id,sex\n" + "1,女\n" * 40 + "2,男\n").encode("gb18030"))
    assert sniff(path).encoding == "gb18030"


def test_neither_names_the_place_and_a_command(write):
    path = write(b"a\nb\x80 \x81\x20\n", "my rows.csv")
    with pytest.raises(DataError) as error:
        sniff(path)
    assert str(error.value) == (
        "my rows.csv is neither UTF-8 nor GB18030: byte 0x80 at offset 3 (line 2); convert it "
        "with `iconv -f ENCODING -t UTF-8 'my rows.csv' > 'new-my rows.csv'`"
    )


def test_western_text_is_not_taken_for_chinese(write):
    said = "I don’t, you can’t, he won’t"
    assert said.encode("cp1252").decode("gb18030")  # well-formed, and wrong
    with pytest.raises(DataError, match="neither UTF-8 nor GB18030.*iconv -f CP1252"):
        sniff(write(said.encode("cp1252")))


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (b"Rar!\x1a", r"packed \(rar\); unpack it and give what is in it"),
        (b"%PDF-1.7", "is a PDF, no data file; save what it holds"),
        (b"[\x00{\x00", "UTF-16 without its mark; convert it with `iconv -f UTF-16LE"),
        ("[1]".encode("utf-32"), "UTF-32"),
    ],
)
def test_what_is_no_text_is_named(write, head, told):
    with pytest.raises(DataError, match=told):
        sniff(write(head))


def test_memory_does_not_depend_on_the_size(write, monkeypatch):
    monkeypatch.setattr(text, "CHUNK", 1 << 12)
    peaks = []
    for times in (10_000, 10_000, 40_000):  # the first loads the detector
        path = write((CHINESE * times).encode("gb18030"))
        tracemalloc.start()
        sniff(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert path.stat().st_size > 3_000_000
    assert peaks[2] < 1.1 * peaks[1]


def test_pieces_of_a_real_gb18030_file(real, scratch):
    said = real("toyhom_internal_medicine_gb18030.csv").read_text(encoding="gb18030")
    for start in range(0, len(said) - 60, 2003):
        encoded = said[start : start + 60].encode("gb18030")
        scratch.write_bytes(encoded)
        assert sniff(scratch).encoding == "gb18030", said[start : start + 60]


def test_pieces_of_a_real_utf8_file(real, scratch):
    said = real("care_qa.jsonl").read_text(encoding="utf-8")
    for start in range(0, len(said) - 60, 2003):
        scratch.write_text(said[start : start + 60], encoding="utf-8")
        assert sniff(scratch).encoding == "utf-8"


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("toyhom_internal_medicine_gb18030.csv", "gb18030"),
        ("alpaca_zh.json", "utf-8"),
        ("c4_demo.jsonl", "utf-8"),
        ("dpo_zh.jsonl", "utf-8"),
    ],
)
def test_real_files(real, name, encoding):
    assert sniff(real(name)).encoding == encoding
