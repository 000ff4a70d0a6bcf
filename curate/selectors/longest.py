"""The rows with the longest responses: a baseline that many methods do not beat.

Source: arXiv 2402.04833: the 1,000 longest of Alpaca's 52,002. They have 5 times the tokens a row,
so the fair comparison is one at equal tokens.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from curate.selectors import top_k
from curate.selectors.kept_and_dropped import Candidates, Choice
from curate.selectors.top_k import TopKParams

NAME = "longest"
NEEDS = ("tokens",)
PARAMS = TopKParams


def select(candidates: Candidates, params: TopKParams) -> Choice:
    """Return the choice of the k rows with most response tokens; equal ones by their ids.

    Example:
        >>> all_of = Choice(np.array(["", "", ""], dtype=object))
        >>> candidates = Candidates(all_of, np.array(["a", "b", "c"]), tokens=np.array([5, 9, 9]))
        >>> select(candidates, TopKParams(1)).kept
        array([False,  True, False])
    """
    lengths = np.where(candidates.tokens > 0, candidates.tokens, np.nan)
    return top_k.select(replace(candidates, values=lengths), params)
