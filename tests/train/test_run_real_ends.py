"""Real trainings that are killed, or told to stop, and gone on with."""

import json
import os
import signal

import pytest

from tests.train.training import arguments, emit, processes_in, start, train, wait_for
from train.run import progress

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place").resolve()
    emit(folder / "data")
    return folder


def test_killed_outright_and_resumed_it_ends_after_as_many_steps(place):
    command = arguments("sft", "instructions", "saves/killed", max_steps=6, save_steps=2)
    folder = place / "saves" / "killed"
    running = start(place, command)
    told = folder / "checkpoint-4" / "trainer_state.json"
    wait_for(running, told.is_file, 300)
    for each in processes_in(place):
        os.kill(each, signal.SIGKILL)
    running.communicate(timeout=60)
    before = {each["current_steps"]: each["loss"] for each in progress.read(folder)}
    assert set(before) >= {1, 2, 3}
    # As if the kill had come while the last checkpoint was being written.
    told.write_bytes(told.read_bytes()[:-100])
    ended = train(place, [*command, "--resume"])
    made = ended.answer
    assert (made["state"], made["steps"]) == ("done", 6)
    assert "checkpoint-4 is passed over: it was cut off (trainer_state.json)" in ended.err
    points = progress.read(folder)
    assert [each["current_steps"] for each in points] == [1, 2, 3, 4, 5, 6]
    again = {each["current_steps"]: each["loss"] for each in points}
    # What was done is still told, and step 3 came out as it had before.
    assert [again[each] for each in (1, 2)] == [before[each] for each in (1, 2)]
    assert again[3] == pytest.approx(before[3], rel=1e-3)
    finished = train(place, [*command, "--resume"])
    assert "is done already: 6 steps" in finished.err
    assert finished.answer == made
    changed = train(place, [*command, "--resume", "--set", "learning_rate=0.5"])
    assert changed.code == 2
    assert "learning_rate was 0.0002, is 0.5" in changed.err


def test_a_reward_model_that_is_told_to_stop_leaves_nothing_and_goes_on(place):
    command = arguments("rm", "pairs", "saves/judge", max_steps=4)
    folder = place / "saves" / "judge"
    running = start(place, command)
    wait_for(running, lambda: (folder / "checkpoint-2").is_dir(), 300)
    running.terminate()
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130
    assert processes_in(place) == []
    assert told.splitlines()[-1].startswith("stopped at step ")
    assert json.loads((folder / "run.json").read_text())["state"] == "stopped"
    before = {each["current_steps"]: each["loss"] for each in progress.read(folder)}
    made = train(place, [*command, "--resume"]).answer
    assert (made["state"], made["steps"]) == ("done", 4)
    assert set(made["weights"]) == {"adapter_model.safetensors", "value_head.safetensors"}
    points = progress.read(folder)
    assert [each["current_steps"] for each in points] == [1, 2, 3, 4]
    assert points[0]["loss"] == before[1]
