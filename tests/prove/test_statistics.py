"""Differences and their intervals: by hand, and by made-up proofs of which the truth is known."""

import numpy as np
import pytest

from curate.proofs.statistics import difference, holm, smallest_difference


def made_up(generator, better=0.0, repeats=3, rows=200, training=0.02, by_row=0.1):
    """Return an arm and its control: rows of different difficulty, trainings of different luck."""
    difficulty = generator.normal(1.7, 0.5, rows)

    def side(shift):
        luck = generator.normal(0, training, (repeats, 1))
        return difficulty + luck + generator.normal(0, by_row, (repeats, rows)) - shift

    return side(better), side(0.0)


def test_a_difference_is_that_of_the_means():
    arm = np.array([[1.0, 2.0, 3.0], [1.2, 2.2, 3.2]])
    control = np.array([[1.5, 2.0, 3.4]])
    assert difference(arm, control, 0).value == pytest.approx((1.5 + 2.0 + 3.4) / 3 - 2.1)


def test_without_luck_of_trainings_it_is_the_paired_interval_over_rows():
    generator = np.random.default_rng(1)
    control = generator.normal(2, 1, (1, 400))
    arm = control - generator.normal(0.05, 0.2, (1, 400))
    found = difference(arm, control, 0)
    per_row = (control - arm)[0]
    half = 1.966 * per_row.std(ddof=1) / 20
    assert found.value == pytest.approx(per_row.mean())
    assert found.high - found.value == pytest.approx(half, rel=0.06)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_the_luck_of_three_trainings_widens_the_interval_as_student_says():
    rows = np.zeros(500)
    arm = np.array([[-0.1], [0.0], [0.1]]) + rows
    control = np.array([[-0.1], [0.0], [0.1]]) + 1 + rows
    found = difference(arm, control, 0)
    # Means of three that spread by 0.1, twice: sqrt(2 * 0.01 / 3), four degrees of freedom.
    assert found.high - found.value == pytest.approx(2.776 * np.sqrt(0.02 / 3), rel=0.05)


def test_rows_without_a_number_are_left_out_of_both():
    arm = np.array([[1.0, np.nan, 3.0]])
    found = difference(arm, np.array([[2.0, 5.0, 3.0]]), 0)
    assert (found.rows, found.value) == (2, 0.5)


def test_one_row_has_a_difference_and_no_interval():
    found = difference(np.array([[1.0]]), np.array([[2.0]]), 0)
    assert found.value == 1.0
    assert np.isnan(found.p)


def test_equal_numbers_are_no_difference():
    found = difference(np.ones((3, 50)), np.ones((3, 50)), 0)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_the_same_seed_gives_the_same_interval():
    arm, control = made_up(np.random.default_rng(0))
    assert difference(arm, control, 5) == difference(arm, control, 5)
    assert difference(arm, control, 5).low != difference(arm, control, 6).low


def test_holm_by_hand():
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": float("nan")})
    assert corrected == pytest.approx(
        {"a": 0.03, "c": 0.06, "b": 0.06, "d": float("nan")}, nan_ok=True
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}


@pytest.mark.parametrize("training", [0.0, 0.02])
def test_an_arm_that_is_better_is_found(training):
    arm, control = made_up(np.random.default_rng(7), better=0.15, training=training)
    found = difference(arm, control, 0)
    assert found.low > 0
    assert found.p < 0.01


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("training", [0.0, 0.01, 0.05])
def test_where_none_is_better_few_win(training):
    """Of 200 proofs with four arms that are no better, 5 % may find one that is."""
    wins = 0
    for proof in range(200):
        generator = np.random.default_rng(1000 + proof)
        rows, repeats = 150, 3
        difficulty = generator.normal(1.7, 0.5, rows)
        sides = [
            difficulty
            + generator.normal(0, training, (repeats, 1))
            + generator.normal(0, 0.1, (repeats, rows))
            for _ in range(5)
        ]
        tested = {str(n): difference(arm, sides[0], proof) for n, arm in enumerate(sides[1:])}
        corrected = holm({name: one.p for name, one in tested.items()})
        wins += any(corrected[name] < 0.05 and one.value > 0 for name, one in tested.items())
    assert wins <= 16


def test_the_smallest_difference_is_found_in_four_of_five_proofs():
    rows, repeats, training, by_row = 200, 3, 0.02, 0.1
    generator = np.random.default_rng(3)
    # What many pilots say on average of squares, since one of two trainings says little.
    sizes = []
    for _ in range(400):
        pilot, _ = made_up(generator, repeats=2, rows=rows, training=training, by_row=by_row)
        sizes.append(smallest_difference(pilot, rows, repeats))
    size = float(np.sqrt(np.mean(np.square(sizes))))
    hits = 0
    for proof in range(200):
        arm, control = made_up(generator, size, repeats, rows, training, by_row)
        hits += difference(arm, control, proof).low > 0
    assert 140 <= hits <= 190


@pytest.mark.parametrize("pilot", [np.ones((2, 1)), np.full((2, 9), np.nan)])
def test_a_pilot_of_one_row_tells_no_spread(pilot):
    assert smallest_difference(pilot, 9, 3) is None
    assert smallest_difference(np.ones((2, 9)), 1, 3) is None


def test_more_rows_repeats_and_fewer_arms_see_smaller_differences():
    pilot, _ = made_up(np.random.default_rng(0), repeats=2)
    whole = smallest_difference(pilot, 300, 3)
    assert smallest_difference(pilot, 1200, 3) < whole
    assert smallest_difference(pilot, 300, 6) < whole
    assert smallest_difference(pilot, 300, 3, arms=6) > whole
