"""Texts as sets of character n-grams: no words are needed, so Chinese works as English does."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# No character has this number: what pads the end of a text is never taken for text.
_PAD = 0x110000
_ODD = np.uint64(0x9E3779B97F4A7C15)
_SPLITMIX = ((30, np.uint64(0xBF58476D1CE4E5B9)), (27, np.uint64(0x94D049BB133111EB)))


def normalised(text: str) -> str:
    r"""Return a text as it is compared: NFKC, no case, every run of white space one space.

    Example:
        >>> normalised("ＡＢ  Ｃ，高血压\n")
        'ab c,高血压'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def jaccard(
    texts: Sequence[str], left: NDArray[np.int64], right: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    """Return |A ∩ B| / |A ∪ B| of the n-gram sets of pairs of texts, (pairs,); 0 for empty ones.

    Example:
        >>> jaccard(["abcd", "bcde"], np.array([0]), np.array([1]), 2).tolist()
        [0.5]
    """
    sets = [
        {text[at : at + n] for at in range(max(1, len(text) - n + 1))} if text else set()
        for text in texts
    ]
    similarities = np.zeros(len(left))
    for at, (one, other) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        common = len(sets[one] & sets[other])
        similarities[at] = common / max(1, len(sets[one]) + len(sets[other]) - common)
    return similarities


def gram_hashes(texts: Sequence[str], n: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return a hash of every n-gram of every text, and (texts + 1,) where each text's begin.

    Repeats within a text are there, too; a shorter text has one gram, itself, an empty one none.

    Example:
        >>> hashes, starts = gram_hashes(["abcabc", "ab", ""], 3)
        >>> starts.tolist(), len(set(hashes.tolist()))
        ([0, 4, 5, 5], 4)
    """
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    counts = np.where(lengths >= n, lengths - n + 1, np.minimum(lengths, 1))
    places = np.concatenate(([0], np.cumsum(lengths)[:-1])) + (n - 1) * np.arange(len(texts))
    padded = np.full(int(lengths.sum()) + (n - 1) * len(texts), _PAD, np.uint64)
    letters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    padded[ranges(places, lengths)] = letters
    windows = ranges(places, counts)
    hashes = np.zeros(len(windows), np.uint64)
    for offset in range(n):
        hashes = (hashes ^ padded[windows + offset]) * _ODD
        hashes ^= hashes >> np.uint64(32)
    for shift, factor in _SPLITMIX:  # every bit of a hash hangs on every bit of the n-gram
        hashes ^= hashes >> np.uint64(shift)
        hashes *= factor
    hashes ^= hashes >> np.uint64(31)
    return hashes, np.concatenate(([0], np.cumsum(counts)))


def ranges(begins: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return begin, begin + 1 … of every range, count numbers each, one after the other.

    Example:
        >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
        [5, 6, 0, 1, 2]
    """
    before = np.cumsum(counts) - counts
    return np.repeat(begins - before, counts) + np.arange(int(counts.sum()))


def distinct(
    hashes: NDArray[np.uint64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return every gram of a text once, in rising order, and where each text's begin."""
    owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    order = np.lexsort((hashes, owner))
    hashes, owner = hashes[order], owner[order]
    new = np.ones(len(hashes), bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (owner[1:] != owner[:-1])
    sizes = np.bincount(owner[new], minlength=len(starts) - 1)
    return hashes[new], np.concatenate(([0], np.cumsum(sizes)))
