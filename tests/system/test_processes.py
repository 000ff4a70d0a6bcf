"""A function in processes: answers in order, errors where they belong, no process left."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial

import pytest

from curate.errors import OutputError
from curate.system.processes import Pool, cores


def _squares(least: int) -> Callable[[int], tuple[int, int, int]]:
    def square(number: int) -> tuple[int, int, int]:
        if number == 13:
            raise ValueError("thirteen")
        if number == 66:
            os.kill(os.getpid(), signal.SIGKILL)
        return number * number + least, os.getpid(), cores()

    return square


def test_answers_are_in_order_and_a_pool_goes_on():
    with Pool(partial(_squares, 1), 2) as pool:
        answers = list(pool.map(range(12)))
        assert [answer for answer, *_ in answers] == [n * n + 1 for n in range(12)]
        assert len({process for _, process, _ in answers} - {os.getpid()}) == 2
        assert {own for *_, own in answers} == {1}  # they start no others
        next(pool.map(range(9)))  # what nobody takes is not taken for another's
        with pytest.raises(ValueError, match="thirteen"):
            list(pool.map([1, 13, 2]))
        assert [answer for answer, *_ in pool.map([5, 6])] == [26, 37]
        with pytest.raises(OutputError, match="a process that computed for this one has ended"):
            list(pool.map([66]))


def test_one_process_is_this_one():
    with Pool(partial(_squares, 0), 1) as pool:
        assert [answer[:2] for answer in pool.map([2, 3])] == [(4, os.getpid()), (9, os.getpid())]
