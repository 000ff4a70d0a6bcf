"""A kill leaves halves, and none of them is gone on from."""

import json
import shutil

import pytest

from tests.train.plans import checkpoint
from train.running import checkpoints


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def test_the_last_comes_first_and_is_whole(tmp_path):
    for step in (9, 10, 100):
        checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-x").mkdir()
    (tmp_path / "checkpoint-200").write_text("a file")
    found = checkpoints.found(tmp_path)
    assert [(each.step, each.lacks) for each in found] == [(100, ""), (10, ""), (9, "")]
    assert checkpoints.found(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    "name", ["adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"]
)
def test_a_file_that_was_cut_off(tmp_path, name):
    cut(checkpoint(tmp_path, 2) / name)
    assert checkpoints.found(tmp_path)[0].lacks == name


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("trainer_state.json", "trainer_state.json"),
        ("adapter_model.safetensors", "weights"),
        ("optimizer.pt", "optimizer.pt"),
        ("scheduler.pt", "scheduler.pt"),
    ],
)
def test_a_file_that_is_missing(tmp_path, name, lacks):
    (checkpoint(tmp_path, 2) / name).unlink()
    assert checkpoints.found(tmp_path)[0].lacks == lacks


@pytest.mark.parametrize("state", ["{", "[]", json.dumps({"global_step": 1})])
def test_a_state_that_is_not_of_this_step(tmp_path, state):
    (checkpoint(tmp_path, 2) / "trainer_state.json").write_text(state)
    assert checkpoints.found(tmp_path)[0].lacks == "trainer_state.json"


def test_an_empty_folder_is_no_checkpoint(tmp_path):
    (tmp_path / "checkpoint-3").mkdir()
    assert checkpoints.found(tmp_path)[0].lacks


def test_a_shard_that_is_missing(tmp_path):
    folder = checkpoint(tmp_path, 2)
    index = {"weight_map": {"x": "adapter_model.safetensors", "y": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert checkpoints.found(tmp_path)[0].lacks == "weights"


def test_a_value_head_where_the_stage_has_one(tmp_path):
    checkpoint(tmp_path, 2)
    assert checkpoints.found(tmp_path)[0].lacks == ""
    assert checkpoints.found(tmp_path, value_head=True)[0].lacks == "value_head.safetensors"
    checkpoint(tmp_path, 4, value_head=True)
    assert checkpoints.found(tmp_path, value_head=True)[0].lacks == ""
    (tmp_path / "checkpoint-4" / "adapter_model.safetensors").unlink()
    assert checkpoints.found(tmp_path, value_head=True)[0].lacks == "weights"


def test_deepspeed_keeps_its_optimizer_in_a_folder(tmp_path):
    folder = checkpoint(tmp_path, 2)
    (folder / "optimizer.pt").unlink()
    (folder / "global_step2").mkdir()
    assert checkpoints.found(tmp_path)[0].lacks == ""
    shutil.rmtree(folder / "global_step2")
    assert checkpoints.found(tmp_path)[0].lacks == "optimizer.pt"
