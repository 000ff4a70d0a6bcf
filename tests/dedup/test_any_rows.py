"""curate.dedup: what holds of any rows, and of real ones."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curate
from curate.duplicates.folding import fold
from curate.duplicates.sketches import compared
from curate.recipes.dedup import closest
from tests.dedup import naive
from tests.dedup.checking import check, told
from tests.dedup.conftest import pair

ALPHABET = st.sampled_from("ab 高")
ANSWERS = st.text(ALPHABET, min_size=1, max_size=14).filter(lambda text: text.strip())
# Five characters with the line between them: only whole texts are n-grams.
SHORT = st.text(ALPHABET, min_size=1, max_size=2).filter(lambda text: text.strip())


@given(st.lists(st.tuples(ANSWERS, ANSWERS), min_size=1, max_size=12), st.sampled_from([0.5, 1.0]))
def test_of_any_rows(tmp_path_factory, texts, near):
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    path.write_text(json.dumps([pair(*each) for each in texts]))
    found = curate.dedup(curate.read(path), near=near)
    check(found, near)
    plain = [f"{prompt}\n{response}" for prompt, response in texts]
    twins = naive.first_kept(plain, near, 5)
    ids = found.rows.ids
    wanted = [None if twin is None else ids[twin] for twin in twins]
    # With these bands fewer than one pair in ten million does not meet.
    assert [line[1] for line in told(found)] == wanted


@given(st.lists(st.tuples(SHORT, SHORT), min_size=1, max_size=8), st.randoms())
def test_which_texts_are_left_out_as_equal_is_no_matter_of_order(tmp_path_factory, texts, random):
    folder = tmp_path_factory.mktemp("rows")
    kept = []
    for turn in range(2):
        path = folder / f"{turn}.json"
        path.write_text(json.dumps([pair(*each) for each in texts]))
        found = curate.dedup(curate.read(path), near=1)
        left = np.flatnonzero(found.choice.kept).tolist()
        kept.append({fold(compared(found.rows[at], "both")) for at in left})
        random.shuffle(texts)
    assert kept[0] == kept[1]


# Real rows


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("toyhom_internal_medicine_gb18030.csv", 0.8),
        ("toyhom_internal_medicine_gb18030.csv", 0.5),
        ("medical_sft_zh.jsonl", 0.5),
        ("alpaca_en.json", 0.4),
        ("c4_demo.jsonl", 0.3),
    ],
)
def test_real_rows_against_all_pairs(real, name, near):
    rows = curate.read(real(name))
    found = curate.dedup(rows, near=near)
    check(found, near)
    step = max(1, len(rows) // 150)
    some = [rows[at] for at in range(0, len(rows), step) if not rows[at].flaw]
    texts = [compared(row, "both") for row in some]
    # Nobody kept has a kept row before it that it is like, in a part that all pairs are taken of.
    kept = [at for at, row in enumerate(some) if found.choice.kept[row.position]]
    sets = [naive.grams(fold(text), 5) for text in texts]
    missed = sum(
        len(sets[one] & sets[other]) >= near * len(sets[one] | sets[other])
        for place, one in enumerate(kept)
        for other in kept[:place]
    )
    assert missed == 0


def test_real_rows_as_the_naive_loop(real):
    rows = curate.read(real("toyhom_internal_medicine_gb18030.csv"))
    found = curate.dedup(rows)
    some = range(500)
    twins = naive.first_kept([compared(rows[at], "both") for at in some], 0.8, 5)
    assert sum(twin is not None for twin in twins) > 10
    wanted = [None if twin is None else rows.ids[twin] for twin in twins]
    assert [line[1] for line in told(found)[:500]] == wanted


def test_equal_rows_of_toyhom_are_counted(real):
    rows = curate.read(real("toyhom_internal_medicine_gb18030.csv"))
    found = curate.dedup(rows)
    whole = [(row.prompt, row.response) for row in rows]
    assert found.summary().dropped["exact_duplicate"] == len(whole) - len(set(whole))


def test_twice_is_the_same_and_another_seed_finds_the_same(real):
    rows = curate.read(real("toyhom_internal_medicine_gb18030.csv"))
    first, again, other = (curate.dedup(rows, seed=seed) for seed in (0, 0, 1))
    assert first.table().equals(again.table())
    assert first.choice.reason.tolist() == other.choice.reason.tolist()
    assert closest(first, 3) == closest(again, 3)
