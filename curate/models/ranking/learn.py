"""From the features of many pairs to a head: standardise, choose the ridge, fit, take apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from curate.models.ranking.fit import draw_of, fit_pairwise, right
from curate.models.ranking.gates import GATES, learn_gates
from curate.models.ranking.head import Head

FOLDS = 5
# Tried for each family, in cross-validation over prompts; wide families need more.
_NARROW, _WIDE = (30.0, 100.0, 300.0), (1000.0, 3000.0, 10000.0)
_WIDE_FROM = 200
# People's pairs hardly show a response to another prompt, so they cannot choose for `relation`.
_FIXED = {"relation": (3.0,)}
_SMALLEST_SCALE = 1e-6

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """Pairs as numbers.

    Attributes:
        prompts: (pairs,) texts; pairs with one prompt are never told apart by folds.
        sources: (pairs,) name of the file.
        better: (pairs, d) features.
        worse: (pairs, d).
        families: Family to its width, in the order of the features.
        looks: (pairs, f + 1) of the prompts, from look().
        preferred: (pairs,) whether the pair is a preference row, not an expert's revision.
        spoiled: (pairs,) what a pair that was made up counts (curate.recipes.ranker_spoiled); 0 for
            people's own, which count 1, and which alone choose scales, gates and ridges.
    """

    prompts: Sequence[str]
    sources: NDArray[np.str_]
    better: Floats
    worse: Floats
    families: dict[str, int]
    looks: Floats
    preferred: NDArray[np.bool_]
    spoiled: Floats

    @property
    def own(self) -> NDArray[np.bool_]:
        """Which pairs are people's own, (pairs,)."""
        own: NDArray[np.bool_] = self.spoiled == 0
        return own

    def part(self, mask: NDArray[np.bool_]) -> Material:
        """Return some of the pairs.

        Args:
            mask: (pairs,).
        """
        prompts = [self.prompts[each] for each in np.flatnonzero(mask).tolist()]
        return Material(
            prompts,
            self.sources[mask],
            self.better[mask],
            self.worse[mask],
            self.families,
            self.looks[mask],
            self.preferred[mask],
            self.spoiled[mask],
        )


@dataclass(frozen=True)
class Setting:
    """What is chosen by cross-validation.

    Attributes:
        ridge: Family to the strength of its ridge; a family that is left out has no weights.
    """

    ridge: dict[str, float]


def fit_head(material: Material, setting: Setting) -> Head:
    """Return the head that the pairs and a setting give.

    Args:
        material: At least one pair.
        setting: The ridge.
    """
    return _Fitting(material, list(setting.ridge)).head(setting)


class _Fitting:
    """Pairs made ready for a fit with some families; each fit starts where the last one ended."""

    def __init__(self, material: Material, families: Sequence[str]) -> None:
        own = material.own
        both = np.concatenate([material.better[own], material.worse[own]])
        scale = both.std(0)
        scale[scale < _SMALLEST_SCALE] = 1.0
        gates = learn_gates(material.looks[own], material.preferred[own])
        self._blank = Head(both.mean(0), scale, np.zeros((len(GATES), both.shape[1])), gates)
        standard = self._blank.standard
        difference = standard(material.better) - standard(material.worse)
        self._gates, self._places, self._owners = _columns(material.families, families)
        # The last column is open to every prompt.
        shares = np.hstack([gates.open(material.looks), np.ones((len(difference), 1))])
        self._columns = difference[:, self._places] * shares[:, self._gates]
        self._counts = np.where(own, 1.0, material.spoiled)
        self._last: Floats | None = None

    def head(self, setting: Setting) -> Head:
        """Return the head of a setting."""
        from threadpoolctl import threadpool_limits

        ridge = np.array([setting.ridge[name] for name in self._owners])
        # Several threads over matrices this small wait for each other, and add up in another order.
        with threadpool_limits(1, "blas"):
            self._last = fit_pairwise(self._columns, ridge, self._counts, self._last)
        head = replace(self._blank, weight=np.zeros_like(self._blank.weight))
        weight = np.zeros((len(GATES) + 1, head.weight.shape[1]))
        weight[self._gates, self._places] = self._last
        head.weight[:] = weight[:-1] + weight[-1]
        return head


def _columns(
    families: dict[str, int], used: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """Return gate, feature and family of every weight that is learned."""
    gates: list[int] = []
    places: list[int] = []
    owners: list[str] = []
    start = 0
    for name, width in families.items():
        # A wide family is weighed alike for every prompt, or it would learn few pairs by heart.
        own = (len(GATES),) if width >= _WIDE_FROM else range(len(GATES))
        for gate in own if name in used else ():
            gates += [gate] * width
            places += range(start, start + width)
            owners += [name] * width
        start += width
    return np.array(gates, dtype=np.int64), np.array(places, dtype=np.int64), owners


def margins(head: Head, material: Material) -> Floats:
    """Return score of the better minus score of the worse, (pairs,).

    Args:
        head: The judge.
        material: Pairs.
    """
    looks = material.looks
    return head.score(material.better, looks) - head.score(material.worse, looks)


def cross_validated(material: Material, settings: Sequence[Setting], seed: int) -> list[Floats]:
    """Return, for each setting, every pair's margin by a head fitted without its prompt, (pairs,).

    Args:
        material: Pairs.
        settings: Ridges, all of the same families.
        seed: Of the folds.
    """
    # Another draw than the one that holds pairs out, which all lie below one number.
    fold = (draw_of(material.prompts, seed + 1) * FOLDS).astype(int)
    found = [np.zeros(len(fold)) for _ in settings]
    for each in range(FOLDS):
        inside, outside = fold == each, fold != each
        if inside.any() and outside.any():
            fitting = _Fitting(material.part(outside), list(settings[0].ridge))
            judged = material.part(inside)
            for setting, margin in zip(settings, found, strict=True):
                margin[inside] = margins(fitting.head(setting), judged)
    return found


def nested(material: Material, seed: int) -> Floats:
    """Return every pair's margin by a head that never saw its prompt, not even to choose a ridge.

    Each fifth of the prompts is held out in turn; the others choose the ridge and fit the head.

    Args:
        material: All pairs.
        seed: Of the fifths, which are those of no other draw.
    """
    fifth = (draw_of(material.prompts, seed + 2) * FOLDS).astype(int)
    found = np.zeros(len(fifth))
    for each in range(FOLDS):
        out = fifth == each
        if out.any() and not out.all():
            rest = material.part(~out)
            found[out] = margins(fit_head(rest, choose(rest, seed)), material.part(out))
    return found


def by_file(values: Floats, sources: NDArray[np.str_]) -> dict[str, float]:
    """Return the mean of each file.

    Args:
        values: (pairs,).
        sources: (pairs,).
    """
    return {str(name): float(values[sources == name].mean()) for name in np.unique(sources)}


def choose(material: Material, seed: int, families: Sequence[str] | None = None) -> Setting:
    """Return the setting with the lowest cross-validated loss, every file counting alike.

    Args:
        material: Pairs, without those that are held out.
        seed: Of the folds.
        families: Those to use; all if not given.
    """
    used = list(families or material.families)
    grids = [
        _FIXED.get(name, _WIDE if material.families[name] >= _WIDE_FROM else _NARROW)
        for name in used
    ]
    own = material.own
    products = itertools.product(*grids)
    settings = [Setting(dict(zip(used, ridges, strict=True))) for ridges in products]
    lost = [
        np.mean(list(by_file(np.logaddexp(0, -margin[own]), material.sources[own]).values()))
        for margin in cross_validated(material, settings, seed)
    ]
    return settings[int(np.argmin(lost))]


def ablation(material: Material, setting: Setting, seed: int) -> dict[str, dict[str, float]]:
    """Return the cross-validated accuracy by file with each family alone, and with all.

    Args:
        material: Pairs, without those that are held out.
        setting: Of all families, as choose() gave it.
        seed: Of the folds.
    """
    alone = [choose(material, seed, [name]) for name in material.families]
    found = {}
    for each in (*alone, setting):
        correct = right(cross_validated(material, [each], seed)[0])
        found[" + ".join(each.ridge)] = by_file(correct, material.sources)
    return found
