"""What a run has told of its steps is one history, however often it was resumed."""

import pytest

from tests.train.plans import line
from train.commands import stages
from train.run import progress


def steps(points):
    return [(each["current_steps"], each["loss"]) for each in points]


def test_a_resumed_run_tells_its_later_steps_anew():
    lines = [line(each, loss=float(each)) for each in (1, 2, 3)]
    lines += [line(each, loss=10.0 * each) for each in (2, 3, 4)]
    assert steps(progress.history(lines)) == [(1, 1.0), (2, 20.0), (3, 30.0), (4, 40.0)]


def test_a_resumed_run_that_has_not_come_as_far_again():
    lines = [line(each, loss=float(each)) for each in (1, 2, 3, 4)] + [line(2, loss=20.0)]
    assert steps(progress.history(lines)) == [(1, 1.0), (2, 20.0)]


def test_loss_and_evaluation_of_a_step_are_one_point():
    lines = [line(2, loss=1.0, lr=0.1), line(2, eval_loss=2.0), line(4), "", '{"current_steps":']
    (point,) = progress.history(lines)
    assert (point["loss"], point["eval_loss"], point["lr"]) == (1.0, 2.0, 0.1)


@pytest.mark.parametrize("bad", ["null", "[]", "3", '{"current_steps": "x", "total_steps": 1}'])
def test_lines_of_another_kind_are_no_points(bad):
    assert progress.parse(bad) is None


def test_summary_and_thinning():
    points = progress.history([line(each, 100, loss=float(each)) for each in range(1, 101)])
    ends = {"first": 10.5, "last": 90.5, "eval_first": None, "eval": None}
    assert progress.summary(points) == ends  # means of 1 to 20 and of 81 to 100
    assert progress.summary(()) == dict.fromkeys(ends)
    few = [each[0] for each in stages._table(points)[1]]
    assert (len(few), few[0], few[-1]) == (12, 1, 100)
    assert {b - a for a, b in zip(few, few[1:], strict=False)} == {9}
    assert [each[0] for each in stages._table(points[:3])[1]] == [1, 2, 3]


def test_the_table_has_the_columns_that_are_filled():
    points = progress.history([line(1, loss=0.5, reward=-0.25), line(2, loss=0.25, lr=1e-4)])
    header, lines = stages._table(points)
    assert header == ["step", "loss", "reward", "learning rate"]
    assert lines == [[1, "0.5000", "-0.2500", ""], [2, "0.2500", "", "1.00e-04"]]
