"""The longest responses, by hand."""

import numpy as np

from curate.selectors.kept_and_dropped import Candidates
from curate.selectors.longest import select
from curate.selectors.top_k import TopKParams
from tests.selectors.clouds import all_of


def test_most_tokens_first_equal_ones_by_their_ids_none_without_tokens():
    tokens, ids = np.array([3, 7, 0, 7, 1]), np.array(list("edcba"), dtype=object)
    given = Candidates(all_of(5), ids, tokens=tokens)
    kept = [np.flatnonzero(select(given, TopKParams(k)).kept).tolist() for k in (0, 1, 2, 9)]
    assert kept == [[], [3], [1, 3], [0, 1, 3, 4]]
    assert select(given, TopKParams(9)).reason.tolist() == ["", "", "below_cut", "", ""]
