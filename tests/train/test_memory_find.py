"""Which config an estimate is made from: a folder's, a known model's, or a number of parameters."""

import json

import pytest

from curate.errors import ModelError, UsageError
from train.memory import find
from train.memory.catalogue import KNOWN
from train.memory.shape import shape_of


def test_config_from_a_folder_and_a_file(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(KNOWN["gpt2"]))
    assert find.config_of(str(tmp_path)) == KNOWN["gpt2"]
    assert find.config_of(str(tmp_path / "config.json")) == KNOWN["gpt2"]


def test_config_of_a_model_inside_another_kind_of_model():
    config = {"model_type": "gemma3", "text_config": KNOWN["qwen2.5-0.5b"]}
    assert shape_of(config, "x") == shape_of(KNOWN["qwen2.5-0.5b"], "x")


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("bigscience/bloomz-7b1-mt", "bloomz-7b1"),
        ("meta-llama/Llama-2-7b-chat-hf", "llama-2-7b"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama-3-8b"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b"),
        ("nobody/nothing", None),
    ],
)
def test_known_names_in_hub_ids(typed, name):
    assert find.known_name(typed) == name


@pytest.mark.parametrize(("text", "count"), [("7.1B", 7_100_000_000), ("135m", 135_000_000)])
def test_numbers_of_parameters(text, count):
    assert find.count_of(text) == count


@pytest.mark.parametrize("text", ["", "x", "-7B", "7BB", "12", "1e9", "9999999T"])
def test_no_numbers_of_parameters(text):
    with pytest.raises(UsageError, match=r"allowed is a number of parameters"):
        find.count_of(text)


def test_a_bare_number_takes_the_nearest_shape():
    found, like = find.typical(7_100_000_000)
    assert like == "llama-2-7b"
    assert (found.parameters, found.hidden) == (7_100_000_000, 4096)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 9}, "num_attention_heads"),
        ({"num_local_experts": 8}, "mixture of experts"),
    ],
)
def test_configs_without_the_numbers(config, message):
    with pytest.raises(ModelError, match=message):
        shape_of(config, "x")


def test_an_adapter_names_its_base(tmp_path):
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({"base_model_name_or_path": "smollm2"}))
    with pytest.raises(ModelError, match="holds an adapter; give its base, smollm2"):
        find.config_of(str(tmp_path))
