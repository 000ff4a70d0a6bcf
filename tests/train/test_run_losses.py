"""What a run has told of its steps is one history, however often it was resumed."""

import pytest

from tests.train.plans import line, tell
from train.commands.finishing import table
from train.running import losses, plot


def steps(points):
    return [(each.step, each.loss) for each in points]


def test_a_resumed_run_tells_its_later_steps_anew():
    lines = [line(each, loss=float(each)) for each in (1, 2, 3)]
    lines += [line(each, loss=10.0 * each) for each in (2, 3, 4)]
    assert steps(losses.history(lines)) == [(1, 1.0), (2, 20.0), (3, 30.0), (4, 40.0)]


def test_a_resumed_run_that_has_not_come_as_far_again():
    lines = [line(each, loss=float(each)) for each in (1, 2, 3, 4)] + [line(2, loss=20.0)]
    assert steps(losses.history(lines)) == [(1, 1.0), (2, 20.0)]


def test_loss_and_evaluation_of_a_step_are_one_point():
    lines = [line(2, loss=1.0, lr=0.1), line(2, eval_loss=2.0), line(4), "", '{"current_steps":']
    (point,) = losses.history(lines)
    assert (point.loss, point.eval_loss, point.rate) == (1.0, 2.0, 0.1)


def test_the_time_of_long_runs():
    assert losses.parse(line(1)).elapsed == 1
    long = line(1).replace("0:00:01", "2 days, 3:04:05")
    assert losses.parse(long).elapsed == 2 * 86_400 + 3 * 3_600 + 4 * 60 + 5


@pytest.mark.parametrize("bad", ["null", "[]", "3", '{"current_steps": "x", "total_steps": 1}'])
def test_lines_of_another_kind_are_no_points(bad):
    assert losses.parse(bad) is None


def test_summary_and_thinning():
    points = losses.history([line(each, 100, loss=float(each)) for each in range(1, 101)])
    ends = {"first": 10.5, "last": 90.5, "eval_first": None, "eval": None}
    assert losses.summary(points) == ends  # means of 1 to 20 and of 81 to 100
    assert losses.summary(()) == dict.fromkeys(ends)
    few = losses.thinned(points)
    assert len(few) == losses.SHOWN
    assert (few[0].step, few[-1].step) == (1, 100)
    gaps = {b.step - a.step for a, b in zip(few, few[1:], strict=False)}
    assert gaps == {9}
    assert losses.thinned(points[:3]) == list(points[:3])


def test_the_table_has_the_columns_that_are_filled():
    points = losses.history([line(1, loss=0.5, reward=-0.25), line(2, loss=0.25, lr=1e-4)])
    header, lines = table(points)
    assert header == ["step", "loss", "reward", "learning rate"]
    assert lines == [[1, "0.5000", "-0.2500", ""], [2, "0.2500", "", "1.00e-04"]]


def test_a_picture_where_there_is_none(tmp_path):
    tell(tmp_path, line(1, loss=1.0), line(2, loss=0.5), line(2, eval_loss=0.7))
    plot.draw(tmp_path, losses.read(tmp_path))
    assert (tmp_path / plot.FILE).read_bytes().startswith(b"\x89PNG")
    (tmp_path / "none").mkdir()
    plot.draw(tmp_path / "none", losses.read(tmp_path / "none"))
    assert not (tmp_path / "none" / plot.FILE).exists()
