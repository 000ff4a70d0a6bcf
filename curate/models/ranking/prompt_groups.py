"""Which weights a prompt is judged by: three sets of them, between which the prompt alone decides.

Experts who revise answers to short tasks like other things than those who prefer one of two long
answers, and what is long in English is not in Chinese. So there is a set for Chinese prompts, and
two for all others, mixed by how much the prompt looks like those of preference rows and how much
like those of expert revisions. Only how a prompt is written is looked at (see writing_style.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.models.ranking.fit import fit_pairwise
from curate.models.ranking.writing_style import FORM_NAMES, form_features, is_chinese

GROUPS = ("like_revisions", "like_preferences", "chinese")
# A set of weights with fewer pairs than this gives its prompts to the largest set.
FEWEST = 20
_RIDGE = 30.0
_FARTHEST = 4.0  # deviations; one odd text does not outweigh all else
_SURE = 30.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PromptGroups:
    """How prompts are told apart.

    Attributes:
        mean: (f,) of the looks of prompts, f = len(FORM_NAMES).
        scale: (f,) above 0.
        weight: (f + 1,) towards preference rows; the last is added.
        route: (groups, groups) from the set that a prompt asks for to the one that it gets.
    """

    mean: Floats
    scale: Floats
    weight: Floats
    route: Floats

    def shares(self, looks: Floats) -> Floats:
        """Return the share of each of GROUPS for looks from look(), (n, groups), 1 in a line."""
        away = standardised(looks[:, :-1], self.mean, self.scale)
        lean = np.clip(away @ self.weight[:-1] + self.weight[-1], -_SURE, _SURE)
        chinese, likely = looks[:, -1], 1 / (1 + np.exp(-lean))
        asked = np.stack(((1 - chinese) * (1 - likely), (1 - chinese) * likely, chinese), 1)
        shares: Floats = asked @ self.route
        return shares


def look(prompts: Sequence[str]) -> Floats:
    """Return how prompts are written and, last, whether they are Chinese, (n, f + 1)."""
    form = form_features([("", prompt) for prompt in prompts]).astype(np.float64)
    chinese = np.array([float(is_chinese(prompt)) for prompt in prompts]).reshape(-1, 1)
    return np.hstack([form, chinese])


def scaler_of(features: Floats) -> Any:
    """Return scikit-learn's scaler of (n, d) features; what never changes keeps its scale."""
    from sklearn.preprocessing import StandardScaler

    return StandardScaler().fit(features)


def standardised(features: NDArray[np.floating[Any]], mean: Floats, scale: Floats) -> Floats:
    """Return (n, d) features in deviations from the mean, at most four."""
    away: Floats = (features.astype(np.float64) - mean) / scale
    return np.clip(away, -_FARTHEST, _FARTHEST)


def learn_groups(looks: Floats, preferred: NDArray[np.bool_]) -> PromptGroups:
    """Return what tells the prompts of preference rows from those of expert revisions."""
    form, others = looks[:, :-1], looks[:, -1] == 0
    scaler = scaler_of(form)
    weight = np.zeros(len(FORM_NAMES) + 1)
    counts = int((others & ~preferred).sum()), int((others & preferred).sum())
    if min(counts):
        away = standardised(form[others], scaler.mean_, scaler.scale_)
        sign = np.where(preferred[others], 1.0, -1.0)[:, None]
        columns = np.hstack([away, np.ones((len(away), 1))]) * sign
        rare = np.where(preferred[others], counts[0] / counts[1], 1.0)
        weight = fit_pairwise(columns, np.full(len(weight), _RIDGE), rare)
    else:
        weight[-1] = _SURE if counts[1] else -_SURE
    route = np.eye(len(GROUPS))
    groups = PromptGroups(mean=scaler.mean_, scale=scaler.scale_, weight=weight, route=route)
    sizes = groups.shares(looks).sum(0)
    changed = route.copy()
    changed[sizes < FEWEST] = route[int(sizes.argmax())]
    return replace(groups, route=changed)
