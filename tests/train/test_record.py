"""run.json: whole at any time, and a chain of sha256."""

import hashlib
import json
import os
from dataclasses import replace

import pytest

from curate.errors import DataError
from curate.system.model_folder import ADAPTER_WEIGHTS
from curate.system.run_record import read_run, write_run
from tests.train.plans import plan_in, stood
from train.run.run import begun_record, weights_of


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_is_written_is_read(tmp_path):
    made = stood(plan_in(tmp_path), loss={"first": 1.5, "last": 0.5, "eval": None}, steps=4)
    assert read_run(tmp_path / "saves" / "a") == made
    assert read_run(tmp_path) is None


def test_it_chains_data_manifest_config_and_weights(tmp_path):
    plan = plan_in(tmp_path)
    stood(plan)
    made = begun_record(plan)
    assert made.dataset["data_sha256"] == sha256(tmp_path / "data" / "rows.jsonl")
    assert made.dataset["manifest_sha256"] == sha256(tmp_path / "data" / "rows.manifest.json")
    assert made.config_sha256 == sha256(plan.config_file)
    (plan.output / ADAPTER_WEIGHTS).write_bytes(b"weights")
    found = weights_of(plan.output)
    assert found == {ADAPTER_WEIGHTS: hashlib.sha256(b"weights").hexdigest()}


def test_a_data_set_without_manifest_has_none_and_several_have_one_sha256(tmp_path):
    plan = plan_in(tmp_path)
    (tmp_path / "data" / "rows.manifest.json").unlink()
    one = begun_record(plan).dataset
    assert one["manifest_sha256"] is None
    two = begun_record(replace(plan, dataset=replace(plan.dataset, name="rows, rows"))).dataset
    assert two["data_sha256"] not in (None, one["data_sha256"])


def test_the_adapter_that_is_trained_on_and_the_reward_model_are_in_the_chain(tmp_path):
    earlier = tmp_path / "saves" / "sft"
    earlier.mkdir(parents=True)
    (earlier / ADAPTER_WEIGHTS).write_bytes(b"earlier")
    plan = plan_in(tmp_path, "ppo", adapter_name_or_path=str(earlier), reward_model=str(earlier))
    digest = hashlib.sha256(b"earlier").hexdigest()
    assert begun_record(plan).parents == {"adapter": digest, "reward_model": digest}


def test_a_full_disk_leaves_the_record_as_it_was(tmp_path, monkeypatch):
    before = stood(plan_in(tmp_path))

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    folder = tmp_path / "saves" / "a"
    with pytest.raises(OSError, match="No space"):
        write_run(folder, replace(before, state="failed"))
    assert read_run(folder) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "of format None"),
        (json.dumps({"format": 99}), "of format 99, and 1 is read"),
        (json.dumps({"format": 1, "name": "a"}), "is not whole"),
        (json.dumps({"format": 1, "state": "done", "model": 5}), r"is not whole \(model\)"),
        (json.dumps({"format": 1, "state": "done", "steps": "x"}), r"is not whole \(steps\)"),
    ],
)
def test_records_that_cannot_be_read_are_named(tmp_path, content, message):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(DataError, match=message) as raised:
        read_run(tmp_path)
    assert "run.json" in str(raised.value)


def test_a_bundled_model_is_recorded_by_its_name_beside_a_folder_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2").mkdir()
    plan = plan_in(tmp_path)
    assert begun_record(plan).model == "smollm2"
    own = replace(plan, model=replace(plan.model, name="./smollm2"))
    assert begun_record(own).model == str(tmp_path / "smollm2")
