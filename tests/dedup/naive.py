"""What dedup means, said as plainly as it can be: every row against every kept row."""

from __future__ import annotations

from fractions import Fraction

from curate.duplicates.folding import fold


def grams(text, n):
    return {text[at : at + n] for at in range(max(1, len(text) - n + 1))} if text else set()


def jaccard(one, other, n):
    a, b = grams(fold(one), n), grams(fold(other), n)
    return Fraction(len(a & b), len(a | b)) if a | b else Fraction(0)


def first_kept(texts, near, n):
    """Return for each text the first kept text that it is like, None for one that is kept."""
    sets = [grams(fold(text), n) for text in texts]
    kept, twins = [], []
    for at, mine in enumerate(sets):
        like = (o for o in kept if len(mine & sets[o]) >= near * len(mine | sets[o]))
        twins.append(next(like, None))
        if twins[-1] is None:
            kept.append(at)
    return twins
