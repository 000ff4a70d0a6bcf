"""Learning a head from pairs: logistic loss on differences, with a ridge for each family.

score(response) = w · x, and P(better beats worse) = sigmoid(score(better) - score(worse)), Bradley
and Terry's model; the prompt's own share of a score cancels, so one response has a score alone.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.models.ranking.trained_head import GROUPS, Head, PromptGroups, standardised
from curate.models.ranking.writing_style import FORM_NAMES

FOLDS = 5
# Tried for each family, in cross-validation over prompts; wide families need more.
_NARROW, _WIDE = (30.0, 100.0, 300.0), (1000.0, 3000.0, 10000.0)
_WIDE_FROM = 200
# People's pairs hardly show a response to another prompt, so they cannot choose for `relation`.
_FIXED = {"relation": (3.0,)}
# A set of weights with fewer pairs than this gives its prompts to the largest set.
_FEWEST = 20
_GROUP_RIDGE, _SURE = 30.0, 30.0
_TOLERANCE = 1e-8

Floats = NDArray[np.float64]
Ridges = dict[str, float]  # by family; a family that is left out has no weights


@dataclass(frozen=True)
class Material:
    """Pairs as numbers, a line each; all but the families' widths in the features' order.

    What is spoiled was made up (curate.recipes.ranker), and says what it counts; people's
    own pairs have 0 there, count 1, and alone choose scales, groups and ridges.
    """

    families: dict[str, int]
    prompts: NDArray[np.object_]  # pairs with one prompt are never told apart by folds
    sources: NDArray[np.str_]  # name of the file
    better: Floats  # (pairs, d) features
    worse: Floats
    looks: Floats  # (pairs, f + 1) of the prompts, from look()
    preferred: NDArray[np.bool_]  # a preference row, not an expert's revision
    spoiled: Floats

    @property
    def own(self) -> NDArray[np.bool_]:
        own: NDArray[np.bool_] = self.spoiled == 0
        return own

    def part(self, places: NDArray[Any]) -> Material:
        names = [field.name for field in fields(self) if field.name != "families"]
        return replace(self, **{name: getattr(self, name)[places] for name in names})


def fit_pairwise(
    differences: Floats,
    ridge: Floats,
    pair_weights: Floats | None = None,
    start: Floats | None = None,
) -> Floats:
    """Return the weights w that minimise sum p·log(1 + exp(-d·w)) + sum ridge·w²/2."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    size, width = differences.shape
    # scikit-learn wants a second class; a difference of nothing costs the same whatever w is.
    scaled = np.vstack([differences / np.sqrt(ridge), np.zeros((1, width))])
    weights = np.ones(size) if pair_weights is None else pair_weights
    model = LogisticRegression(
        fit_intercept=False, solver="newton-cholesky", tol=_TOLERANCE, warm_start=start is not None
    )
    if start is not None:
        model.coef_ = (start * np.sqrt(ridge))[None]
    # Several threads over matrices this small wait for each other, and add up in another order.
    with threadpool_limits(1, "blas"):
        model.fit(scaled, np.arange(size + 1) < size, sample_weight=np.append(weights, 1.0))
    fitted: Floats = model.coef_[0] / np.sqrt(ridge)
    return fitted


def learn_groups(looks: Floats, preferred: NDArray[np.bool_]) -> PromptGroups:
    """Return what tells the prompts of preference rows from those of expert revisions."""
    from sklearn.preprocessing import StandardScaler

    form, others = looks[:, :-1], looks[:, -1] == 0
    scaler = StandardScaler().fit(form)
    weight = np.zeros(len(FORM_NAMES) + 1)
    counts = int((others & ~preferred).sum()), int((others & preferred).sum())
    if min(counts):
        away = standardised(form[others], scaler.mean_, scaler.scale_)
        sign = np.where(preferred[others], 1.0, -1.0)[:, None]
        columns = np.hstack([away, np.ones((len(away), 1))]) * sign
        rare = np.where(preferred[others], counts[0] / counts[1], 1.0)
        weight = fit_pairwise(columns, np.full(len(weight), _GROUP_RIDGE), rare)
    else:
        weight[-1] = _SURE if counts[1] else -_SURE
    route = np.eye(len(GROUPS))
    groups = PromptGroups(mean=scaler.mean_, scale=scaler.scale_, weight=weight, route=route)
    sizes = groups.shares(looks).sum(0)
    changed = route.copy()
    changed[sizes < _FEWEST] = route[int(sizes.argmax())]
    return replace(groups, route=changed)


class _Fitting:
    """Pairs made ready for fits with some families; each starts where the last one ended."""

    def __init__(self, material: Material, families: Sequence[str]) -> None:
        from sklearn.preprocessing import StandardScaler

        own = material.own
        # What never changes keeps its scale.
        scaler = StandardScaler().fit(np.concatenate([material.better[own], material.worse[own]]))
        groups = learn_groups(material.looks[own], material.preferred[own])
        nothing = np.zeros((len(GROUPS), len(scaler.mean_)))
        self._blank = Head(mean=scaler.mean_, scale=scaler.scale_, weight=nothing, groups=groups)
        better, worse = (
            standardised(features, scaler.mean_, scaler.scale_)
            for features in (material.better, material.worse)
        )
        difference = better - worse
        # Group, feature and family of every weight that is learned.
        weights: list[tuple[int, int, str]] = []
        start = 0
        for name, width in material.families.items():
            # A wide family is weighed alike for every prompt, or it would learn few pairs by heart.
            open_to = (len(GROUPS),) if width >= _WIDE_FROM else range(len(GROUPS))
            if name in families:
                places = range(start, start + width)
                weights += [(group, place, name) for group in open_to for place in places]
            start += width
        self._owners = [name for _, _, name in weights]
        self._groups, self._places = np.array([weight[:2] for weight in weights]).T
        # The last column is open to every prompt.
        shares = np.hstack([groups.shares(material.looks), np.ones((len(difference), 1))])
        self._columns = difference[:, self._places] * shares[:, self._groups]
        self._counts = np.where(own, 1.0, material.spoiled)
        self._last: Floats | None = None

    def head(self, ridges: Ridges) -> Head:
        ridge = np.array([ridges[name] for name in self._owners])
        weight = np.zeros((len(GROUPS) + 1, self._blank.weight.shape[1]))
        self._last = fit_pairwise(self._columns, ridge, self._counts, self._last)
        weight[self._groups, self._places] = self._last
        return replace(self._blank, weight=weight[:-1] + weight[-1])


def fit_head(material: Material, ridges: Ridges) -> Head:
    return _Fitting(material, list(ridges)).head(ridges)


def margins(head: Head, material: Material) -> Floats:
    looks = material.looks
    return head.score(material.better, looks) - head.score(material.worse, looks)


def right(margins: Floats) -> Floats:
    """Return 1 for a pair whose better response scores higher, 0.5 for a tie, else 0."""
    return np.where(margins > 0, 1.0, np.where(margins == 0, 0.5, 0.0))


def draw_of(prompts: Sequence[str], seed: int) -> Floats:
    """Return one number in [0, 1) a prompt; equal prompts have the same, whatever their order."""
    digests = (hashlib.sha256(f"{seed}|{prompt.strip()}".encode()).digest() for prompt in prompts)
    return np.array([int.from_bytes(digest[:6], "big") / 2**48 for digest in digests])


def _folds(prompts: NDArray[np.object_], seed: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield the places of pairs to learn from and to judge; a prompt is never in both."""
    from sklearn.model_selection import PredefinedSplit

    # By content, so that a prompt that is added moves no other one.
    split = PredefinedSplit((draw_of(prompts.tolist(), seed) * FOLDS).astype(int)).split()
    yield from ((rest, judged) for rest, judged in split if len(rest))


def cross_validated(material: Material, settings: Sequence[Ridges], seed: int) -> list[Floats]:
    """For each setting every pair's margin by a head fitted without its prompt, (pairs,)."""
    by_setting = [np.zeros(len(material.prompts)) for _ in settings]
    # Another draw than the one that holds pairs out, which all lie below one number.
    for rest, judged in _folds(material.prompts, seed + 1):
        fitting = _Fitting(material.part(rest), list(settings[0]))
        for ridges, margin in zip(settings, by_setting, strict=True):
            margin[judged] = margins(fitting.head(ridges), material.part(judged))
    return by_setting


def choose(material: Material, seed: int, families: Sequence[str] | None = None) -> Ridges:
    """Return the ridges with the lowest cross-validated loss, every file counting alike."""
    used = list(families or material.families)
    grids = [
        _FIXED.get(name, _WIDE if material.families[name] >= _WIDE_FROM else _NARROW)
        for name in used
    ]
    own = material.own
    settings = [dict(zip(used, ridges, strict=True)) for ridges in itertools.product(*grids)]
    losses = [
        np.mean(list(by_file(np.logaddexp(0, -margin[own]), material.sources[own]).values()))
        for margin in cross_validated(material, settings, seed)
    ]
    return settings[int(np.argmin(losses))]


def nested(material: Material, seed: int) -> Floats:
    """Return every pair's margin by a head that never saw its prompt, nor chose a ridge by it."""
    margin = np.zeros(len(material.prompts))
    for places, judged in _folds(material.prompts, seed + 2):
        rest = material.part(places)
        margin[judged] = margins(fit_head(rest, choose(rest, seed)), material.part(judged))
    return margin


def by_file(values: Floats, sources: NDArray[np.str_]) -> dict[str, float]:
    return {str(name): float(values[sources == name].mean()) for name in np.unique(sources)}


def ablation(material: Material, ridges: Ridges, seed: int) -> dict[str, dict[str, float]]:
    """Return the cross-validated accuracy by file with each family alone, and with all."""
    alone = [choose(material, seed, [name]) for name in material.families]
    return {
        " + ".join(setting): by_file(
            right(cross_validated(material, [setting], seed)[0]), material.sources
        )
        for setting in (*alone, ridges)
    }
