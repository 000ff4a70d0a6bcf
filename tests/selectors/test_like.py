"""Rows that questions call: by hand, against a naive loop, and through blocks of any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.selectors import like
from curate.selectors.kept_and_dropped import Candidates, Choice
from curate.selectors.like import between_rows, calls, nearness, select
from curate.selectors.top_k import TopKParams
from tests.selectors.clouds import all_of, ids_of


def candidates(vectors, *questions, ids=None, choice=None):
    vectors = np.asarray(vectors, np.float32)
    return Candidates(
        choice or all_of(len(vectors)),
        ids_of(len(vectors)) if ids is None else ids,
        vectors=vectors,
        questions=tuple(np.asarray(each, np.float32) for each in questions),
    )


def cosine(one, other):
    """In 64 bits; 0 for a vector without a direction."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    length = np.sqrt((one * one).sum() * (other * other).sum())
    return (one * other).sum() / length if length else 0.0


def naive(given, k):
    """Every similarity again in every turn."""
    free = {at for at in np.flatnonzero(given.choice.kept) if np.isfinite(given.vectors[at]).all()}
    sets = [
        [(number, at) for at in range(len(asked)) if np.isfinite(asked[at]).all()]
        for number, asked in enumerate(given.questions)
    ]
    sets = [some for some in sets if some]
    order, called_by = [], []
    while sets and free and len(order) < k:
        turn = len(order)
        mine = sets[turn % len(sets)]
        number, at = mine[turn // len(sets) % len(mine)]
        asked = given.questions[number][at]
        row = min(free, key=lambda row: (-cosine(given.vectors[row], asked), given.ids[row]))
        free.remove(row)
        order.append(int(row))
        called_by.append((number, at, cosine(given.vectors[row], asked)))
    return order, called_by


@pytest.fixture(params=[(1 << 22, 4, 16, 1 << 22), (40, 1, 1, 30), (7, 1, 1, 1)])
def blocks(request, monkeypatch):
    """However few similarities are held at once, and rows remembered, the choice is the same."""
    for name, size in zip(("_CELLS", "_A_TURN", "_LEAST", "_MOST"), request.param, strict=True):
        monkeypatch.setattr(like, name, size)


def test_by_hand(blocks):
    # In turn: right takes b (0.8 beats 0.6 of a, c is taken by nobody but less like), and so on.
    rows = [[0.6, 0.8], [0.8, 0.6], [0, 1], [-1, 0]]
    found = candidates(rows, [[1, 0], [0, 1]], ids=np.array(list("abcd"), dtype=object))
    choice = select(found, TopKParams(3))
    assert choice.order.tolist() == [1, 2, 0]
    assert choice.reason.tolist() == ["", "", "", "not_called"]
    told = calls(found, choice.order)
    assert told.sets.tolist() == [0, 0, 0]
    assert told.questions.tolist() == [0, 1, 0]
    np.testing.assert_allclose(told.similarity, [0.8, 1, 0.6], rtol=1e-7)


def test_sets_take_turns_however_many_questions_they_have(blocks):
    rows = [[1, 0], [1, 0.1], [1, 0.2], [0, 1], [0.1, 1], [0.2, 1]]
    found = candidates(rows, [[1, 0]], [[0, 1], [0, 1], [0, 1]])
    choice = select(found, TopKParams(4))
    assert choice.order.tolist() == [0, 3, 1, 4]
    told = calls(found, choice.order)
    assert list(zip(told.sets, told.questions, strict=True)) == [(0, 0), (1, 0), (0, 0), (1, 1)]


@pytest.mark.parametrize("kind", ["ties", "spread", "one place"])
@pytest.mark.parametrize("bits", [np.float32, np.float16])
def test_the_same_as_the_naive_loop(blocks, kind, bits):
    generator = np.random.default_rng(5)
    if kind == "spread":
        rows, questions = (generator.standard_normal((n, 24)) for n in (300, 40))
    else:  # few directions, so that many rows are as like a question as others
        reach = 2 if kind == "ties" else 1
        rows, questions = (generator.integers(1 - reach, reach, (n, 3)) for n in (300, 40))
    found = candidates(rows.astype(bits), questions[:20], questions[20:])
    order, called_by = naive(found, 170)
    choice = select(found, TopKParams(170))
    assert choice.order.tolist() == order
    told = calls(found, choice.order)
    assert list(zip(told.sets, told.questions, strict=True)) == [each[:2] for each in called_by]
    np.testing.assert_allclose(told.similarity, [each[2] for each in called_by], rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(0, 30),
    sets=st.lists(st.integers(0, 4), max_size=3),
    k=st.integers(0, 40),
)
def test_what_has_no_vector_neither_calls_nor_is_called(seed, size, sets, k):
    generator = np.random.default_rng(seed)

    def some(count):
        vectors = generator.integers(-1, 2, (count, 2)).astype(np.float32)
        vectors[generator.random(count) < 0.2] = np.nan
        return vectors

    reason = np.where(generator.random(size) < 0.2, "before", "").astype(object)
    found = candidates(some(size), *map(some, sets), choice=Choice(reason))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(like, "_LEAST", 1)
        patch.setattr(like, "_CELLS", 5)
        choice = select(found, TopKParams(k))
    assert choice.order.tolist() == naive(found, k)[0]
    bad = ~np.isfinite(found.vectors).all(axis=1)
    assert set(choice.reason[(reason == "") & bad]) <= {"no_vector"}


def test_a_smaller_choice_is_the_beginning_of_a_larger_one(blocks):
    generator = np.random.default_rng(1)
    found = candidates(generator.integers(0, 3, (80, 4)), generator.integers(0, 3, (7, 4)))
    whole = select(found, TopKParams(80)).order
    assert sorted(whole.tolist()) == list(range(80))
    for k in (0, 1, 7, 8, 40, 79):
        assert select(found, TopKParams(k)).order.tolist() == whole[:k].tolist()


def test_vectors_may_lie_on_disk_in_16_bits(tmp_path, blocks):
    generator = np.random.default_rng(2)
    rows = generator.standard_normal((200, 16)).astype(np.float16)
    np.save(tmp_path / "v.npy", rows)
    held = candidates(rows, generator.standard_normal((9, 16)))
    mapped = Candidates(
        held.choice, held.ids, vectors=np.load(tmp_path / "v.npy", mmap_mode="r"),
        questions=held.questions,
    )  # fmt: skip
    params = TopKParams(90)
    assert select(mapped, params).order.tolist() == select(held, params).order.tolist()


def test_how_near_questions_and_rows_are(blocks):
    generator = np.random.default_rng(3)
    rows, questions = generator.standard_normal((50, 6)), generator.standard_normal((9, 6))
    rows[3], questions[4] = np.nan, np.nan
    reason = np.full(50, "", dtype=object)
    reason[7] = "where"
    found = candidates(rows, questions[:6], questions[6:], choice=Choice(reason))
    (first, second), of_rows = nearness(found)
    table = np.array([[cosine(row, asked) for asked in questions] for row in rows])
    table[[3, 7]] = np.nan
    np.testing.assert_allclose(np.concatenate([first, second]), np.fmax.reduce(table), atol=1e-6)
    np.testing.assert_allclose(of_rows, np.fmax.reduce(table, axis=1), atol=1e-6)
    assert np.isnan(first[4])


def test_how_near_rows_are_to_each_other(blocks):
    rows = np.random.default_rng(4).standard_normal((40, 5))
    rows[11] = np.nan
    table = np.array([[cosine(one, other) for other in rows] for one in rows])
    np.fill_diagonal(table, np.nan)
    expected = np.delete(np.fmax.reduce(table, axis=1), 11)
    found = between_rows(candidates(rows, rows[:1]), 100)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(between_rows(candidates(rows, rows[:1]), 10)) in range(10, 15)
    assert len(between_rows(candidates(rows[:1], rows[:1]), 10)) == 0
