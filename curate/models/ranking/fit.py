"""Learning a score from pairs: logistic loss on differences, with a ridge; and how it is judged.

score(response) = w · x, and P(better beats worse) = sigmoid(score(better) - score(worse)), Bradley
and Terry's model; the prompt's own share of a score cancels, so one response has a score alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_CLOSE = 1e-8
_RESAMPLES = 2000


def fit_pairwise(
    differences: Floats,
    ridge: Floats,
    pair_weights: Floats | None = None,
    start: Floats | None = None,
) -> Floats:
    """Return the weights w that minimise sum p·log(1 + exp(-d·w)) + sum ridge·w²/2.

    Example:
        >>> fit_pairwise(np.array([[1.0]]), np.array([1.0])).round(4)
        array([0.4011])
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    size, width = differences.shape
    # scikit-learn wants a second class; a difference of nothing costs the same whatever w is.
    scaled = np.vstack([differences / np.sqrt(ridge), np.zeros((1, width))])
    weights = np.ones(size) if pair_weights is None else pair_weights
    model = LogisticRegression(
        fit_intercept=False, solver="newton-cholesky", tol=_CLOSE, warm_start=start is not None
    )
    if start is not None:
        model.coef_ = (start * np.sqrt(ridge))[None]
    # Several threads over matrices this small wait for each other, and add up in another order.
    with threadpool_limits(1, "blas"):
        model.fit(scaled, np.arange(size + 1) < size, sample_weight=np.append(weights, 1.0))
    found: Floats = model.coef_[0] / np.sqrt(ridge)
    return found


def draw_of(prompts: Sequence[str], seed: int) -> Floats:
    """Return one number in [0, 1) a prompt; equal prompts have the same, whatever their order."""
    digests = (hashlib.sha256(f"{seed}|{prompt.strip()}".encode()).digest() for prompt in prompts)
    return np.array([int.from_bytes(digest[:6], "big") / 2**48 for digest in digests])


def right(margins: Floats) -> Floats:
    """Return 1 for a pair whose better response scores higher, 0.5 for a tie, else 0."""
    return np.where(margins > 0, 1.0, np.where(margins == 0, 0.5, 0.0))


def interval(outcomes: Floats, seed: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of (pairs,) outcomes, at least one.

    By percentiles of resampled means; `scipy.stats.bootstrap` refuses a single pair.
    """
    draws = np.random.default_rng(seed)
    size = len(outcomes)
    means = [outcomes[draws.integers(0, size, size)].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def length_rule(better: Sequence[str], worse: Sequence[str]) -> float:
    """Return how often the better response is the longer, in characters; ties count half.

    "The shorter wins" is right as often as this is wrong.
    """
    margins = [float(len(b) - len(w)) for b, w in zip(better, worse, strict=True)]
    return float(right(np.array(margins)).mean())
