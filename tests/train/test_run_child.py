"""The child process: what it leaves when it ends, fails, is killed, or is told to stop."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from filelock import FileLock

from curate.errors import OutputError
from curate.system.run_record import read_run, runs_below
from tests.train import fake_llamafactory
from tests.train.plans import checkpoint, plan_in
from train.commands import stages
from train.run import progress, run

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def _fake(monkeypatch, tmp_path):
    fake_llamafactory.instead(monkeypatch, tmp_path)
    monkeypatch.setattr(run, "_LOOK_EVERY", 0.05)


def trained(plan, resume=False):
    notes: list[str] = []
    return run.run(plan, resume, notes.append), notes


def test_a_run_that_is_done(tmp_path):
    plan = plan_in(tmp_path)
    made, notes = trained(plan)
    assert made == read_run(plan.output)
    assert (made.state, made.steps, made.loss["first"], made.loss["last"]) == ("done", 6, 6.0, 1.0)
    assert made.adapter is not None
    assert made.adapter["sha256"] == made.weights["adapter_model.safetensors"]
    assert made.versions["torch"]
    assert notes == []
    again, notes = trained(plan, resume=True)
    assert again == made
    assert notes == [f"{plan.output} is done already: 6 steps"]


def test_a_failure_says_why_and_where_the_log_is(tmp_path):
    plan = plan_in(tmp_path, fake="raise")
    with pytest.raises(run.TrainingFailed) as raised:
        trained(plan)
    log = plan.output / "train.log"
    line = f"ValueError: learning_rate should be a number (the whole log: {log})"
    assert str(raised.value) == line
    assert raised.value.exit_code == 2
    made = read_run(plan.output)
    assert made is not None
    assert (made.state, made.steps, made.loss["last"]) == ("failed", 3, 4.0)
    assert made.error == "ValueError: learning_rate should be a number"
    assert "Traceback" in log.read_text()


def test_out_of_memory(tmp_path):
    with pytest.raises(run.TrainingFailed, match=r"^killed by signal 9.*batch_size=1"):
        trained(plan_in(tmp_path, fake="kill"))


def test_an_end_without_weights_is_a_failure(tmp_path):
    plan = plan_in(tmp_path, fake="nothing")
    with pytest.raises(run.TrainingFailed, match="without weights"):
        trained(plan)
    made = read_run(plan.output)
    assert made is not None
    assert made.state == "failed"


def test_a_failed_run_goes_on_and_keeps_what_it_told(tmp_path):
    plan = plan_in(tmp_path, fake="raise")
    with pytest.raises(run.TrainingFailed):
        trained(plan)
    checkpoint(plan.output, 2)
    before = read_run(plan.output)
    made, _ = trained(plan, resume=True)
    assert (made.state, made.steps, made.error) == ("done", 6, None)
    assert before is not None
    assert made.seconds > before.seconds
    told = [(each["current_steps"], each["loss"]) for each in progress.read(plan.output)]
    assert told == [(step, 7.0 - step) for step in range(1, 7)]
    # The config that was begun with is still the one that the record names.
    assert made.config_sha256 == before.config_sha256


def test_an_old_failure_is_not_told_again(tmp_path):
    plan = plan_in(tmp_path, fake="raise")
    with pytest.raises(run.TrainingFailed):
        trained(plan)
    log = plan.output / "train.log"
    assert run.end_of(log, log.stat().st_size) == ""


def test_two_runs_never_share_a_folder(tmp_path):
    plan = plan_in(tmp_path)
    plan.output.mkdir(parents=True)
    with FileLock(plan.output / ".lock"), pytest.raises(OutputError, match="right now"):
        trained(plan)


# Signals: a process of its own, as a shell starts it

DRIVER = """
import signal
import sys
from pathlib import Path
from curate import console
from tests.train import fake_llamafactory
from tests.train.plans import plan_in
from train import setup
from train.run import run
folder = Path(sys.argv[1])
backend = fake_llamafactory.at(folder)
setup.backend_of = lambda stage: backend
run._DEADLINE = 0.5
if "nohup" in sys.argv:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
more = {"stubborn": True} if "stubborn" in sys.argv else {}
console.run(lambda: run.run(plan_in(folder, fake="hang", **more)))
"""


def started(folder, *arguments) -> tuple[subprocess.Popen, list[int]]:
    """Start a training that hangs; return it and the processes of its child's group."""
    code = textwrap.dedent(DRIVER)
    running = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = folder / "saves" / "a" / "pids"
    until = time.monotonic() + 60
    while not (pids.is_file() and len(pids.read_text().split()) == 2):
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)
    return running, [int(each) for each in pids.read_text().split()]


def gone(pid) -> bool:
    try:
        told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return told[0] in "ZX"


def wait_until_gone(pids) -> None:
    until = time.monotonic() + 30
    while not all(gone(each) for each in pids):
        assert time.monotonic() < until, "processes are left"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("how", ["", "stubborn"])
def test_a_signal_ends_all_of_it_and_is_recorded(tmp_path, number, how):
    running, pids = started(tmp_path, how)
    (during,) = runs_below(tmp_path / "saves")
    assert stages._entry(during)["state"] == "running"
    os.kill(running.pid, number)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130
    assert all(gone(each) for each in pids)
    last = told.splitlines()[-1]
    assert last.startswith("stopped at step 3; the same command with --resume goes on from the beg")
    assert "Traceback" not in told
    made = read_run(tmp_path / "saves" / "a")
    assert made is not None
    assert (made.state, made.steps) == ("stopped", 3)


def test_nohup_keeps_its_promise(tmp_path):
    running, pids = started(tmp_path, "nohup")
    status = Path(f"/proc/{running.pid}/status").read_text()
    ignored = int(next(each for each in status.splitlines() if "SigIgn" in each).split()[1], 16)
    assert ignored & 1 << signal.SIGHUP - 1
    running.terminate()
    running.communicate(timeout=60)
    assert all(gone(each) for each in pids)


def test_killed_outright_it_leaves_nothing_behind_either(tmp_path):
    running, pids = started(tmp_path)
    running.kill()
    running.communicate()
    wait_until_gone(pids[:1])
    (run_,) = runs_below(tmp_path / "saves")
    assert stages._entry(run_)["state"] == "stopped"
    made = json.loads((tmp_path / "saves" / "a" / "run.json").read_text())
    assert made["state"] == "running"
    for each in pids[1:]:  # its own children are LLaMA-Factory's to end
        os.kill(each, signal.SIGKILL)
