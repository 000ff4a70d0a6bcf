"""Pairwise fitting on paper, against plain gradient descent, and its promises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from curate.data.preference_pairs import Pair
from curate.models.ranking.learn import draw_of, fit_pairwise, right
from curate.recipes.ranker import interval, judge


def test_one_pair_by_hand():
    # w minimises log(1 + exp(-w)) + w²/2, so w = 1 / (1 + exp(w)): 0.40106 = 1 / (1 + 1.49341).
    weight = float(fit_pairwise(np.array([[1.0]]), np.array([1.0]))[0])
    assert weight == pytest.approx(0.401058, abs=1e-6)
    assert weight == pytest.approx(1 / (1 + math.exp(weight)))


def loss(differences, ridge, weights):
    """What a fit minimises."""
    return np.logaddexp(0, -(differences @ weights)).sum() + (ridge * weights**2).sum() / 2


def naive(differences, ridge, given, steps=20_000, rate=0.02):
    """The same minimum by as many small steps as it takes, one number after the other."""
    weights = [0.0] * len(ridge)
    for _ in range(steps):
        slope = [r * w for r, w in zip(ridge, weights, strict=True)]
        for line, times in zip(differences, given, strict=True):
            margin = sum(d * w for d, w in zip(line, weights, strict=True))
            lost = times / (1 + math.exp(margin))
            slope = [s - lost * d for s, d in zip(slope, line, strict=True)]
        weights = [w - rate * s for w, s in zip(weights, slope, strict=True)]
        if max(map(abs, slope)) < 1e-10:
            break
    return weights


def test_the_fit_finds_what_gradient_descent_finds():
    draws = np.random.default_rng(3)
    differences, ridge = draws.normal(size=(12, 3)) + 0.4, np.array([0.5, 2.0, 10.0])
    given = draws.uniform(0.5, 3, size=12)
    found = fit_pairwise(differences, ridge, given)
    assert found == pytest.approx(naive(differences.tolist(), ridge.tolist(), given.tolist()))
    assert not np.allclose(found, fit_pairwise(differences, ridge), atol=1e-3)


def test_more_features_than_pairs_give_the_same_minimum():
    draws = np.random.default_rng(5)
    differences, ridge = draws.normal(size=(4, 9)), draws.uniform(0.5, 4, size=9)
    given = draws.uniform(0.5, 3, size=4)
    found = fit_pairwise(differences, ridge, given)
    expected = naive(differences.tolist(), ridge.tolist(), given.tolist())
    assert found == pytest.approx(expected, abs=1e-6)
    twice = np.repeat(differences[:1], 3, axis=0)  # of rank one
    both = fit_pairwise(twice, ridge), naive(twice.tolist(), ridge.tolist(), [1.0] * 3)
    assert both[0] == pytest.approx(both[1], abs=1e-6)
    assert fit_pairwise(np.zeros((2, 3)), np.ones(3)).tolist() == [0.0, 0.0, 0.0]


def test_the_gradient_is_zero_there_and_every_step_away_costs():
    draws = np.random.default_rng(0)
    differences, ridge = draws.normal(size=(50, 6)), np.full(6, 0.7)
    found = fit_pairwise(differences, ridge)
    lowest = loss(differences, ridge, found)
    for place in range(6):
        for step in (-1e-3, 1e-3):
            moved = found.copy()
            moved[place] += step
            assert loss(differences, ridge, moved) > lowest


def test_separable_pairs_of_huge_numbers_stay_finite():
    found = fit_pairwise(np.array([[1e4, 0.0], [2e4, 1.0]]), np.array([1e-6, 1e-6]))
    assert np.isfinite(found).all()
    assert (np.array([[1e4, 0.0], [2e4, 1.0]]) @ found > 0).all()


def test_a_tie_is_half_right():
    assert right(np.array([2.0, 0.0, -1.0])).tolist() == [1.0, 0.5, 0.0]
    texts = zip(["long", "longer", "a", "b"], ["x", "y", "bc", "c"], strict=True)
    pairs = [Pair("p", better, worse, "f", "1") for better, worse in texts]
    assert judge(pairs, np.zeros(4), 0)["longer_wins"] == 2.5 / 4


def test_interval_holds_the_mean_and_is_as_wide_as_the_normal_one():
    outcomes = np.array([1.0] * 80 + [0.0] * 20)
    low, high = interval(outcomes, 0)
    assert low < 0.8 < high
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.8 * 0.2 / 100), rel=0.1)
    assert interval(outcomes, 0) == (low, high)
    assert interval(np.ones(5), 1) == (1.0, 1.0)


def test_draws_hang_on_the_prompt_alone():
    prompts = [f"prompt {n}" for n in range(400)]
    found = draw_of(prompts, 0)
    assert draw_of(prompts[::-1], 0).tolist() == found.tolist()[::-1]
    assert draw_of([" prompt 7\n"], 0)[0] == found[7]
    assert not (draw_of(prompts, 1) == found).any()
    assert 0.4 < (found < 0.5).mean() < 0.6
    assert ((found >= 0) & (found < 1)).all()
