import hashlib
import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.data.canonical import parse
from curate.data.encoding import sniff
from curate.data.file_kinds import raw_rows
from curate.data.formats import formats
from curate.data.ids import content_hash, id_of, occurrences
from curate.data.schema import Parsed, Turn

ALPACA = {"instruction": "头痛", "input": "三天", "output": "休息", "system": "医生"}
SHAREGPT = {
    "system": "医生",
    "conversations": [
        {"from": "human", "value": "头痛\n三天"},
        {"from": "gpt", "value": "休息"},
    ],
}
OPENAI = {
    "messages": [
        {"role": "system", "content": "医生"},
        {"role": "user", "content": "头痛\n三天"},
        {"role": "assistant", "content": "休息"},
    ]
}


def shape_of(row):
    for form in formats().values():
        if shape := form.detect([row]):
            return shape.with_columns(form.optional, form.optional.values())
    raise AssertionError(f"no format for {row}")


def hashed(row, like=None):
    shape = shape_of(like or row)
    return content_hash(parse(row, shape), row)


def backwards(value):
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(value)}
    return [backwards(each) for each in value] if isinstance(value, list) else value


# One row, one hash


def test_the_hash_is_of_the_canonical_content_and_stays():
    said = (
        '{"chosen":null,"rejected":null,"system":"医生","tools":"",'
        '"turns":[["user","头痛\\n三天"],["assistant","休息"]]}'
    )
    digest = hashlib.sha256(said.encode()).hexdigest()
    assert id_of(hashed(ALPACA), 0) == digest[:16] == "7f06ae9ab95142c4"


def test_the_same_row_in_three_formats():
    assert hashed(ALPACA) == hashed(SHAREGPT) == hashed(OPENAI)


@pytest.mark.parametrize("row", [ALPACA, SHAREGPT, OPENAI])
def test_the_order_of_keys_and_keys_that_are_not_read_do_not_count(row):
    assert hashed(backwards(row)) == hashed(row) == hashed({**row, "_id": "01-94236"})


def test_input_missing_null_or_empty():
    row = {"instruction": "a", "output": "b"}
    same = {
        hashed({**row, **more}, {**row, "input": ""})
        for more in (
            {},
            {"input": ""},
            {"input": None},
            {"system": None, "history": []},
            {"history": ""},
        )
    }
    assert len(same) == 1


def test_the_same_preference_in_three_forms():
    alpaca = {"instruction": "q", "chosen": "good", "rejected": "bad"}
    turns = {"conversations": [{"from": "human", "value": "q"}]}
    bare = turns | {"chosen": "good", "rejected": "bad"}
    said = turns | {
        "chosen": {"from": "gpt", "value": "good"},
        "rejected": {"from": "gpt", "value": "bad"},
    }
    assert hashed(alpaca) == hashed(bare) == hashed(said)
    assert hashed(alpaca) != hashed({**alpaca, "chosen": "bad", "rejected": "good"})


def test_tools_as_text_or_as_json_in_any_order():
    tools = [{"name": "dose", "parameters": {"type": "object", "required": ["mg"]}}]
    texts = [tools, backwards(tools), json.dumps(tools), json.dumps(backwards(tools), indent=1)]
    assert len({hashed({**SHAREGPT, "tools": each}) for each in texts}) == 1
    assert hashed({**SHAREGPT, "tools": tools}) != hashed(SHAREGPT)
    assert hashed({**SHAREGPT, "tools": "[dose"}) != hashed({**SHAREGPT, "tools": "[mg"})


@pytest.mark.parametrize(
    "other",
    [
        {**ALPACA, "instruction": "头痛 "},
        {**ALPACA, "output": "休息。"},
        {**ALPACA, "system": ""},
        {**ALPACA, "history": [["a", "b"]]},
        {**ALPACA, "images": ["a.png"]},
        {**ALPACA, "images": ["b.png"]},
        {**ALPACA, "kto_tag": True},
        {**ALPACA, "kto_tag": False},
    ],
)
def test_another_row_has_another_hash(other):
    assert hashed(other) != hashed(ALPACA)
    assert hashed({**other, "images": ["c.png"]}) != hashed(other)


def test_where_one_text_ends_and_the_next_begins_counts():
    views = [
        Parsed(turns=(Turn("user", "a"), Turn("assistant", "b"))),
        Parsed(turns=(Turn("user", "ab"), Turn("assistant", ""))),
        Parsed(turns=(Turn("assistant", "a"), Turn("user", "b"))),
        Parsed(system="a", turns=(Turn("assistant", "b"),)),
    ]
    assert len({content_hash(view, {}) for view in views}) == 4


# Odd values


def test_half_a_pair_of_escapes_is_hashed():
    half, other = (json.loads(f'"\\ud83{digit}"') for digit in "de")
    rows = [{**ALPACA, "output": text} for text in (half, other, "�", "?")]
    assert len({hashed(row) for row in rows}) == 4
    flawed = [{**ALPACA, "output": [text]} for text in (half, other)]
    assert hashed(flawed[0], ALPACA) != hashed(flawed[1], ALPACA)


def test_rows_without_a_canonical_view_are_hashed_whole():
    row = {"instruction": 1, "output": [float("nan"), {"x": 1, "y": None}]}
    assert hashed(row, ALPACA) == hashed(backwards(row), ALPACA)
    assert hashed(row, ALPACA) != hashed({**row, "instruction": 2}, ALPACA)
    # What parquet makes of it: nulls where other rows have something.
    null = {**row, "input": None, "output": [float("nan"), {"x": 1}]}
    assert hashed(row, ALPACA) == hashed(null, ALPACA)
    flawed = Parsed(flaw="not_an_object")
    values = [None, 1, True, "1", [1], [[1]], {"a": 1}]
    assert len({content_hash(flawed, value) for value in values}) == len(values)


def test_hashes_fit_64_bits():
    found = [content_hash(Parsed(system=str(number)), {}) for number in range(200)]
    assert max(found) > 2**63
    assert np.array(found, dtype=np.uint64).tolist() == found


# One row, any file


def read_hashes(path):
    sniffed = sniff(path)
    values = [each.value for each in raw_rows(path, sniffed)[1]]
    shape = shape_of(values[0])
    return [content_hash(parse(value, shape), value) for value in values]


def test_the_same_rows_out_of_every_file(tmp_path):
    rows = [ALPACA, {**ALPACA, "input": ""}, {"instruction": "a", "output": "b", "system": "c"}]
    wanted = [hashed(row, ALPACA) for row in rows]
    names = list(ALPACA)
    table = [names] + [[row.get(name, "") for name in names] for row in rows]
    csv_text = "\n".join(",".join(f'"{cell}"' for cell in line) for line in table)
    texts = {
        "array": json.dumps(rows, indent=2),
        "lines": "\n".join(json.dumps(backwards(row), ensure_ascii=False) for row in rows),
        "csv": csv_text,
    }
    for name, text in texts.items():
        for encoding in ("utf-8", "utf-8-sig", "gb18030"):
            path = tmp_path / name
            path.write_text(text, encoding=encoding)
            assert read_hashes(path) == wanted
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "parquet")
    assert read_hashes(tmp_path / "parquet") == wanted


def test_the_same_conversations_out_of_json_and_parquet(tmp_path):
    more = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": 1}]}
    empty = {"conversations": None}
    rows = [SHAREGPT, empty, {"conversations": [*SHAREGPT["conversations"], {"from": "human"}]}]
    wanted = [hashed(row, SHAREGPT) for row in rows]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows")
    assert read_hashes(tmp_path / "rows") == wanted
    assert hashed(more, SHAREGPT) not in wanted


def test_real_rows_as_alpaca_and_as_sharegpt(real):
    rows = json.loads(real("alpaca_zh.json").read_text(encoding="utf-8"))
    for row in rows:
        prompt = "\n".join(filter(None, (row["instruction"], row["input"])))
        turns = [{"from": "human", "value": prompt}, {"from": "gpt", "value": row["output"]}]
        assert hashed(row) == hashed({"conversations": turns})
    assert len({hashed(row) for row in rows}) == len({json.dumps(row) for row in rows})


# Repeats


@given(st.lists(st.integers(0, 5) | st.integers(2**64 - 3, 2**64 - 1), max_size=40))
def test_occurrences_equal_a_dict(hashes):
    seen, wanted = Counter(), []
    for each in hashes:
        wanted.append(seen[each])
        seen[each] += 1
    assert occurrences(np.array(hashes, dtype=np.uint64)).tolist() == wanted


def test_ids_of_repeats():
    assert [id_of(255, number) for number in range(3)] == [
        "00000000000000ff",
        "00000000000000ff-2",
        "00000000000000ff-3",
    ]
    assert id_of(2**64 - 1, 0) == "f" * 16
