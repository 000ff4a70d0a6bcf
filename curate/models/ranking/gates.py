"""Which weights a prompt is judged by: three sets of them, between which the prompt alone decides.

Experts who revise answers to short tasks like other things than those who prefer one of two long
answers, and what is long in English is not in Chinese. So there is a set for Chinese prompts, and
two for all others, mixed by how much the prompt looks like those of preference rows and how much
like those of expert revisions. Only how a prompt is written is looked at (see form.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.models.ranking.fit import fit_pairwise
from curate.models.ranking.form import FORM_NAMES, form_features, is_chinese

GATES = ("like_revisions", "like_preferences", "chinese")
# A set of weights with fewer pairs than this gives its prompts to the largest set.
FEWEST = 20
_RIDGE = 30.0
_FARTHEST = 4.0
_SURE = 30.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Gates:
    """How prompts are told apart.

    Attributes:
        mean: (f,) of the looks of prompts, f = len(FORM_NAMES).
        scale: (f,) above 0.
        weight: (f + 1,) towards preference rows; the last is added.
        route: (gates, gates) from the set that a prompt asks for to the one that it gets.
    """

    mean: Floats
    scale: Floats
    weight: Floats
    route: Floats

    def open(self, looks: Floats) -> Floats:
        """Return the share of each of GATES, (n, gates); a line adds up to 1.

        Args:
            looks: From look().
        """
        away = np.clip((looks[:, :-1] - self.mean) / self.scale, -_FARTHEST, _FARTHEST)
        lean = np.clip(away @ self.weight[:-1] + self.weight[-1], -_SURE, _SURE)
        chinese, likely = looks[:, -1], 1 / (1 + np.exp(-lean))
        asked = np.stack(((1 - chinese) * (1 - likely), (1 - chinese) * likely, chinese), 1)
        shares: Floats = asked @ self.route
        return shares


def look(prompts: Sequence[str]) -> Floats:
    """Return how prompts are written and, last, whether they are Chinese, (n, f + 1).

    Args:
        prompts: Texts.
    """
    form = form_features([("", prompt) for prompt in prompts]).astype(np.float64)
    chinese = np.array([float(is_chinese(prompt)) for prompt in prompts]).reshape(-1, 1)
    return np.hstack([form, chinese])


def learn_gates(looks: Floats, preferred: NDArray[np.bool_]) -> Gates:
    """Return gates that tell the prompts of preference rows from those of expert revisions.

    Args:
        looks: From look(), (n, f + 1).
        preferred: (n,) whether the prompt is one of a preference row.
    """
    form, others = looks[:, :-1], looks[:, -1] == 0
    scale = form.std(0)
    scale[scale < 1e-6] = 1.0
    width = len(FORM_NAMES)
    weight = np.zeros(width + 1)
    counts = int((others & ~preferred).sum()), int((others & preferred).sum())
    if min(counts):
        away = np.clip((form[others] - form.mean(0)) / scale, -_FARTHEST, _FARTHEST)
        sign = np.where(preferred[others], 1.0, -1.0)[:, None]
        columns = np.hstack([away, np.ones((len(away), 1))]) * sign
        rare = np.where(preferred[others], counts[0] / counts[1], 1.0)
        weight = fit_pairwise(columns, np.full(width + 1, _RIDGE), rare)
    else:
        weight[-1] = _SURE if counts[1] else -_SURE
    learned = Gates(form.mean(0), scale, weight, np.eye(len(GATES)))
    sizes = learned.open(looks).sum(0)
    route = np.eye(len(GATES))
    route[sizes < FEWEST] = route[int(sizes.argmax())]
    return Gates(form.mean(0), scale, weight, route)
