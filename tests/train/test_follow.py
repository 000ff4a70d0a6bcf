"""How far a training is, and how that is shown."""

from pathlib import Path

from curate import console
from tests.train.plans import line, tell
from train.run.progress import Progress, clock

LOG = """[INFO] llamafactory.data.loader:144 >> Loading dataset rows.jsonl...
training example:
[INFO|modeling_utils.py:706] >> loading weights file model.safetensors
[INFO|trainer.py:1467] >> ***** Running training *****
[INFO|trainer.py:1476] >>   Total optimization steps = 1,200
"""


REPORT = """Key                                 | Status  |
------------------------------------+---------+-
model.layers.1.mlp.down_proj.weight | MISSING |
model.layers.{2, 3}.norm.weight     | MISSING |
[INFO|trainer.py:1467] >> ***** Running training *****
"""


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def follower(folder: Path, first: int = 0) -> tuple[Progress, Clock]:
    now = Clock()
    return Progress(folder, folder / "log", first, now), now


def begin(folder: Path) -> None:
    with (folder / "log").open("a") as stream:
        stream.write("***** Running training *****\n")


def words(there: Progress) -> str:
    there.look()
    return there.words()


def test_what_it_does_before_the_first_step(tmp_path):
    there, _ = follower(tmp_path)
    assert words(there) == "starting"
    phases = []
    for each in LOG.splitlines():
        with (tmp_path / "log").open("a") as stream:
            stream.write(f"{each}\n")
        phases.append(words(there))
    assert phases[:4] == ["reading the data", "tokenizing", "loading the model", "first step"]
    assert phases[4] == "step 0 of 1,200, first step"


def test_weights_that_are_made_up_are_told(tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(console, "say", said.append)
    there, _ = follower(tmp_path)
    (tmp_path / "log").write_text(REPORT)
    there.look()
    (note,) = (each for each in said if each.startswith("note"))
    assert "model.layers.1.mlp.down_proj.weight and 1 more: not in the model's files" in note


def test_time_left_and_tokens(tmp_path):
    there, now = follower(tmp_path)
    now.now += 50  # of reading and loading
    begin(tmp_path)
    there.look()
    now.now += 2
    tell(tmp_path, line(2, 10, loss=2.0, total_tokens=400))
    assert words(there) == "step 2 of 10, loss 2.0000, 200 tokens/s, 0:08 left"
    now.now += 6
    tell(tmp_path, line(4, 10, loss=1.0, total_tokens=800), line(4, 10, eval_loss=1.5))
    assert words(there) == "step 4 of 10, loss 1.0000, eval loss 1.5000, 100 tokens/s, 0:12 left"
    tell(tmp_path, line(5, 10, loss=0.5))
    assert "loss 0.5000, eval loss 1.5000" in words(there)
    with (tmp_path / "log").open("a") as stream:
        stream.write("Training completed\n")
    tell(tmp_path, line(10, 10, loss=0.25))
    assert words(there) == "step 10 of 10, saving, loss 0.2500, eval loss 1.5000, 100 tokens/s"


def test_a_resumed_run_counts_its_own_steps_and_tokens_alone(tmp_path):
    tell(tmp_path, line(4, 10, loss=9.0, total_tokens=4_000))
    there, now = follower(tmp_path, first=4)
    assert words(there) == "starting"
    begin(tmp_path)
    there.look()
    now.now += 5
    tell(tmp_path, line(5, 10, loss=1.0, total_tokens=5_000))
    assert words(there) == "step 5 of 10, loss 1.0000, 0:25 left"
    now.now += 5
    tell(tmp_path, line(6, 10, loss=1.0, total_tokens=6_000))
    assert words(there) == "step 6 of 10, loss 1.0000, 200 tokens/s, 0:20 left"


def test_half_a_line_waits_for_its_other_half(tmp_path):
    there, _ = follower(tmp_path)
    whole = line(1, 10, loss=2.0)
    (tmp_path / "trainer_log.jsonl").write_text(whole[:20])
    assert words(there) == "starting"
    (tmp_path / "trainer_log.jsonl").write_text(f"{whole}\n")
    assert words(there).startswith("step 1 of 10")


def test_clock():
    assert [clock(each) for each in (0, 59.6, 3_599, 3_600)] == ["0:00", "1:00", "59:59", "1:00:00"]


def test_lines_tell_every_phase_and_steps_now_and_then(tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(console, "say", said.append)
    there, now = follower(tmp_path)
    there.look()
    there.look()
    for step, seconds, loss in ((1, 0, 1.0), (2, 10, 1.0), (3, 10, 1.0), (3, 0, 1.0), (9, 0, 0.5)):
        now.now += seconds
        tell(tmp_path, line(step, 9, loss=loss))
        there.look()
    there.stop()
    heard = [each.strip().split(",")[0] for each in said]
    assert heard == ["starting", "step 1 of 9", "step 3 of 9", "step 9 of 9"]


def test_a_terminal_has_one_line_that_changes(tmp_path, monkeypatch):
    from io import StringIO

    from rich.console import Console

    terminal = Console(file=StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(console, "stderr", lambda: terminal)
    there, _ = follower(tmp_path)
    tell(tmp_path, line(3, 30, loss=1.5))
    there.look()
    there.stop()
    shown = terminal.file.getvalue()
    assert "step 3 of 30, loss 1.5000" in shown
