"""How far a training is, and how that is shown."""

from pathlib import Path

import pytest

from curate import console
from tests.train.plans import line, tell
from train.running.display import Bar, Lines, clock, told
from train.running.follow import Follower, Status

LOG = """[INFO] llamafactory.data.loader:144 >> Loading dataset rows.jsonl...
training example:
[INFO|modeling_utils.py:706] >> loading weights file model.safetensors
[INFO|trainer.py:1467] >> ***** Running training *****
[INFO|trainer.py:1476] >>   Total optimization steps = 1,200
"""


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def follower(folder: Path, first: int = 0) -> tuple[Follower, Clock]:
    now = Clock()
    return Follower(folder, folder / "log", first, now), now


def test_what_it_does_before_the_first_step(tmp_path):
    there, _ = follower(tmp_path)
    assert there.look() == Status("starting")
    phases = []
    for each in LOG.splitlines():
        with (tmp_path / "log").open("a") as stream:
            stream.write(f"{each}\n")
        phases.append(there.look().phase)
    wanted = ["reading the data", "tokenizing", "loading the model", "first step", "first step"]
    assert phases == wanted
    assert there.look().total == 1_200


def test_time_left_and_tokens(tmp_path):
    there, now = follower(tmp_path)
    tell(tmp_path, line(2, 10, loss=2.0, total_tokens=400))  # after 2 seconds, by its own clock
    status = there.look()
    assert (status.step, status.total, status.loss) == (2, 10, 2.0)
    assert status.tokens_per_second == 200
    assert status.seconds_left == pytest.approx(8.0)
    now.now += 6
    tell(tmp_path, line(4, 10, loss=1.0, total_tokens=800), line(4, 10, eval_loss=1.5))
    status = there.look()
    assert (status.loss, status.eval_loss) == (1.0, 1.5)
    assert status.tokens_per_second == 100
    assert status.seconds_left == pytest.approx(12.0)
    tell(tmp_path, line(5, 10, loss=0.5))
    assert (there.look().loss, there.look().eval_loss) == (0.5, 1.5)


def test_a_resumed_run_counts_its_own_steps_and_tokens_alone(tmp_path):
    tell(tmp_path, line(4, 10, loss=9.0, total_tokens=4_000))
    there, now = follower(tmp_path, first=4)
    assert there.look() == Status(step=4)
    # Five seconds after it began anew: LLaMA-Factory counts from zero, and tokens from the start.
    tell(tmp_path, line(5, 10, loss=1.0, total_tokens=5_000))
    assert there.look().seconds_left == pytest.approx(25.0)
    assert there.look().tokens_per_second is None
    now.now += 5
    tell(tmp_path, line(6, 10, loss=1.0, total_tokens=6_000))
    assert there.look().tokens_per_second == 200
    assert there.look().seconds_left == pytest.approx(20.0)


def test_half_a_line_waits_for_its_other_half(tmp_path):
    there, _ = follower(tmp_path)
    whole = line(1, 10, loss=2.0)
    (tmp_path / "trainer_log.jsonl").write_text(whole[:20])
    assert there.look().step == 0
    (tmp_path / "trainer_log.jsonl").write_text(f"{whole}\n")
    assert there.look().step == 1


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (Status("tokenizing"), "tokenizing"),
        (Status("first step", 0, 30), "step 0 of 30, first step"),
        (
            Status("training", 3, 1_000, 1.5, 2.25, 1312.4, 4_000.0),
            "step 3 of 1,000, loss 1.5000, eval loss 2.2500, 1,312 tokens/s, 1:06:40 left",
        ),
        (Status("saving", 30, 30, 1.5, None, None, 0.0), "step 30 of 30, saving, loss 1.5000"),
    ],
)
def test_a_line_says_it_all(status, line):
    assert told(status) == line


def test_clock():
    assert [clock(each) for each in (0, 59.6, 3_599, 3_600)] == ["0:00", "1:00", "59:59", "1:00:00"]


def test_lines_tell_every_phase_and_steps_now_and_then(capsys, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(console, "say", said.append)
    now = Clock()
    lines = Lines(every=15, now=now)
    lines.show(Status("starting"))
    lines.show(Status("starting"))
    lines.show(Status("training", 1, 9, 1.0))
    now.now += 10
    lines.show(Status("training", 2, 9, 1.0))
    now.now += 10
    lines.show(Status("training", 3, 9, 1.0))
    lines.show(Status("training", 3, 9, 1.0))
    lines.show(Status("training", 9, 9, 0.5))
    heard = [each.strip().split(",")[0] for each in said]
    assert heard == ["starting", "step 1 of 9", "step 3 of 9", "step 9 of 9"]


def test_the_bar_shows_the_same(capsys):
    bar = Bar()
    bar.show(Status("training", 3, 30, 1.5, None, 312.0, 80.0))
    bar.stop()
    shown = capsys.readouterr().err
    assert "step 3 of 30" in shown
    assert "loss 1.5000  312 tokens/s  1:20 left" in shown
