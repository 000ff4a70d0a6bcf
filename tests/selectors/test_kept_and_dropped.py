import numpy as np
import pytest

from curate.errors import UsageError
from curate.selectors import threshold, top_k
from curate.selectors.kept_and_dropped import Candidates, Choice, scored


def choice_of(*reasons):
    return Choice(np.array(reasons, dtype=object))


IDS = np.array(["c", "a", "b", "d"], dtype=object)
NAN = float("nan")


def test_a_status_is_the_reason_of_a_row_without_score():
    found = scored(np.array(["ok", "truncated", "ok", "too_short"], dtype=object))
    assert found.reason.tolist() == ["", "truncated", "", "too_short"]
    assert found.kept.tolist() == [True, False, True, False]


def test_the_first_reason_stays():
    found = choice_of("", "first", "").without(np.array([True, True, False]), "second")
    assert found.reason.tolist() == ["second", "first", ""]


def test_counts_are_most_frequent_first_then_by_name():
    assert list(choice_of("b", "a", "", "c", "c").counts().items()) == [
        ("c", 2),
        ("a", 1),
        ("b", 1),
    ]
    assert choice_of("", "").counts() == {}
    assert choice_of().counts() == {}


@pytest.mark.parametrize(
    ("keep", "reasons"), [("below", ["", "r", "r", "r"]), ("from", ["r", "", "", "r"])]
)
def test_threshold_puts_the_bound_itself_above_and_nan_nowhere(keep, reasons):
    values = np.array([0.9, 1.0, 1.1, NAN])
    params = threshold.ThresholdParams(1.0, keep, "r")
    found = threshold.select(Candidates(choice_of("", "", "", ""), IDS, values=values), params)
    assert found.reason.tolist() == reasons


def test_a_side_that_is_none_is_refused():
    with pytest.raises(UsageError, match="'above': allowed are 'below' and 'from'"):
        threshold.select(
            Candidates(choice_of(""), IDS[:1], values=np.ones(1)),
            threshold.ThresholdParams(1.0, "above"),
        )


@pytest.mark.parametrize(
    ("k", "kept"),
    [
        (0, [False, False, False, False]),
        (1, [False, True, False, False]),
        (2, [False, True, True, False]),  # a and b before c, which has the same score
        (3, [True, True, True, False]),
        (9, [True, True, True, False]),
    ],
)
def test_top_k_takes_the_highest_and_equal_ones_by_id(k, kept):
    values = np.array([2.0, 2.0, 2.0, NAN])
    found = top_k.select(
        Candidates(choice_of("", "", "", ""), IDS, values=values), top_k.TopKParams(k)
    )
    assert found.kept.tolist() == kept
    assert set(found.reason[~found.kept]) == {"below_cut"}


def test_top_k_fills_no_place_with_rows_that_were_dropped():
    values = np.array([9.0, 1.0, 8.0, 2.0])
    found = top_k.select(
        Candidates(choice_of("bad", "", "bad", ""), IDS, values=values), top_k.TopKParams(1)
    )
    assert found.reason.tolist() == ["bad", "below_cut", "bad", ""]


def test_fewer_than_none_is_refused_and_never_all_but_one():
    with pytest.raises(UsageError, match="k=-1: allowed are 0 and more"):
        top_k.select(
            Candidates(choice_of("", ""), IDS[:2], values=np.ones(2)), top_k.TopKParams(-1)
        )
