import numpy as np
import pytest

from curate.errors import UsageError
from curate.selectors.kept_and_dropped import Candidates
from curate.selectors.random import RandomParams, select
from tests.selectors.clouds import all_of, ids_of


def test_as_many_as_asked_for_and_another_seed_draws_others():
    values, ids = np.ones(100), ids_of(100)
    drawn = [
        select(Candidates(all_of(100), ids, values=values), RandomParams(30, seed)).kept
        for seed in (0, 0, 1)
    ]
    assert [int(each.sum()) for each in drawn] == [30, 30, 30]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] != drawn[2]).any()


def test_every_row_is_as_likely():
    values, ids = np.ones(10), ids_of(10)
    times = sum(
        select(Candidates(all_of(10), ids, values=values), RandomParams(3, seed)).kept
        for seed in range(2000)
    )
    assert times.sum() == 6000
    assert abs(times - 600).max() < 100  # five standard deviations


def test_a_row_without_score_is_not_drawn():
    values = np.array([1.0, np.nan, 1.0])
    found = select(Candidates(all_of(3), ids_of(3), values=values), RandomParams(3))
    assert found.reason.tolist() == ["", "not_drawn", ""]


def test_fewer_than_none():
    with pytest.raises(UsageError, match="random k=-1: allowed are 0 and more"):
        select(Candidates(all_of(1), ids_of(1), values=np.ones(1)), RandomParams(-1))
