"""`train ls`: every run, the newest first, and what is wrong with those that have ended badly."""

import json
import os
import time
from dataclasses import replace

import pytest

from curate.system.run_record import write_run
from tests.calling import Caller
from tests.train.plans import plan_in, stood
from train.cli import app
from train.config.model import newest_run


@pytest.fixture
def call(capsys):
    return Caller(capsys, app, "train")


@pytest.fixture
def saves(tmp_path):
    """Four runs: one in a folder of folders, one failed, one killed, one unreadable."""
    made = stood(plan_in(tmp_path))
    folder = tmp_path / "saves"
    done = {"first": 2.0, "last": 1.0, "eval": None}
    for place, changes, age in (
        ("a", {"state": "running", "steps": 3}, 30),
        ("deep/b", {"state": "done", "steps": 1200, "loss": done}, 7_300),
        ("c", {"state": "failed", "error": "ValueError: no"}, 180_000),
        ("e", {"state": "failed", "error": "KeyError: e"}, 10_000),
    ):
        (folder / place).mkdir(parents=True, exist_ok=True)
        write_run(folder / place, replace(made, name=place, **changes))
        then = time.time() - age
        os.utime(folder / place / "run.json", (then, then))
    (folder / "d").mkdir()
    (folder / "d" / "run.json").write_text("{")
    os.utime(folder / "d" / "run.json", (1, 1))
    (folder / "a" / "checkpoint-1").mkdir()
    (folder / "empty").mkdir()
    return folder


def test_the_table(saves, call):
    answer = call("ls", "--saves", saves)
    assert answer.code == 0
    lines = [each.split() for each in answer.out.splitlines() if each.strip()][2:]
    assert [each[0] for each in lines] == ["a", "deep/b", "e", "c", "d"]
    # Nobody trains into the first: whoever did was killed.
    assert (lines[0][-3], lines[0][-1]) == ("stopped", "s")
    want = ["deep/b", "sft", "smollm2", "rows", "1,200", "2.000", "to", "1.000", "done", "2", "h"]
    assert lines[1] == want
    assert lines[3][-3:] == ["failed", "2", "d"]
    assert lines[4][1:3] == ["0", "unreadable"]
    assert f"{saves / 'e'}: KeyError: e" in answer.err
    # What failed long ago is not told each time.
    assert "ValueError: no" not in answer.err
    assert "1 failed more than a day ago" in answer.err
    assert f"{saves / 'd' / 'run.json'} cannot be read" in answer.err


def test_json(saves, call):
    runs = json.loads(call("ls", "--saves", saves, "--json").out.splitlines()[-1])["runs"]
    assert [each["state"] for each in runs] == ["stopped", "done", "failed", "failed", "unreadable"]
    assert runs[1]["steps"] == 1200
    assert runs[1]["folder"] == str(saves / "deep" / "b")


def test_a_run_itself_and_no_runs_at_all(saves, call, tmp_path):
    assert call("ls", "--saves", saves / "a").out.count("smollm2") == 1
    (tmp_path / "empty").mkdir()
    answer = call("ls", "--saves", tmp_path / "empty")
    assert (answer.code, answer.out) == (0, "")
    assert "no run of training is in" in answer.err
    assert call("ls", "--saves", tmp_path / "nowhere").code == 2


def test_names_stay_whole_in_a_pipe_and_killed_runs_tell_their_steps(saves, call):
    name = "bloomz-7b1/lora/a_name_as_long_as_those_of_the_tutorial_are_train_2024-06-05-11-42-15"
    (saves / name).parent.mkdir(parents=True)
    (saves / "a").rename(saves / name)
    bar = "\r".join(f" 5%|x | {step}/40 [00:01<00:09, 1.0s/it]" for step in (1, 12))
    (saves / name / "train.log").write_text(f"  Total optimization steps = 40\n{bar}")
    line = next(each for each in call("ls", "--saves", saves).out.splitlines() if name in each)
    assert line.split()[4] == "12"


def test_a_run_is_found_again_below_and_beside_a_broken_one(saves):
    found = newest_run(saves, lambda run: run.state == "done")
    assert found == saves / "deep" / "b"
