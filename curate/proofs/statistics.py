"""What differs beyond chance, over test rows and repeated trainings, and what could be seen at all.

A number of a test row under an arm varies with the row, with the training (which rows were drawn,
in which order), and with both together. An arm and its control see the same rows, so rows are
resampled together (Efron, 1979); trainings are resampled in each by itself, one fewer than there
are, which makes the variance of their mean unbiased (Rao and Wu, 1988). The interval is Student's
around it, with Satterthwaite's degrees of freedom: three trainings do not tell a spread well, and
the interval has to say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVEL, POWER = 0.05, 0.8
_RESAMPLES, _AT_ONCE = 2000, 100


@dataclass(frozen=True)
class Difference:
    """How much lower an arm's mean is than its control's; above 0 the arm is better."""

    value: float  # mean of the control less that of the arm
    low: float  # of the 95 % interval; NaN where nothing can be resampled
    high: float
    p: float  # of the hypothesis that there is none, two-sided; NaN likewise
    rows: int  # that both have numbers of


def difference(arm: Floats, control: Floats, seed: int) -> Difference:
    """Return by how much an arm's numbers are lower than its control's.

    Both are (repeats, rows): a number of each test row after each training, the lower the better,
    one line for what is not trained; a row without one in any training is left out.

    Example:
        >>> difference(np.full((3, 40), 1.0), np.full((3, 40), 1.5), seed=0).value
        0.5
    """
    whole = np.isfinite(arm).all(axis=0) & np.isfinite(control).all(axis=0)
    arm, control = arm[:, whole], control[:, whole]
    rows = int(whole.sum())
    if rows < 2:
        value = float(control.mean() - arm.mean()) if rows else float("nan")
        return Difference(value, float("nan"), float("nan"), float("nan"), rows)
    value = float(control.mean() - arm.mean())
    spread = float(np.std(_resampled(arm, control, np.random.default_rng(seed)), ddof=1))
    parts = [(float(np.var(control.mean(0) - arm.mean(0), ddof=1)) / rows, rows - 1)]
    parts += [
        (float(np.var(side.mean(1), ddof=1)) / len(side), len(side) - 1)
        for side in (arm, control)
        if len(side) > 1
    ]
    if spread == 0.0:
        return Difference(value, value, value, float(value == 0.0), rows)
    student = _student(_freedom(parts))
    reach = float(student.ppf(1 - LEVEL / 2)) * spread
    p = 2 * float(student.sf(abs(value) / spread))
    return Difference(value, value - reach, value + reach, p, rows)


def _resampled(arm: Floats, control: Floats, generator: np.random.Generator) -> Floats:
    rows = arm.shape[1]
    chances = np.full(rows, 1 / rows)
    drawn = []
    for _ in range(_RESAMPLES // _AT_ONCE):
        weights, means = generator.multinomial(rows, chances, _AT_ONCE) / rows, []
        for side in (arm, control):
            repeats = len(side)
            draws = max(1, repeats - 1)  # trainings, one fewer than there are
            of_each = generator.multinomial(draws, np.full(repeats, 1 / repeats), _AT_ONCE) / draws
            means.append((of_each * (weights @ side.T)).sum(axis=1))
        drawn.append(means[1] - means[0])
    return np.concatenate(drawn)


def _freedom(parts: list[tuple[float, int]]) -> float:
    """Return the degrees of freedom of a sum of variances (Satterthwaite, 1946)."""
    total = sum(variance for variance, _ in parts)
    return total**2 / sum(variance**2 / freedom for variance, freedom in parts) if total else 1.0


def _student(freedom: float) -> Any:
    from scipy.stats import t

    return t(freedom)


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Return p-values corrected for their number (Holm, 1979); NaN stays and counts for none.

    Example:
        >>> holm({"ifd": 0.01, "like": 0.04, "car": 0.03})
        {'ifd': 0.03, 'car': 0.06, 'like': 0.06}
    """
    tested = sorted((value, name) for name, value in p.items() if np.isfinite(value))
    corrected: dict[str, float] = {}
    highest = 0.0
    for place, (value, name) in enumerate(tested):
        highest = max(highest, min(1.0, (len(tested) - place) * value))
        corrected[name] = highest
    return corrected | {name: value for name, value in p.items() if name not in corrected}


def smallest_difference(pilot: Floats, rows: int, repeats: int, arms: int = 1) -> float | None:
    """Return the smallest difference that is found with 80 % power, in the pilot's unit.

    None where there are fewer than two rows, which tell no spread.

    `pilot` (2, n) are numbers of the same rows after two trainings of one arm, which differ by what
    differs between any: in the mean of all rows, and row by row. Both go into the interval of a
    later difference as `difference` works it out, with Holm's first threshold, of so many test
    rows, repeats, and arms that are tested.
    """
    first, second = pilot[:, np.isfinite(pilot).all(axis=0)]
    if min(rows, len(first)) < 2:
        return None
    between = first - second
    by_row = float(np.var(between, ddof=1)) / 2
    of_training = max(0.0, float(between.mean()) ** 2 / 2 - by_row / len(between))
    parts = [
        (2 * by_row / (rows * repeats), rows - 1),
        *[((of_training + by_row / rows) / repeats, max(1, repeats - 1))] * 2,
    ]
    student = _student(_freedom(parts))
    spread = float(np.sqrt(sum(variance for variance, _ in parts)))
    return float(student.ppf(1 - LEVEL / 2 / max(1, arms)) + student.ppf(POWER)) * spread
