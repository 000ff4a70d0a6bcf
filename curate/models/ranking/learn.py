"""From the features of many pairs to a head: standardise, choose the ridge, fit, take apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from curate.models.ranking.fit import draw_of, fit_pairwise, right
from curate.models.ranking.prompt_groups import GROUPS, learn_groups, scaler_of
from curate.models.ranking.trained_head import Head

FOLDS = 5
# Tried for each family, in cross-validation over prompts; wide families need more.
_NARROW, _WIDE = (30.0, 100.0, 300.0), (1000.0, 3000.0, 10000.0)
_WIDE_FROM = 200
# People's pairs hardly show a response to another prompt, so they cannot choose for `relation`.
_FIXED = {"relation": (3.0,)}

Floats = NDArray[np.float64]
Places = NDArray[np.int64]
Ridges = dict[str, float]  # by family; a family that is left out has no weights


@dataclass(frozen=True)
class Material:
    """Pairs as numbers.

    Attributes:
        families: Family to its width, in the order of the features.
        prompts: (pairs,) texts; pairs with one prompt are never told apart by folds.
        sources: (pairs,) name of the file.
        better: (pairs, d) features.
        worse: (pairs, d).
        looks: (pairs, f + 1) of the prompts, from look().
        preferred: (pairs,) whether the pair is a preference row, not an expert's revision.
        spoiled: (pairs,) what a pair that was made up counts (curate.recipes.ranker_spoiled); 0 for
            people's own, which count 1, and which alone choose scales, groups and ridges.
    """

    families: dict[str, int]
    prompts: NDArray[np.object_]
    sources: NDArray[np.str_]
    better: Floats
    worse: Floats
    looks: Floats
    preferred: NDArray[np.bool_]
    spoiled: Floats

    @property
    def own(self) -> NDArray[np.bool_]:
        """Which pairs are people's own, (pairs,)."""
        own: NDArray[np.bool_] = self.spoiled == 0
        return own

    def part(self, places: Places | NDArray[np.bool_]) -> Material:
        """Return some of the pairs."""
        names = [field.name for field in fields(self) if field.name != "families"]
        return replace(self, **{name: getattr(self, name)[places] for name in names})


def fit_head(material: Material, ridges: Ridges) -> Head:
    """Return the head that the pairs, at least one, and ridges give."""
    return _Fitting(material, list(ridges)).head(ridges)


class _Fitting:
    """Pairs made ready for fits with some families; each starts where the last one ended."""

    def __init__(self, material: Material, families: Sequence[str]) -> None:
        own = material.own
        scaler = scaler_of(np.concatenate([material.better[own], material.worse[own]]))
        groups = learn_groups(material.looks[own], material.preferred[own])
        nothing = np.zeros((len(GROUPS), len(scaler.mean_)))
        self._blank = Head(mean=scaler.mean_, scale=scaler.scale_, weight=nothing, groups=groups)
        standard = self._blank.standard
        difference = standard(material.better) - standard(material.worse)
        self._groups, self._places, self._owners = _columns(material.families, families)
        # The last column is open to every prompt.
        shares = np.hstack([groups.shares(material.looks), np.ones((len(difference), 1))])
        self._columns = difference[:, self._places] * shares[:, self._groups]
        self._counts = np.where(own, 1.0, material.spoiled)
        self._last: Floats | None = None

    def head(self, ridges: Ridges) -> Head:
        """Return the head that these ridges give."""
        ridge = np.array([ridges[name] for name in self._owners])
        weight = np.zeros((len(GROUPS) + 1, self._blank.weight.shape[1]))
        self._last = fit_pairwise(self._columns, ridge, self._counts, self._last)
        weight[self._groups, self._places] = self._last
        return replace(self._blank, weight=weight[:-1] + weight[-1])


def _columns(
    families: dict[str, int], used: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return group, feature and family of every weight that is learned."""
    columns: list[tuple[int, int, str]] = []
    start = 0
    for name, width in families.items():
        # A wide family is weighed alike for every prompt, or it would learn few pairs by heart.
        groups = (len(GROUPS),) if width >= _WIDE_FROM else range(len(GROUPS))
        if name in used:
            places = range(start, start + width)
            columns += [(group, place, name) for group in groups for place in places]
        start += width
    groups_, places_, owners = zip(*columns, strict=True)
    return np.array(groups_), np.array(places_), list(owners)


def margins(head: Head, material: Material) -> Floats:
    """Return score of the better minus score of the worse, (pairs,)."""
    looks = material.looks
    return head.score(material.better, looks) - head.score(material.worse, looks)


def folds(prompts: NDArray[np.object_], seed: int) -> Iterator[tuple[Places, Places]]:
    """Yield the places of pairs to learn from and to judge; a prompt is never in both."""
    from sklearn.model_selection import PredefinedSplit

    # By content, so that a prompt that is added moves no other one.
    split = PredefinedSplit((draw_of(prompts.tolist(), seed) * FOLDS).astype(int)).split()
    yield from ((rest, judged) for rest, judged in split if len(rest))


def cross_validated(material: Material, settings: Sequence[Ridges], seed: int) -> list[Floats]:
    """For each setting every pair's margin by a head fitted without its prompt, (pairs,)."""
    found = [np.zeros(len(material.prompts)) for _ in settings]
    # Another draw than the one that holds pairs out, which all lie below one number.
    for rest, judged in folds(material.prompts, seed + 1):
        fitting = _Fitting(material.part(rest), list(settings[0]))
        for ridges, margin in zip(settings, found, strict=True):
            margin[judged] = margins(fitting.head(ridges), material.part(judged))
    return found


def nested(material: Material, seed: int) -> Floats:
    """Return every pair's margin by a head that never saw its prompt, not even to choose a ridge.

    Each fifth of the prompts is held out in turn; the others choose the ridge and fit the head.
    """
    found = np.zeros(len(material.prompts))
    for places, judged in folds(material.prompts, seed + 2):
        rest = material.part(places)
        found[judged] = margins(fit_head(rest, choose(rest, seed)), material.part(judged))
    return found


def by_file(values: Floats, sources: NDArray[np.str_]) -> dict[str, float]:
    """Return the mean of each file of (pairs,) values."""
    return {str(name): float(values[sources == name].mean()) for name in np.unique(sources)}


def choose(material: Material, seed: int, families: Sequence[str] | None = None) -> Ridges:
    """Return the ridges with the lowest cross-validated loss, every file counting alike."""
    used = list(families or material.families)
    grids = [
        _FIXED.get(name, _WIDE if material.families[name] >= _WIDE_FROM else _NARROW)
        for name in used
    ]
    own = material.own
    settings = [dict(zip(used, ridges, strict=True)) for ridges in itertools.product(*grids)]
    lost = [
        np.mean(list(by_file(np.logaddexp(0, -margin[own]), material.sources[own]).values()))
        for margin in cross_validated(material, settings, seed)
    ]
    return settings[int(np.argmin(lost))]


def ablation(material: Material, ridges: Ridges, seed: int) -> dict[str, dict[str, float]]:
    """Return the cross-validated accuracy by file with each family alone, and with all."""
    alone = [choose(material, seed, [name]) for name in material.families]
    found = {}
    for setting in (*alone, ridges):
        correct = right(cross_validated(material, [setting], seed)[0])
        found[" + ".join(setting)] = by_file(correct, material.sources)
    return found
