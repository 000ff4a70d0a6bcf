"""What copies rows in a drawn order: against sorting them all in memory."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.data.even_columns import (
    ValueKinds,
    blocks,
    collect,
    columns_ahead,
    columns_of,
    kinds_of,
)
from curate.data.read import read
from curate.mixture.draw import drawn, seed_keys
from curate.mixture.shuffle import Shuffle
from tests.mix.mixing import rows, save

pytestmark = pytest.mark.usefixtures("scratch_cache")


def shuffled(tmp_path, pieces, bucket):
    expected = sum(len(line) for _, lines in pieces for line in lines)
    with Shuffle(tmp_path, expected, bucket) as shuffle:
        for numbers, lines in pieces:
            shuffle.add(np.array(numbers, dtype=np.uint64), pa.array(lines, pa.large_binary()))
        found = [bytes(block) for block in shuffle.blocks()]
        count = shuffle.copy_to(tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b"".join(found)  # and once more
        return found, count


@pytest.mark.parametrize("bucket", [1 << 30, 20_000, 3000, 100])
def test_lines_come_out_in_the_order_of_their_keys(tmp_path, bucket):
    rng = np.random.default_rng(0)
    lines = [b"x" * int(size) + b"%d\n" % at for at, size in enumerate(rng.integers(0, 90, 2000))]
    numbers = rng.integers(0, 2**64 - 1, 2000, np.uint64)
    pieces = [(numbers[at : at + 300], lines[at : at + 300]) for at in range(0, 2000, 300)]
    found, count = shuffled(tmp_path, pieces, bucket)
    assert b"".join(found) == b"".join(lines[at] for at in np.argsort(numbers))
    assert count == 2000
    total = sum(map(len, lines))
    buckets = 2 ** (total // bucket).bit_length()
    assert buckets * 0.8 < len(found) <= buckets  # of many small ones, some stay empty
    assert max(map(len, found)) < max(3 * bucket, 1000) or len(found) == 1


def test_equal_keys_keep_the_order_they_came_in(tmp_path):
    pieces = [([5, 5, 1], [b"a\n", b"b\n", b"c\n"]), ([5], [b"d\n"])]
    assert shuffled(tmp_path, pieces, 1 << 20)[0] == [b"c\na\nb\nd\n"]


def test_no_lines(tmp_path):
    assert shuffled(tmp_path, [], 10) == ([], 0)


def test_nothing_is_left_in_the_folder(tmp_path):
    with Shuffle(tmp_path, 10) as shuffle:
        shuffle.add(np.array([1], dtype=np.uint64), pa.array([b"x\n"], pa.large_binary()))
        assert list(tmp_path.iterdir()) == []


# Numbers drawn


def test_splitmix_by_hand():
    """The published generator's first outputs from state 0 and 1234567 (their state + one step)."""
    step = np.uint64(0x9E3779B97F4A7C15)
    nothing = np.uint64(0)
    first = drawn(np.array([step], dtype=np.uint64), nothing)
    assert first.tolist() == [0xE220A8397B1DCDAF]
    with np.errstate(over="ignore"):
        other = drawn(np.array([np.uint64(1234567) + step]), nothing)
    assert other.tolist() == [6457827717110365317]


def test_different_rows_get_different_numbers_and_equal_rows_the_same():
    hashes = np.arange(100_000, dtype=np.uint64)
    key, other = seed_keys(0, 2)
    numbers = drawn(hashes, key)
    assert len(np.unique(numbers)) == len(hashes)
    assert (drawn(hashes[::-1], key)[::-1] == numbers).all()
    assert not (drawn(hashes, other) == numbers).any()
    assert seed_keys(0, 2) == [key, other] != seed_keys(1, 2)


def test_numbers_are_spread_evenly():
    """Counts of 64 bins of 64,000 rows: chi-squared with 63 degrees, mean 63, deviation 11."""
    numbers = drawn(np.arange(64_000, dtype=np.uint64), seed_keys(3, 1)[0])
    counts = np.bincount((numbers >> np.uint64(58)).astype(int), minlength=64)
    assert abs(((counts - 1000) ** 2 / 1000).sum() - 63) < 5 * 11.3


# Blocks of a table


def test_blocks_are_whole_and_not_too_large(monkeypatch):
    batches = [
        pa.record_batch([pa.array(range(at, at + n), pa.int64())], ["x"])
        for at, n in ((0, 3), (3, 1), (4, 0), (4, 20), (24, 2))
    ]
    monkeypatch.setattr("curate.data.even_columns._BLOCK", 4 * 8)
    found = list(blocks(pa.Table.from_batches(batches)))
    assert [block.column("x").to_pylist() for block in found] == [
        [0, 1, 2, 3],
        list(range(4, 24)),
        [24, 25],
    ]


# Kinds of values, known beforehand


def test_kinds_are_of_the_rows_without_a_flaw_and_kept(tmp_path, monkeypatch):
    values = [{**rows("a", 1)[0], "n": 1}, rows("b", 1)[0], {"instruction": 5, "output": "x"}]
    given_rows = read(save(tmp_path / "x.json", values))
    found = kinds_of(given_rows)
    assert (found.rows, found.keys["n"], found.keys["output"]) == (2, 1, 2)
    assert found.kinds["n",] == {"int"}
    assert found.kinds["instruction",] == {"str"}
    assert found.kinds["input",] == {"blank"}
    assert not found.same_keys()
    monkeypatch.setattr("curate.data.even_columns.blocks", None)  # nothing is parsed again
    assert kinds_of(given_rows) == found


def test_a_damaged_answer_is_made_again(tmp_path, scratch_cache):
    given_rows = read(save(tmp_path / "x.json", rows("a", 3)))
    found = kinds_of(given_rows)
    (path,) = (scratch_cache / "value_kinds").iterdir()
    whole = path.read_bytes()
    for damaged in (b"", whole[:20], whole[:-1], whole[:40] + b"x" + whole[41:]):
        path.write_bytes(damaged)
        assert kinds_of(given_rows) == found


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner),
    max_leaves=6,
)
some_rows = st.lists(st.fixed_dictionaries({"a": values, "b": values}), min_size=1, max_size=6)


@settings(deadline=None, max_examples=300)
@given(some_rows, st.integers(0, 60))
def test_what_is_known_beforehand_is_what_a_look_at_all_rows_finds(given_rows, head):
    """With the kinds of exactly these rows, both ways change the same."""
    known = ValueKinds()
    for row in given_rows:
        known.add(row)
    whole = columns_of(given_rows, (), head)
    early, seen = [], 0
    for row in given_rows:
        if seen >= head:
            break
        early.append(row)
        seen += len(json.dumps(row, ensure_ascii=False))
    ahead = columns_ahead(early, known.kinds)
    assert (ahead.rules, set(ahead.keys)) == (whole.rules, set(whole.keys))
    assert {k: set(v) for k, v in ahead.fills.items()} == {
        k: set(v) for k, v in whole.fills.items()
    }


def test_collect_by_hand():
    kinds: dict = {}
    collect({"a": [1, "x", {"b": None}], "c": ""}, kinds)
    collect({"a": []}, kinds)
    assert kinds == {
        (): {"dict"},
        ("a",): {"list"},
        ("a", None): {"int", "str", "dict"},
        ("a", None, "b"): {"null"},
        ("c",): {"blank"},
    }
