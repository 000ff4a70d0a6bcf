"""Texts as sets of character n-grams: no words are needed, so Chinese works as English does."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# No character has this number: what pads the end of a text is never taken for text.
_PAD = 0x110000
_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def normalised(text: str) -> str:
    r"""Return a text as it is compared: NFKC, no case, every run of white space one space.

    Args:
        text: Any.

    Example:
        >>> normalised("ＡＢ  Ｃ，高血压\n")
        'ab c,高血压'
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def gram_hashes(texts: Sequence[str], n: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return a hash of every n-gram of every text, repeats within a text included.

    A text that is shorter than n characters has one gram, itself; an empty one has none.

    Args:
        texts: As normalised() gives them.
        n: Characters of a gram.

    Returns:
        Hashes of all texts one after the other, and (texts + 1,) where each text's begin.

    Example:
        >>> hashes, starts = gram_hashes(["abcabc", "ab", ""], 3)
        >>> starts.tolist(), len(set(hashes.tolist()))
        ([0, 4, 5, 5], 4)
    """
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    counts = np.where(lengths >= n, lengths - n + 1, np.minimum(lengths, 1))
    starts = np.concatenate(([0], np.cumsum(counts)))
    places = np.concatenate(([0], np.cumsum(lengths)[:-1])) + (n - 1) * np.arange(len(texts))
    padded = np.full(int(lengths.sum()) + (n - 1) * len(texts), _PAD, np.uint64)
    letters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    padded[ranges(places, lengths)] = letters
    windows = ranges(places, counts)
    hashes = np.zeros(len(windows), np.uint64)
    for offset in range(n):
        hashes = (hashes ^ padded[windows + offset]) * _ODD
        hashes ^= hashes >> np.uint64(32)
    return _mixed(hashes), starts


def ranges(begins: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return begin, begin + 1 … of every range, count numbers each, one after the other.

    Args:
        begins: (ranges,) first numbers.
        counts: (ranges,) how many.

    Example:
        >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
        [5, 6, 0, 1, 2]
    """
    before = np.cumsum(counts) - counts
    return np.repeat(begins - before, counts) + np.arange(int(counts.sum()))


def _mixed(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return hashes whose every bit hangs on every bit of what was hashed (splitmix64's end)."""
    hashes ^= hashes >> np.uint64(30)
    hashes *= _MIX[0]
    hashes ^= hashes >> np.uint64(27)
    hashes *= _MIX[1]
    hashes ^= hashes >> np.uint64(31)
    return hashes


def distinct(
    hashes: NDArray[np.uint64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the sets: every gram of a text once, in rising order, and where each set begins.

    Args:
        hashes: From gram_hashes().
        starts: From gram_hashes(), (texts + 1,).
    """
    texts = len(starts) - 1
    owner = np.repeat(np.arange(texts), np.diff(starts))
    order = np.lexsort((hashes, owner))
    hashes, owner = hashes[order], owner[order]
    new = np.ones(len(hashes), bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (owner[1:] != owner[:-1])
    sizes = np.bincount(owner[new], minlength=texts)
    return hashes[new], np.concatenate(([0], np.cumsum(sizes)))


def shared(
    grams: NDArray[np.uint64],
    starts: NDArray[np.int64],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return how many grams the two sets of each pair have in common, (pairs,).

    Args:
        grams: From distinct().
        starts: From distinct().
        left: (pairs,) numbers of sets.
        right: (pairs,) numbers of sets.
    """
    sizes = np.diff(starts)
    # A number for each gram, so that pair and gram fit one integer without a collision.
    _, numbers = np.unique(grams, return_inverse=True)
    pairs = np.arange(len(left))
    both = np.concatenate(
        [
            np.repeat(pairs, sizes[side]) * len(grams) + numbers[ranges(starts[side], sizes[side])]
            for side in (left, right)
        ]
    )
    both.sort()
    common = both[1:][both[1:] == both[:-1]] // max(1, len(grams))
    counts: NDArray[np.int64] = np.bincount(common, minlength=len(left))
    return counts


def jaccard(
    texts: Sequence[str], left: NDArray[np.int64], right: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    """Return |A ∩ B| / |A ∪ B| of the n-gram sets of pairs of texts, (pairs,); 0 for empty ones.

    Args:
        texts: As normalised() gives them.
        left: (pairs,) numbers of texts.
        right: (pairs,) numbers of texts.
        n: Characters of a gram.

    Example:
        >>> jaccard(["abcd", "bcde"], np.array([0]), np.array([1]), 2).tolist()
        [0.5]
    """
    grams, starts = distinct(*gram_hashes(texts, n))
    common = shared(grams, starts, left, right)
    sizes = np.diff(starts)
    return common / np.maximum(1, sizes[left] + sizes[right] - common)
