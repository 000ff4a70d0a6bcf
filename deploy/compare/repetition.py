"""Answers that go round in circles: what a model does that was trained too long or too little."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

GRAM = 4
_TIMES = 3
_SHORTEST = 12


def repeated_share(said: Sequence[str]) -> float:
    """Return the share of 4-grams that stand in the answer already, 0 … 1.

    Args:
        said: Pieces of an answer; with fewer than four nothing is repeated.

    Example:
        >>> repeated_share("a b c d a b c d".split())
        0.2
    """
    grams = Counter(zip(*(said[start:] for start in range(GRAM)), strict=False))
    return 1 - len(grams) / grams.total() if grams else 0.0


def loops(said: Sequence[str]) -> bool:
    """Tell whether an answer ends in a loop: its end is one stretch, three times and more.

    The loop has to be 12 pieces long: three marks or a short list are none.

    Args:
        said: Pieces of an answer.

    Example:
        >>> loops("well , " .split() + "do not worry , ".split() * 3)
        True
    """
    size = len(said)
    for stretch in range(1, size // _TIMES + 1):
        length = max(_TIMES * stretch, -(-_SHORTEST // stretch) * stretch)
        if length > size:
            continue
        end = said[size - length :]
        if end[stretch:] == end[:-stretch]:
            return True
    return False
