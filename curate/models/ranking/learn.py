"""From the features of many pairs to a head: standardise, choose the ridge, fit, take apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.models.ranking.fit import draw_of, fit_pairwise, right
from curate.models.ranking.head import GATES, Head, gates_of

FOLDS = 5
# Tried for each family, in cross-validation over prompts; wide families need more.
_NARROW, _WIDE = (30.0, 100.0, 300.0), (1000.0, 3000.0, 10000.0)
_WIDE_FROM = 200
# Weight of a pair: (pairs of the largest file / pairs of its own) to this power.
_BALANCE = (0.0, 0.5)
# A wide family is weighed alike under every gate, or it would learn its few pairs by heart.
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
    """

    prompts: Sequence[str]
    sources: NDArray[np.str_]
    better: Floats
    worse: Floats
    families: dict[str, int]

    def part(self, mask: NDArray[np.bool_]) -> Material:
        """Return some of the pairs.

        Args:
            mask: (pairs,).
        """
        prompts = [self.prompts[each] for each in np.flatnonzero(mask).tolist()]
        chosen = self.sources[mask], self.better[mask], self.worse[mask]
        return Material(prompts, *chosen, self.families)


@dataclass(frozen=True)
class Setting:
    """What is chosen by cross-validation.

    Attributes:
        ridge: Family to the strength of its ridge; a family that is left out has no weights.
        balance: Power by which pairs of small files weigh more.
    """

    ridge: dict[str, float]
    balance: float


def fit_head(material: Material, setting: Setting) -> Head:
    """Return the head that the pairs and a setting give.

    Args:
        material: At least one pair.
        setting: Ridge and balance.
    """
    both = np.concatenate([material.better, material.worse])
    scale = both.std(0)
    width = both.shape[1]
    constant = scale < _SMALLEST_SCALE
    head = Head(both.mean(0), np.where(constant, 1.0, scale), np.zeros((len(GATES), width)))
    difference = head.standard(material.better) - head.standard(material.worse)
    places, ridge = _columns(material.families, setting)
    gates = gates_of(material.prompts)
    columns = difference[:, places[1]] * gates[:, places[0]]
    weights = _weights(material.sources, setting.balance)
    head.weight[places[0], places[1]] = fit_pairwise(columns, ridge, weights)
    return head


def _columns(
    families: dict[str, int], setting: Setting
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], Floats]:
    """Return gate and feature of every weight that is learned, and its ridge."""
    gates: list[int] = []
    places: list[int] = []
    ridge: list[float] = []
    start = 0
    for name, width in families.items():
        if name in setting.ridge:
            for gate in range(1 if width >= _WIDE_FROM else len(GATES)):
                gates += [gate] * width
                places += range(start, start + width)
                ridge += [setting.ridge[name]] * width
        start += width
    return (np.array(gates, dtype=np.int64), np.array(places, dtype=np.int64)), np.array(ridge)


def _weights(sources: NDArray[np.str_], balance: float) -> Floats:
    names, inverse, counts = np.unique(sources, return_inverse=True, return_counts=True)
    weights: Floats = ((counts.max() / counts) ** balance)[inverse]
    return weights


def margins(head: Head, material: Material) -> Floats:
    """Return score of the better minus score of the worse, (pairs,).

    Args:
        head: The judge.
        material: Pairs.
    """
    gates = gates_of(material.prompts)
    return head.score(material.better, gates) - head.score(material.worse, gates)


def cross_validated(material: Material, setting: Setting, seed: int) -> Floats:
    """Return the margin of every pair by a head that was fitted without its prompt, (pairs,).

    Args:
        material: Pairs.
        setting: Ridge and balance.
        seed: Of the folds.
    """
    # Another draw than the one that holds pairs out, which all lie below one number.
    fold = (draw_of(material.prompts, seed + 1) * FOLDS).astype(int)
    found = np.zeros(len(fold))
    for each in range(FOLDS):
        inside, outside = fold == each, fold != each
        if inside.any() and outside.any():
            head = fit_head(material.part(outside), setting)
            found[inside] = margins(head, material.part(inside))
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
    grids = [_WIDE if material.families[name] >= _WIDE_FROM else _NARROW for name in used]
    several = len(np.unique(material.sources)) > 1
    best: tuple[float, Setting] | None = None
    for balance in _BALANCE if several else _BALANCE[:1]:
        for ridges in itertools.product(*grids):
            setting = Setting(dict(zip(used, ridges, strict=True)), balance)
            lost = np.logaddexp(0, -cross_validated(material, setting, seed))
            mean = float(np.mean(list(by_file(lost, material.sources).values())))
            if best is None or mean < best[0]:
                best = mean, setting
    if best is None:
        raise ValueError("no family to choose for")
    return best[1]


def ablation(material: Material, seed: int) -> dict[str, dict[str, float]]:
    """Return the cross-validated accuracy by file with each family alone, and with all.

    Args:
        material: Pairs, without those that are held out.
        seed: Of the folds.
    """
    sets = [[name] for name in material.families]
    if len(sets) > 1:
        sets.append(list(material.families))
    found = {}
    for names in sets:
        setting = choose(material, seed, names)
        correct = right(cross_validated(material, setting, seed))
        found[" + ".join(names)] = by_file(correct, material.sources)
    return found
