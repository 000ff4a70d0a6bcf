"""Learning a score from pairs: logistic loss on differences, ridge, cross-validation by prompt.

score(response) = w · x, and P(better beats worse) = sigmoid(score(better) - score(worse)), Bradley
and Terry's model; the prompt's own share of a score cancels, so one response has a score alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_STEPS = 50
_CLOSE = 1e-7
_RANK = 1e-12
_RESAMPLES = 2000


def fit_pairwise(
    differences: Floats,
    ridge: Floats,
    pair_weights: Floats | None = None,
    start: Floats | None = None,
) -> Floats:
    """Return the weights w that minimise sum p·log(1 + exp(-d·w)) + sum ridge·w²/2.

    Newton's steps, each halved until the loss falls: it is convex and has one minimum.

    Args:
        differences: (pairs, d) features of the better response minus those of the worse.
        ridge: (d,) above 0.
        pair_weights: (pairs,) p above 0; 1 if not given.
        start: (d,) weights near the minimum, which is found sooner from there.

    Example:
        >>> fit_pairwise(np.array([[1.0]]), np.array([1.0])).round(4)
        array([0.4011])
    """
    if len(differences) < differences.shape[1]:
        return _fit_few(differences, ridge, pair_weights)
    given = np.ones(len(differences)) if pair_weights is None else pair_weights
    weights = np.zeros(differences.shape[1]) if start is None else start
    lowest = loss(differences, ridge, weights, given)
    for _ in range(_STEPS):
        lost = 1 / (1 + np.exp(np.clip(differences @ weights, -500, 500)))
        gradient = ridge * weights - differences.T @ (given * lost)
        curvature = (differences.T * (given * lost * (1 - lost))) @ differences
        curvature[np.diag_indices_from(curvature)] += ridge
        step = np.linalg.solve(curvature, gradient)
        while (now := loss(differences, ridge, weights - step, given)) > lowest + _CLOSE:
            step = step / 2
        weights, lowest = weights - step, now
        if np.abs(step).max() < _CLOSE:
            break
    return weights


def _fit_few(differences: Floats, ridge: Floats, pair_weights: Floats | None) -> Floats:
    """Fit in as many dimensions as there are pairs: the minimum lies among their combinations."""
    scaled = differences / np.sqrt(ridge)
    values, vectors = np.linalg.eigh(scaled @ scaled.T)
    kept = values > values.max() * _RANK
    if not kept.any():
        return np.zeros(len(ridge))
    roots = np.sqrt(values[kept])
    fewer = fit_pairwise(vectors[:, kept] * roots, np.ones(len(roots)), pair_weights)
    weights: Floats = scaled.T @ (vectors[:, kept] / roots @ fewer) / np.sqrt(ridge)
    return weights


def loss(
    differences: Floats, ridge: Floats, weights: Floats, pair_weights: Floats | None = None
) -> float:
    """Return what fit_pairwise() minimises.

    Args:
        differences: (pairs, d).
        ridge: (d,).
        weights: (d,).
        pair_weights: (pairs,); 1 if not given.
    """
    each = np.logaddexp(0, -(differences @ weights))
    logistic = each.sum() if pair_weights is None else pair_weights @ each
    return float(logistic + (ridge * weights**2).sum() / 2)


def draw_of(prompts: Sequence[str], seed: int) -> Floats:
    """Return one number in [0, 1) a prompt; equal prompts have the same, whatever their order.

    Args:
        prompts: Texts.
        seed: Another gives other numbers.
    """
    digests = (hashlib.sha256(f"{seed}|{prompt.strip()}".encode()).digest() for prompt in prompts)
    return np.array([int.from_bytes(each[:6], "big") / 2**48 for each in digests])


def right(margins: Floats) -> Floats:
    """Return 1 for a pair whose better response scores higher, 0.5 for a tie, else 0.

    Args:
        margins: (pairs,) score of the better minus score of the worse.
    """
    return np.where(margins > 0, 1.0, np.where(margins == 0, 0.5, 0.0))


def interval(outcomes: Floats, seed: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean, by percentiles of resampled means.

    Args:
        outcomes: (pairs,) from right(), at least one.
        seed: Of the resampling.
    """
    draws = np.random.default_rng(seed)
    size = len(outcomes)
    means = [outcomes[draws.integers(0, size, size)].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def length_rule(better: Sequence[str], worse: Sequence[str]) -> float:
    """Return how often the better response is the longer, in characters; ties count half.

    "The shorter wins" is right as often as this is wrong.

    Args:
        better: (pairs,).
        worse: (pairs,).
    """
    margins = [float(len(b) - len(w)) for b, w in zip(better, worse, strict=True)]
    return float(right(np.array(margins)).mean())
