"""A kill leaves halves, and none of them is gone on from."""

import json
import shutil

import pytest

from tests.train.plans import checkpoint
from train.run.resume import checkpoints


def test_the_last_comes_first_and_is_whole(tmp_path):
    for step in (9, 10, 100):
        checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-x").mkdir()
    (tmp_path / "checkpoint-200").write_text("a file")
    entries = checkpoints(tmp_path)
    assert [(each.step, each.lacks) for each in entries] == [(100, ""), (10, ""), (9, "")]
    assert checkpoints(tmp_path / "nowhere") == []


@pytest.mark.parametrize("state", [None, "{", "[]", json.dumps({"global_step": 1})])
def test_a_state_that_is_missing_cut_off_or_of_another_step(tmp_path, state):
    """The trainer writes it last: without it anything else may be half."""
    path = checkpoint(tmp_path, 2) / "trainer_state.json"
    path.unlink() if state is None else path.write_text(state)
    assert checkpoints(tmp_path)[0].lacks == "trainer_state.json"


def test_an_empty_folder_is_no_checkpoint(tmp_path):
    (tmp_path / "checkpoint-3").mkdir()
    assert checkpoints(tmp_path)[0].lacks


def test_a_value_head_where_the_stage_has_one(tmp_path):
    checkpoint(tmp_path, 2)
    assert checkpoints(tmp_path)[0].lacks == ""
    assert checkpoints(tmp_path, value_head=True)[0].lacks == "value_head.safetensors"
    checkpoint(tmp_path, 4, value_head=True)
    assert checkpoints(tmp_path, value_head=True)[0].lacks == ""


def test_deepspeed_keeps_its_optimizer_in_a_folder(tmp_path):
    folder = checkpoint(tmp_path, 2)
    (folder / "optimizer.pt").unlink()
    (folder / "global_step2").mkdir()
    assert checkpoints(tmp_path)[0].lacks == ""
    shutil.rmtree(folder / "global_step2")
    assert checkpoints(tmp_path)[0].lacks == "optimizer.pt"


@pytest.mark.model
def test_the_state_is_what_transformers_writes_last():
    """What whole() rests on, in the transformers that is installed."""
    import inspect

    from transformers import Trainer

    source = inspect.getsource(Trainer._save_checkpoint)
    places = [source.index(f"self.{each}(") for each in ("save_model", "_save_rng_state")]
    places.append(source.index("self.state.save_to_json("))
    assert places == sorted(places)
    assert source.index("self._save_optimizer_and_scheduler(") < places[-1]
