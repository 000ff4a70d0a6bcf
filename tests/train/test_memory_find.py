"""The shape an estimate is made from: a folder's, a known model's, or that of a number."""

import json

import pytest

from curate.errors import ModelError, UsageError
from train.memory import model_shape
from train.memory.estimate import Job, total
from train.memory.model_shape import config_of, counted_shape, known_models, known_shape, shape_of

MIXTURE = {
    "model_type": "qwen3_moe",
    "vocab_size": 100,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 10,
    "tie_word_embeddings": False,
}


def config(name):
    return known_models()[name]["config"]


def test_what_is_recorded_is_what_the_models_themselves_have():
    needing_code = ("baichuan", "chatglm", "internlm2")
    for name, record in known_models().items():
        if record["config"]["model_type"] not in needing_code:
            assert counted_shape(record["config"], name) == known_shape(name)


def test_a_mixture_of_experts_is_counted_whole():
    shape = shape_of(MIXTURE, "mixture")
    attention = 16 * 32 * 2 + 16 * 16 * 2
    experts = 6 * 3 * 16 * 10
    layer = attention + experts + 6 * 16 + 2 * 8 + 2 * 16
    assert shape.parameters == 2 * 100 * 16 + 2 * layer + 16
    assert shape.inner == 2 * 10
    assert shape.gated


def test_a_folder_of_a_known_model_needs_no_torch(tmp_path, monkeypatch):
    def refuse(config, name):
        raise AssertionError(name)

    monkeypatch.setattr(model_shape, "counted_shape", refuse)
    saved = {**config("smollm2"), "head_dim": 64, "attention_bias": False, "use_cache": True}
    (tmp_path / "config.json").write_text(json.dumps(saved))
    shape = shape_of(config_of(str(tmp_path)), "mine")
    assert (shape.name, shape.parameters) == ("mine", 134_515_008)


@pytest.mark.parametrize("other", [{"num_hidden_layers": 29}, {"attention_bias": True}])
def test_what_differs_from_a_known_model_is_counted(other):
    assert shape_of({**config("smollm2"), **other}, "x").parameters != 134_515_008


def test_config_from_a_folder_and_a_file(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config("gpt2")))
    assert config_of(str(tmp_path)) == config("gpt2")
    assert config_of(str(tmp_path / "config.json")) == config("gpt2")


def test_a_model_that_sees_has_the_widths_of_the_one_that_speaks():
    speaks = {**config("gemma3-270m"), "num_hidden_layers": 2}
    shape = shape_of({"model_type": "gemma3", "text_config": speaks}, "x")
    assert (shape.hidden, shape.layers) == (640, 2)
    assert shape.parameters > shape_of(speaks, "y").parameters


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
    assert model_shape.known_name(typed) == name


@pytest.mark.parametrize(
    ("text", "count", "like"),
    [("7.1B", 7_100_000_000, "llama-2-7b"), ("135m", 135_000_000, "smollm2-135m")],
)
def test_a_bare_number_takes_the_nearest_shape(text, count, like):
    shape, name = model_shape.typical(text)
    assert (shape.parameters, name) == (count, like)
    assert shape.hidden == known_shape(like).hidden


@pytest.mark.parametrize("text", ["", "x", "-7B", "7BB", "12", "1e9", "9999999T"])
def test_no_numbers_of_parameters(text):
    with pytest.raises(UsageError, match=r"allowed is a number of parameters"):
        model_shape.typical(text)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"hidden_size": 8, "num_hidden_layers": 2}, "model_type ''"),
        ({"model_type": "its_own_code"}, "Unrecognized model identifier: its_own_code"),
        ({"model_type": "t5"}, "AutoModelForCausalLM"),
        ({"model_type": "llama", "hidden_size": "wide"}, "hidden_size"),
        ({"model_type": "llama", "hidden_size": 10, "num_attention_heads": 3}, "not a multiple"),
    ],
)
def test_configs_of_which_nothing_can_be_counted(config, reason):
    with pytest.raises(ModelError, match="--params with the number") as refused:
        shape_of(config, "x")
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    "odd",
    [
        {"model_type": "gemma3n", "text_config": {"intermediate_size": [64, 128]}},
        {"model_type": "ernie4_5_moe", "moe_num_experts": 8, "hidden_size": 64},
        {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 0},
        {"model_type": "llama", "hidden_size": 64, "num_attention_heads": [2, 4]},
        {"model_type": "llama", "num_hidden_layers": "many"},
        {"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100},
        {"model_type": "rwkv", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100},
        {"model_type": "llama", "rope_scaling": 7},
        {"model_type": "llama", "vocab_size": -1},
        {"model_type": ["llama"]},
        {"model_type": "falcon", "hidden_size": None},
    ],
)
def test_no_config_ends_in_a_traceback(odd):
    refused = ""
    try:
        assert total(shape_of(odd, "x"), Job()) > 0
    except ModelError as error:
        refused = str(error)
    assert not refused or "--params with the number" in refused


def test_models_without_heads_are_counted_too():
    config = {"model_type": "mamba", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100}
    shape = shape_of(config, "x")
    assert (shape.hidden, shape.layers, shape.kv_heads) == (64, 2, 1)


def test_an_adapter_names_its_base(tmp_path):
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps({"base_model_name_or_path": "smollm2"}))
    with pytest.raises(ModelError, match="holds an adapter; give its base, smollm2"):
        config_of(str(tmp_path))
