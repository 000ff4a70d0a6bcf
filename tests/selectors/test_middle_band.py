"""Rows out of the middle of every cluster, by hand."""

import numpy as np
import pytest

from curate.errors import UsageError
from curate.selectors import middle_band
from curate.selectors.kept_and_dropped import Candidates, Choice
from curate.selectors.middle_band import NOT_DRAWN, OUTSIDE, MiddleBandParams, select


def chosen(values, clusters, params):
    ids = np.array([f"{each:04d}" for each in range(len(values))], dtype=object)
    choice = Choice(np.full(len(values), "", dtype=object))
    return select(
        Candidates(choice, ids, values=np.array(values, dtype=float), clusters=np.array(clusters)),
        params,
    )


def test_the_band_is_the_middle_half_of_each_cluster():
    values = [*range(9), *range(100, 109)]
    found = chosen(values, [0] * 9 + [1] * 9, MiddleBandParams(5))
    inside = [False] * 2 + [True] * 5 + [False] * 2
    assert found.kept.tolist() == inside * 2
    assert set(found.reason[~found.kept]) == {OUTSIDE}


def test_rows_are_spread_over_the_band():
    found = chosen(range(41), [0] * 41, MiddleBandParams(3))
    # The band is ranks 10 to 30, 21 rows; the middle of each third of it.
    assert np.flatnonzero(found.kept).tolist() == [13, 20, 27]
    assert found.counts() == {OUTSIDE: 20, NOT_DRAWN: 18}


def test_a_small_cluster_is_taken_whole():
    found = chosen(range(13), [0] * 3 + [1] * 10, MiddleBandParams(3))
    assert found.kept[:3].all()
    assert found.kept[3:].sum() == 3


def test_a_cluster_of_one_row_has_no_ranks_to_speak_of():
    with np.errstate(all="raise"):
        assert chosen([5.0], [0], MiddleBandParams(3)).kept.all()


def test_a_band_of_too_few_is_filled_from_both_sides():
    found = chosen(range(12), [0] * 12, MiddleBandParams(10))
    assert np.flatnonzero(found.kept).tolist() == list(range(1, 11))


def test_many_equal_scores_leave_a_band():
    assert chosen([1.0] * 40, [0] * 40, MiddleBandParams(10)).kept.sum() == 10


@pytest.mark.parametrize("params", [{"per_cluster": -1}, {"low": 75, "high": 25}, {"high": 101}])
def test_what_is_refused(params):
    with pytest.raises(UsageError, match=r"middle_band .*allowed are"):
        middle_band.MiddleBandParams(**params)
