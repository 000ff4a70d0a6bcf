"""`train estimate`, as a shell would call it."""

import json

import pytest

from curate import console
from tests.train.making import model_in
from train.cli import app


@pytest.fixture
def estimate(capsys):
    def call(*arguments):
        capsys.readouterr()
        command = ["estimate", *map(str, arguments)]
        with pytest.raises(SystemExit) as ended:
            console.run(lambda: app(command, "train", standalone_mode=False))
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


@pytest.fixture
def told(estimate):
    def call(*arguments):
        code, out, _ = estimate(*arguments, "--json")
        assert code == 0
        return json.loads(out.splitlines()[-1])

    return call


def test_what_a_user_sees(estimate):
    code, out, err = estimate("--model", "bloomz-7b1")
    assert (code, err) == (0, "")
    assert "7,069,016,064 parameters" in out
    for name in ("full fp32", "full bf16", "full pure_bf16", "lora bf16", "qlora 4 bit"):
        assert out.count(f"  {name} ") == 2  # what it takes, and which card holds it
    assert "lora trains 3,932,160 parameters" in out
    assert "13.2 GiB of weights" in out
    assert "4 to 5 times inference" in out


def test_json_adds_up(told):
    found = told("--model", "qwen2.5-0.5b", "--stage", "dpo")
    for each in found["methods"]:
        assert sum(each["bytes"].values()) == pytest.approx(each["total"], abs=8)
    assert [each["name"] for each in found["methods"] if each["bytes"]["reference"]] == [
        "full fp32",
        "full bf16",
        "full pure_bf16",
    ]


def test_a_number_of_parameters_says_what_it_is_taken_to_be_like(estimate):
    _, out, _ = estimate("--params", "7.1B")
    assert "note: only the number of parameters is known" in out
    assert "llama-2-7b" in out


def test_options_reach_the_formulas(told):
    def total(*arguments):
        found = told("--model", "bloomz-7b1", "--method", "full", "--precision", "bf16", *arguments)
        assert len(found["methods"]) == 1
        return found["methods"][0]["total"]

    usual = total()
    for more in (("--batch", 2), ("--cutoff-len", 2048), ("--no-checkpointing",)):
        assert total(*more) > usual, more
    for less in (("--optimizer", "adamw_8bit"), ("--zero", 3, "--gpus", 8)):
        assert total(*less) < usual, less


def test_lora_options(told):
    found = told("--model", "llama-2-7b", "--lora-rank", 4, "--lora-target", "q_proj")
    assert found["lora_parameters"] == 32 * 4 * 8192


def test_cards_are_the_users(told):
    arguments = ("--model", "bloomz-7b1", "--cards", "24,80", "--method", "full")
    assert told(*arguments)["methods"][1]["fits"] == {"24": "-", "80": "-"}
    divided = told(*arguments, "--zero", 3, "--gpus", 2)
    assert divided["methods"][1]["fits"] == {"24": "-", "80": "yes"}


def test_a_directory(told, tmp_path):
    config = {
        "model_type": "qwen2",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "vocab_size": 1000,
        "tie_word_embeddings": False,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    matrices = 4 * 64 * 64 + 3 * 64 * 128
    rest = 2 * (matrices + 3 * 64 + 2 * 64) + 64
    assert told("--model", tmp_path)["parameters"] == 2 * 1000 * 64 + rest


def test_more_gpus_without_zero_divide_nothing(estimate):
    _, _, err = estimate("--model", "smollm2", "--gpus", 4)
    assert "note: without --zero every GPU holds all of it" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either --model"),
        (("--model", "smollm2", "--params", "1B"), "give either --model"),
        (("--model", "qwen2.5-8b"), "Did you mean 'qwen2.5-7b'"),
        (("--params", "many"), "--params many: allowed is a number"),
        (("--model", "smollm2", "--stage", "stf"), "Did you mean 'sft'"),
        (("--model", "smollm2", "--method", "lroa"), "Did you mean 'lora'"),
        (("--model", "smollm2", "--precision", "bf32"), "Did you mean"),
        (("--model", "smollm2", "--bits", 3), "--bits 3: allowed are 2, 4, 8"),
        (("--model", "smollm2", "--cutoff-len", 0), "--cutoff-len 0: allowed are 1 and more"),
        (("--model", "smollm2", "--zero", 4), "--zero 4: allowed are 0"),
        (("--model", "smollm2", "--zero", 2, "--method", "qlora"), "quantised weights are not"),
        (("--model", "smollm2", "--cards", "24,x"), "--cards 24,x: allowed are sizes"),
        (("--model", "smollm2", "--lora-target", "q_prj"), "Did you mean 'q_proj'"),
        (("--model", "."), "has no config.json"),
    ],
)
def test_what_is_refused(estimate, arguments, message):
    code, out, err = estimate(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_a_bundled_name_means_no_folder_that_is_called_so(told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundled = told("--model", "smollm2")["methods"]
    model_in(tmp_path / "smollm2")
    assert told("--model", "smollm2")["methods"] == bundled
    assert told("--model", "./smollm2")["methods"] != bundled
