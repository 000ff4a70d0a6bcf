"""Where rows lie beside each other: two principal components of their vectors, and clusters."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.engine import open_engine
from curate.errors import CuratrainError
from curate.models.packaged_models import DEFAULT_ENCODER
from curate.models.recipe import ModelRecipe
from curate.recipes.model_scores import embedded
from curate.reports.chosen import Chosen, Floats, Mask, Places, Views
from curate.reports.contents import CONTROL
from curate.scorers.contract import OK
from curate.scorers.embedding import EmbeddingParams, embedded_before
from curate.selectors.kept_and_dropped import finite, unit
from curate.selectors.kmeans import KMeansParams, clusters, default_k

_MOST_CLUSTERS, _WORDS = 12, 4
# Shares of the points where not all rows are on the map; the rest is drawn from all rows.
_OF_KEPT, _OF_NEAR, _OF_CONTROL = 0.4, 0.1, 0.2
_HAN, _LATIN = re.compile("[\u3400-\u9fff]+"), re.compile("[a-z][a-z'-]{2,}")


@dataclass(frozen=True)
class RowMap:
    note: str  # how it was made
    lines: Places  # (m,) places of the rows among all, ascending
    spots: Floats  # (m, 2) from 0 to 1
    cluster: Places  # (m,) of each row, 0 the largest
    drawn: Mask  # (m,) whether a row is of those that stand for all


def row_map(chosen: Chosen, groups: Mapping[str, Mask], views: Views, points: int) -> RowMap | None:
    """Return where rows lie; None where too few of them are here.

    Vectors are those of the recipe's own encoder, where they lie in the cache; else the bundled
    encoder embeds the rows that are shown.
    """
    here = (chosen.place >= 0) & (chosen.status == OK)
    lines = drawn = np.flatnonzero(here)
    if len(lines) > points:
        generator = np.random.default_rng(0)

        def some(places: Places, share: float) -> Places:
            places, most = places[here[places]], int(share * points)
            return generator.choice(places, most, replace=False) if len(places) > most else places

        keys = ("near", "out_near_duplicate", "out_exact_duplicate")
        near = next((views[key][1] for key in keys if key in views), lines[:0])
        near = near[: int(_OF_NEAR * points)]
        control = groups.get(CONTROL, np.zeros(len(chosen), dtype=bool))
        shares = (
            (chosen.kept.nonzero()[0], _OF_KEPT),
            (near, _OF_NEAR),
            (control.nonzero()[0], _OF_CONTROL),
        )
        special = np.unique(np.concatenate([some(places, share) for places, share in shares]))
        drawn = generator.choice(lines, max(1, points - len(special)), replace=False)
        lines = np.union1d(special, drawn)
    of_all = "all rows that have a score"
    if len(lines) < int(here.sum()):
        of_all = "kept rows, nearest misses, the random control and random others"
    elif not chosen.all_here:
        of_all = "all whose texts are here"
    vectors, whose = _vectors(chosen, lines)
    known = finite(vectors)
    lines, vectors = lines[known], unit(vectors[known])
    if len(lines) < 3:
        return None
    spots, share = plane(vectors)
    size = min(_MOST_CLUSTERS, max(2, default_k(len(lines))))
    grouped = clusters(vectors, chosen.ids[lines], KMeansParams(k=size))
    note = (
        f"{len(lines):,} of {len(chosen):,} are here: {of_all}. The axes are the first two "
        f"principal components of {whose}; they hold {share:.0%} of the variance, so distances "
        "are a rough guide."
    )
    return RowMap(note, lines, spots, grouped.labels, np.isin(lines, drawn))


def plane(vectors: NDArray[np.float32]) -> tuple[Floats, float]:
    """Return the first two principal components (m, 2), each from 0 to 1, and their variance.

    Each axis points where its largest loading is positive, so that a map never lies mirrored.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    # Several threads add up in another order; vectors that are all equal have no variance to share.
    with threadpool_limits(1), np.errstate(invalid="ignore"):
        components = PCA(2, svd_solver="covariance_eigh")
        spots = components.fit_transform(vectors.astype(np.float64))
    spots -= spots.min(axis=0)
    spread = spots.max(axis=0)
    share = float(np.nan_to_num(components.explained_variance_ratio_.sum()))
    return np.round(spots / np.where(spread > 0, spread, 1), 4), share


def _vectors(chosen: Chosen, lines: Places) -> tuple[NDArray[np.float32], str]:
    """Return a vector for each line, NaN where there is none, and what they are."""
    encoder = str(chosen.manifest.get("model", {}).get("encoder", ""))
    whole = len(chosen.parts) == 1 and np.array_equal(chosen.place, np.arange(len(chosen.parts[0])))
    if encoder and whole:
        texts = ["instruction", "row"] if chosen.recipe in ("mods", "like") else ["row"]
        engine = open_engine()
        try:
            model = engine.load(ModelRecipe(kind="encoder", name=encoder))
        except CuratrainError:
            texts = []  # a folder of another machine, say
        for text in texts:
            params = EmbeddingParams(text)
            if (known := embedded_before(chosen.parts[0], params, model, engine)) is not None:
                return np.array(known.vectors[lines]), f"the vectors that {encoder} chose by"
    vectors, start = np.zeros((len(lines), 0), np.float32), 0
    for part in chosen.parts:
        inside = (chosen.place[lines] >= start) & (chosen.place[lines] < start + len(part))
        if inside.any():
            some = part.at(chosen.place[lines[inside]] - start)
            made, _ = embedded(some, DEFAULT_ENCODER, "row")
            if not vectors.shape[1]:
                vectors = np.full((len(lines), made.vectors.shape[1]), np.nan, np.float32)
            vectors[inside] = made.vectors
        start += len(part)
    return vectors, f"vectors of the bundled encoder, {DEFAULT_ENCODER}"


def words_of(texts: Sequence[Sequence[str]]) -> list[str]:
    """Return the words that tell each group of texts from the others: Chinese in pairs and more."""
    inside = [Counter(itertools.chain.from_iterable(map(_terms, group))) for group in texts]
    every: Counter[str] = sum(inside, Counter())
    total = sum(map(len, texts))
    named = []
    for group, counts in zip(texts, inside, strict=True):

        def telling(term: str, counts: Counter[str] = counts, size: int = len(group)) -> float:
            share = counts[term] / size
            length = 1.0 if term.isascii() else (len(term) - 1) ** 0.5
            return float(share * np.log(share * total / every[term]) * length)

        words: list[str] = []
        # Of equal ones the longer, then by letters: the same on every run.
        for term in sorted(counts, key=lambda t: (-telling(t), -len(t), t)):
            if len(words) == _WORDS or (words and counts[term] < 2):
                break
            if not any(_overlap(term, word) for word in words):
                words.append(term)
        named.append(" ".join(words))
    return named


def _terms(text: str) -> set[str]:
    head = text[:500].lower()
    terms = set(_LATIN.findall(head))
    for run in _HAN.findall(head):
        terms.update(run[at : at + n] for n in (2, 3, 4) for at in range(len(run) - n + 1))
    return terms


def _overlap(one: str, other: str) -> bool:
    if one.isascii() or other.isascii():
        return one == other
    return any(one[at : at + 2] in other for at in range(len(one) - 1))
