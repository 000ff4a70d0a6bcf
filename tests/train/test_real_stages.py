"""Every stage trains SmolLM2 on real rows, as a user types it, and its record tells the truth."""

import hashlib
import json
import math

import pytest
import yaml
from safetensors.numpy import load_file

from tests.train.training import arguments, emit, train

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]
DATASETS = {"pt": "texts", "dpo": "pairs", "kto": "verdicts"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    emit(folder / "data")
    return folder


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_record(place, made):
    """Follow the chain of run.json from the manifest of the data to the weights."""
    folder = place / made["folder"]
    kept = json.loads((folder / "run.json").read_text())
    assert {key: made[key] for key in kept} == kept
    assert (made["state"], made["model"], made["error"]) == ("done", "smollm2", None)
    name = made["dataset"]["name"]
    assert made["dataset"]["dataset_dir"] == str(place / "data")
    assert made["dataset"]["data_sha256"] == sha256(place / "data" / f"{name}.jsonl")
    assert made["dataset"]["manifest_sha256"] == sha256(place / "data" / f"{name}.manifest.json")
    assert made["config_sha256"] == sha256(folder / "train.yaml")
    assert made["adapter"]["sha256"] == sha256(folder / made["adapter"]["file"])
    assert made["versions"]["llamafactory"] == "0.9.5"
    assert (folder / "training_loss.png").read_bytes().startswith(b"\x89PNG")
    return folder


def learned(folder):
    """Return whether the adapter is more than the zeros that it begins with."""
    weights = load_file(folder / "adapter_model.safetensors")
    return any(value.any() for name, value in weights.items() if "lora_B" in name)


@pytest.mark.parametrize("stage", DATASETS)
def test_stage(place, stage):
    ended = train(place, arguments(stage, DATASETS[stage], f"saves/{stage}", max_steps=3))
    made = ended.answer
    folder = check_record(place, made)
    assert (made["stage"], made["steps"]) == (stage, 3)
    assert all(math.isfinite(made["loss"][each]) for each in ("first", "last"))
    assert learned(folder)
    assert "step 3 of 3" in ended.err
    assert "tokens/s" in ended.err
    if stage == "pt":
        assert yaml.safe_load((folder / "train.yaml").read_text())["packing"] is True


@pytest.mark.slow
def test_the_loss_of_thirty_steps_on_64_rows_falls_by_a_fifth(place):
    settings = {"max_steps": 30, "learning_rate": 1e-3, "logging_steps": 5, "save_steps": 30}
    settings |= {"per_device_train_batch_size": 4}
    made = train(place, arguments("sft", "instructions", "saves/sft", **settings)).answer
    check_record(place, made)
    assert made["steps"] == 30
    # Each is the mean of five steps.
    assert made["loss"]["last"] < 0.8 * made["loss"]["first"]


def test_lora_on_bloom_goes_on_query_key_value(place):
    bloom(place / "bloom")
    command = arguments("sft", "instructions", "saves/bloom", "--model", "bloom", max_steps=2)
    made = train(place, command).answer
    assert (made["state"], made["steps"], made["model"]) == ("done", 2, str(place / "bloom"))
    names = load_file(place / "saves" / "bloom" / "adapter_model.safetensors")
    assert names
    assert all("query_key_value" in each for each in names)


def bloom(folder):
    """Make a BLOOM of random weights with SmolLM2's tokenizer."""
    import torch
    from transformers import AutoTokenizer, BloomConfig, BloomForCausalLM

    from curate.models.resolve import resolve

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(resolve("smollm2").folder)
    config = BloomConfig(vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=2)
    BloomForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
