"""How much an answer has in common with a reference: ROUGE and BLEU.

ROUGE: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004; the F1 of precision and
recall. Over pieces (see `deploy.compare.pieces`), without stemming. Deviation: ROUGE-L takes the
answer as one sequence and does not go sentence by sentence. BLEU: Papineni et al., 2002, by
sacrebleu and its tokenizer for Chinese, which leaves other scripts to the usual one (13a).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_ORDER = 4
# sizes of answer and reference, then n-grams in common and n-grams of the answer, n = 1 … 4
BLEU_COLUMNS = 2 + 2 * _ORDER


def _f1(common: int, answer: int, reference: int) -> float:
    return 2 * common / (answer + reference) if answer + reference else 0.0


def rouge_n(answer: Sequence[str], reference: Sequence[str], n: int) -> float:
    """Return the F1 of n-grams, 0 … 1; each counts as often as it stands in both.

    Args:
        answer: Pieces.
        reference: Pieces.
        n: Pieces of a gram.

    Example:
        >>> rouge_n("the cat sat".split(), "the cat ate".split(), 1)
        0.6666666666666666
    """
    ours, theirs = (
        Counter(zip(*(side[start:] for start in range(n)), strict=False))
        for side in (answer, reference)
    )
    return _f1((ours & theirs).total(), ours.total(), theirs.total())


def rouge_l(answer: Sequence[str], reference: Sequence[str]) -> float:
    """Return the F1 of the longest common subsequence, 0 … 1.

    Args:
        answer: Pieces.
        reference: Pieces.

    Example:
        >>> rouge_l(list("abcd"), list("axcd"))
        0.75
    """
    return _f1(common_subsequence(answer, reference), len(answer), len(reference))


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence.

    A row of the usual table is one whole number here, a bit a place (Hyyrö, "Bit-parallel LCS-
    length computation revisited", 2004): some hundred times quicker than the table.

    Args:
        first: Pieces.
        second: Pieces.
    """
    places: dict[str, int] = {}
    for place, piece in enumerate(first):
        places[piece] = places.get(piece, 0) | 1 << place
    every = (1 << len(first)) - 1
    row = every
    for piece in second:
        met = row & places.get(piece, 0)
        row = (row + met | row - met) & every
    return len(first) - row.bit_count()


def bleu_statistics(answer: str, reference: str) -> list[int]:
    """Return the numbers that BLEU over many answers is made of, BLEU_COLUMNS of them.

    Args:
        answer: Text.
        reference: Text.
    """
    from sacrebleu.metrics.bleu import BLEU

    # effective_order keeps sacrebleu from warning of what is not used here: the score of one.
    score = BLEU(tokenize="zh", effective_order=True).sentence_score(answer, [reference])
    return [score.sys_len, score.ref_len, *score.counts, *score.totals]


def bleu(sums: NDArray[np.float64]) -> float:
    """Return BLEU of a whole set of answers, 0 … 100, smoothed as sacrebleu does by default.

    Args:
        sums: (BLEU_COLUMNS,) sums of bleu_statistics() over the answers.
    """
    from sacrebleu.metrics.bleu import BLEU

    numbers = [int(each) for each in sums]
    common, all_ = numbers[2 : 2 + _ORDER], numbers[2 + _ORDER :]
    return float(BLEU.compute_bleu(common, all_, numbers[0], numbers[1], "exp").score)
