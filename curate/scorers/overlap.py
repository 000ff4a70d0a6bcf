"""How much of a reference an answer has: pieces in common, ROUGE-L, BLEU, chrF.

Pieces are alike for Chinese and for languages with spaces: a Chinese character, a word of another
script, a mark. Characters are what Chinese is commonly counted in for ROUGE and BLEU; words would
hang on a dictionary that knows no medical terms.

ROUGE: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004; the F1 of precision and
recall, over pieces, without stemming. Deviation: ROUGE-L takes the answer as one sequence and does
not go sentence by sentence. BLEU: Papineni et al., 2002, by sacrebleu and its tokenizer for
Chinese, which leaves other scripts to the usual one (13a). chrF: Popović, 2015, by sacrebleu.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEASURES = {"chrf": "chrF", "bleu": "BLEU", "rouge": "ROUGE-L"}
# Inside a class of a regular expression: Chinese characters, and kana, which go with them.
HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3040-\u30ff\U00020000-\U0003ffff"
_PIECE = re.compile(rf"[{HAN}]|[^\W_{HAN}]+|[^\s]")


def words(text: str) -> list[str]:
    """Return the pieces that are no marks, in lower case: for English, ROUGE-1.5.5's tokens."""
    return [piece for piece in _PIECE.findall(text.lower()) if piece[0].isalnum()]


def rouge_l(answer: Sequence[str], reference: Sequence[str]) -> float:
    """Return the F1 of the longest common subsequence, 0 … 1."""
    return 2 * common_subsequence(answer, reference) / ((len(answer) + len(reference)) or 1)


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    # A row of the usual table is one whole number, a bit a place (Hyyrö, "Bit-parallel LCS-length
    # computation revisited", 2004): some hundred times quicker.
    places: dict[str, int] = {}
    for place, piece in enumerate(first):
        places[piece] = places.get(piece, 0) | 1 << place
    all_bits = row = (1 << len(first)) - 1
    for piece in second:
        matches = row & places.get(piece, 0)
        row = (row + matches | row - matches) & all_bits
    return len(first) - row.bit_count()


def bleu_statistics(answer: str, reference: str) -> list[int]:
    """Return sizes of both and n-grams in common and of the answer: they add up over answers."""
    from sacrebleu.metrics.bleu import BLEU

    # effective_order keeps sacrebleu from warning of what is not used here: the score of one.
    score = BLEU(tokenize="zh", effective_order=True).sentence_score(answer, [reference])
    return [score.sys_len, score.ref_len, *score.counts, *score.totals]


def bleu(sums: NDArray[np.float64]) -> float:
    """Return BLEU of a whole set of answers, 0 … 100, smoothed as sacrebleu does by default."""
    from sacrebleu.metrics.bleu import BLEU

    size, reference_size, *grams = sums.astype(int).tolist()
    return float(BLEU.compute_bleu(grams[:4], grams[4:], size, reference_size, "exp").score)


def overlap(
    measure: str, answers: Sequence[str], references: Sequence[str]
) -> tuple[list[float], float]:
    """Return what each answer has of its reference, 0 … 100, and all of them as one set.

    `measure` is one of MEASURES; ROUGE-L of a set is the mean.

    Example:
        >>> overlap("rouge", ["rest and drink"], ["rest, drink"])
        ([80.0], 80.0)
    """
    import numpy as np
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    pairs = list(zip(answers, references, strict=True))
    if measure == "rouge":
        rows = [100 * rouge_l(words(answer), words(reference)) for answer, reference in pairs]
        return rows, float(np.mean(rows)) if rows else float("nan")
    if measure == "bleu":
        scorer = BLEU(tokenize="zh", effective_order=True)
        rows = [scorer.sentence_score(answer, [reference]).score for answer, reference in pairs]
        sums = np.array([bleu_statistics(*pair) for pair in pairs], dtype=float).sum(axis=0)
        return rows, bleu(sums) if pairs else float("nan")
    chrf = CHRF()
    rows = [chrf.sentence_score(answer, [reference]).score for answer, reference in pairs]
    whole = chrf.corpus_score(list(answers), [list(references)]).score if pairs else float("nan")
    return rows, whole
