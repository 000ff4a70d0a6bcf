"""What may be gone on with, and what is another run."""

import json
from dataclasses import replace

import pytest

from curate.errors import DataError, UsageError
from curate.system.model_folder import ADAPTER_WEIGHTS
from curate.system.run_record import write_run
from tests.train.plans import checkpoint, plan_in, stood, tell
from train.run import resume
from train.run.resume import Start, decide, run_before
from train.run.run import begun_record


def decided(plan) -> Start:
    return decide(plan, run_before(plan, begun_record(plan)))


def test_nothing_to_resume(tmp_path):
    with pytest.raises(UsageError, match=r"holds no run \(no run.json\); give the command without"):
        decided(plan_in(tmp_path))


def test_it_goes_on_from_the_last_whole_checkpoint(tmp_path):
    plan = plan_in(tmp_path)
    stood(plan, seconds=12.0)
    checkpoint(plan.output, 2)
    whole = checkpoint(plan.output, 4)
    (checkpoint(plan.output, 6) / "trainer_state.json").unlink()
    (checkpoint(plan.output, 1) / "trainer_state.json").unlink()
    start = decided(plan)
    assert start.checkpoint is not None
    assert start.checkpoint.folder == whole
    assert start.seconds == 12.0
    assert start.notes == ("checkpoint-6 is passed over: it was cut off (trainer_state.json)",)
    path, config = resume.attempt_config(plan, start)
    assert path.name == resume.ATTEMPT
    assert config == {**plan.config, "resume_from_checkpoint": str(whole)}


def test_no_whole_checkpoint_begins_anew_and_leaves_no_half(tmp_path):
    plan = plan_in(tmp_path)
    stood(plan)
    (checkpoint(plan.output, 6) / "trainer_state.json").unlink()
    tell(plan.output, "{}")
    start = decided(plan)
    assert start.checkpoint is None
    assert start.notes[-1] == "no whole checkpoint is there yet: the run begins anew"
    assert resume.attempt_config(plan, start) == (plan.config_file, plan.config)
    resume.clear(plan.output)
    assert sorted(each.name for each in plan.output.iterdir()) == ["run.json", "train.yaml"]


def test_overwrite_output_dir_would_delete_the_losses_so_far(tmp_path):
    plan = plan_in(tmp_path, overwrite_output_dir=True)
    stood(plan)
    checkpoint(plan.output, 2)
    assert "overwrite_output_dir" not in resume.attempt_config(plan, decided(plan))[1]


def test_changed_settings_are_named(tmp_path):
    plan = plan_in(tmp_path)
    stood(plan)
    other = replace(plan, config={**plan.config, "learning_rate": 2e-4, "seed": 3})
    with pytest.raises(DataError) as raised:
        decided(other)
    told = str(raised.value)
    assert "learning_rate was 0.0001, is 0.0002; seed was not given, is 3" in told
    assert "give another --output" in told
    plan.config_file.write_text("- a list")
    with pytest.raises(DataError, match="train.yaml was edited"):
        decided(other)


def test_another_number_of_processes_is_told(tmp_path):
    plan = plan_in(tmp_path)
    stood(replace(plan, processes=2))
    told = "was begun with 2 processes, and this would be 1; .* FORCE_TORCHRUN=1 NPROC_PER_NODE=2"
    with pytest.raises(UsageError, match=told):
        decided(plan)
    decided(replace(plan, processes=2))
    stood(plan, processes=0)  # of an older release
    decided(plan)


def test_changed_data_model_or_adapter_are_refused(tmp_path):
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    (earlier / ADAPTER_WEIGHTS).write_bytes(b"1")
    plan = plan_in(tmp_path, adapter_name_or_path=str(earlier))
    before = stood(plan)
    assert decided(plan).checkpoint is None
    write_run(plan.output, replace(before, model_fingerprint="0"))
    with pytest.raises(DataError, match="the model's files changed since"):
        decided(plan)
    write_run(plan.output, before)
    (earlier / ADAPTER_WEIGHTS).write_bytes(b"2")
    with pytest.raises(DataError, match="the adapter it is trained on changed since"):
        decided(plan)
    (earlier / ADAPTER_WEIGHTS).write_bytes(b"1")
    (tmp_path / "data" / "rows.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match="the data 'rows' changed since"):
        decided(plan)


@pytest.mark.parametrize(("stage", "method"), [("ppo", "lora"), ("rm", "full")])
def test_what_llamafactory_cannot_resume_is_said(tmp_path, stage, method):
    plan = replace(plan_in(tmp_path, stage), method=method)
    stood(plan)
    assert decided(plan).checkpoint is None
    checkpoint(plan.output, 4, value_head=True)
    with pytest.raises(UsageError, match="cannot go on with"):
        decided(plan)


def test_a_reward_model_gets_the_file_that_transformers_asks_for(tmp_path):
    plan = plan_in(tmp_path, "rm")
    stood(plan)
    folder = checkpoint(plan.output, 2, value_head=True)
    _, config = resume.attempt_config(plan, decided(plan))
    assert config["adapter_name_or_path"] == str(folder)
    head = (folder / "value_head.safetensors").read_bytes()
    assert (folder / "model.safetensors").read_bytes() == head
    assert decided(plan).checkpoint is not None


def test_ppo_gets_a_model_that_its_older_transformers_reads(tmp_path, scratch_cache):
    model = tmp_path / "model"
    model.mkdir()
    config = {"rope_parameters": {"rope_theta": 5.0, "rope_type": "default"}}
    (model / "config.json").write_text(json.dumps(config))
    tokenizer = {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<a>"]}
    (model / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (model / "model.safetensors").write_bytes(b"weights")
    plan = plan_in(tmp_path, "ppo", model_name_or_path=str(model))
    plan = replace(plan, model=replace(plan.model, folder=model))
    _, given = resume.attempt_config(plan, Start())
    older = scratch_cache / "environments" / "ppo" / "models"
    folder = next(older.iterdir())
    assert given["model_name_or_path"] == str(folder)
    assert json.loads((folder / "config.json").read_text()) == {**config, "rope_theta": 5.0}
    read = json.loads((folder / "tokenizer_config.json").read_text())
    added = {"additional_special_tokens": ["<a>"]}
    assert read == {"tokenizer_class": "PreTrainedTokenizerFast", **added}
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    (model / "config.json").write_text("{}")
    (model / "tokenizer_config.json").unlink()
    assert resume.attempt_config(plan, Start()) == (plan.config_file, plan.config)
