"""Which of a few thousand questions stands inside a text, whole or nearly so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.duplicates.ngrams import NGRAM, distinct, gram_hashes, ranges

# About 14 Chinese characters or 40 letters: what is shorter stands in many texts by chance.
LEAST_BYTES = 40
# What stands in more than one of ten questions is the form that all of them are put in.
TEMPLATE = 10
_FEW = 20
# A text has to share so many of a question's rarest n-grams before all of them are counted.
_HITS = 4


@dataclass(frozen=True)
class Questions:
    """What is looked for: `near` of the n-grams of one of the questions."""

    near: float
    grams: NDArray[np.uint64]  # n-grams of all questions, question after question
    starts: NDArray[np.int64]  # (questions + 1,) where each one's begin; none if it is too short
    rare: NDArray[np.uint64]  # sorted hashes of each question's rarest n-grams
    owner: NDArray[np.int64]  # for each of `rare` the question
    hits: NDArray[np.int64]  # (questions,) how many of them a text has to share

    @property
    def sought(self) -> int:
        return int((np.diff(self.starts) > 0).sum())


def questions(texts: Sequence[str], near: float) -> Questions:
    """Return questions, folded texts, made ready to be found.

    N-grams that more than one in ten of at least 20 questions have do not count: they are the
    form of the questions ("choose the right answer"). Nor are questions looked for of which too
    little is left, LEAST_BYTES of UTF-8.
    """
    grams, starts = distinct(*gram_hashes(texts))
    owner = np.repeat(np.arange(len(texts)), np.diff(starts))
    _, which, having = np.unique(grams, return_inverse=True, return_counts=True)
    frequency = having[which]
    counts = frequency <= (len(texts) / TEMPLATE if len(texts) >= _FEW else len(texts))
    width = np.array([len(text.encode("utf-8", "surrogatepass")) for text in texts], np.float64)
    width /= np.maximum(1, [len(text) for text in texts])
    left = np.bincount(owner[counts], minlength=len(texts))
    counts &= ((left + NGRAM - 1) * width >= LEAST_BYTES)[owner]
    grams, owner, frequency = grams[counts], owner[counts], frequency[counts]
    sizes = np.bincount(owner, minlength=len(texts))
    starts = np.concatenate(([0], np.cumsum(sizes)))
    needed = np.ceil(near * sizes - 1e-9).astype(np.int64)
    hits = np.minimum(_HITS, needed)
    # Who has `needed` of all has at least `hits` of any `size - needed + hits` of them.
    place = np.empty(len(grams), np.int64)
    place[np.lexsort((grams, frequency, owner))] = np.arange(len(grams))
    rare = place - starts[owner] < (sizes - needed + hits)[owner]
    order = np.argsort(grams[rare], kind="stable")
    of_rare: dict[str, Any] = {"rare": grams[rare][order], "owner": owner[rare][order]}
    return Questions(near=near, grams=grams, starts=starts, hits=hits, **of_rare)


def held(asked: Questions, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each text the first question of which it holds most, or -1, and the share."""
    which, share = np.full(len(texts), -1), np.zeros(len(texts))
    for text, question, inside in all_held(asked, texts):
        if inside > share[text]:
            which[text], share[text] = question, inside
    return which, share


def all_held(asked: Questions, texts: Sequence[str]) -> Iterator[tuple[int, int, float]]:
    """Yield every text with every question that it holds, in rising order, and the share of it.

    The share is |Q ∩ T| / |Q| over n-grams. Nothing is left to chance: a question of which at
    least `near` is there is always found.
    """
    grams, starts = distinct(*gram_hashes(texts))
    # The pairs of text and question that share enough rare n-grams, in rising order.
    low = np.searchsorted(asked.rare, grams, "left")
    common = np.searchsorted(asked.rare, grams, "right") - low
    text = np.repeat(np.repeat(np.arange(len(texts)), np.diff(starts)), common)
    pairs, shared = np.unique(
        text * len(asked.hits) + asked.owner[ranges(low, common)], return_counts=True
    )
    text, question = np.divmod(pairs, max(1, len(asked.hits)))
    enough = shared >= asked.hits[question]
    sizes = np.diff(asked.starts)
    for row, other in zip(text[enough].tolist(), question[enough].tolist(), strict=True):
        whole = asked.grams[asked.starts[other] : asked.starts[other + 1]]
        inside = np.isin(whole, grams[starts[row] : starts[row + 1]]).sum() / sizes[other]
        if inside >= asked.near - 1e-12:
            yield row, other, float(inside)
