import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.engine.plan import plan_batches

LENGTHS = st.lists(st.integers(1, 50), max_size=60)


def batches(lengths, budget):
    plan = plan_batches(np.array(lengths, dtype=np.int64), budget)
    return [plan.batch(number).tolist() for number in range(len(plan))]


def naive(lengths, budget):
    """Longest first, one item after the other, a new batch as soon as the padded size is over."""
    made = []
    for item in sorted(range(len(lengths)), key=lambda each: (-lengths[each], each)):
        longest = lengths[made[-1][0]] if made else 0
        if made and longest * (len(made[-1]) + 1) <= budget:
            made[-1].append(item)
        else:
            made.append([item])
    return made


@given(LENGTHS, st.integers(1, 200))
def test_the_plan_is_that_of_the_naive_loop(lengths, budget):
    assert batches(lengths, budget) == naive(lengths, budget)


@given(LENGTHS, st.integers(1, 200))
def test_every_item_is_in_one_batch_and_no_batch_is_over_budget(lengths, budget):
    found = batches(lengths, budget)
    assert sorted(item for batch in found for item in batch) == list(range(len(lengths)))
    for batch in found:
        padded = max(lengths[item] for item in batch) * len(batch)
        assert padded <= budget or len(batch) == 1


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 2)), max_size=60), st.integers(1, 200))
def test_kinds_are_planned_apart_and_then_put_in_order(items, budget):
    lengths = np.array([length for length, _ in items], dtype=np.int64)
    kinds = np.array([kind for _, kind in items], dtype=np.int64)
    plan = plan_batches(lengths, budget, kinds)
    found = [plan.batch(number).tolist() for number in range(len(plan))]
    assert [lengths[batch[0]] for batch in found] == sorted(
        (lengths[batch[0]] for batch in found), reverse=True
    )
    for kind in range(3):
        places = np.flatnonzero(kinds == kind)
        mine = [batch for batch in found if kinds[batch[0]] == kind]
        expected = naive(lengths[places].tolist(), budget)
        assert mine == [places[batch].tolist() for batch in expected]


def test_longest_first_and_equal_ones_in_the_items_order():
    assert batches([2, 7, 2, 9, 7], 14) == [[3], [1, 4], [0, 2]]


def test_an_item_above_the_budget_is_a_batch_of_its_own():
    assert batches([100, 3, 3], 10) == [[0], [1, 2]]


def test_nothing_to_do_is_no_batch():
    assert batches([], 10) == []


def test_an_item_without_tokens_takes_part():
    assert batches([0, 0], 10) == [[0, 1]]


def test_tokens_of_a_batch_leave_padding_out():
    plan = plan_batches(np.array([5, 3, 4]), 100)
    assert plan.tokens(0) == 12


@pytest.mark.parametrize(
    ("lengths", "budget"), [([3, 2], 6), ([2, 3, 1], 6), ([2, 3], 3), ([2, 4], 6)]
)
def test_whatever_changes_the_plan_changes_its_fingerprint(lengths, budget):
    first = plan_batches(np.array([2, 3]), 6).fingerprint()
    assert plan_batches(np.array([2, 3]), 6).fingerprint() == first
    assert plan_batches(np.array(lengths), budget).fingerprint() != first
