"""`train run`: YAMLs and command lines that were written for LLaMA-Factory."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from curate.system.hardware import Hardware
from tests.calling import Caller
from tests.conftest import ROOT
from tests.train import training
from tests.train.making import data_in, model_in
from train.checks import prepare

FACTS = json.loads((ROOT / "tests" / "fixtures" / "llamafactory_examples.json").read_text())
# A checkout of LLaMA-Factory's tag v0.9.5, where somebody has one.
CHECKOUT = os.environ.get("LLAMAFACTORY_CHECKOUT", "")


WRITTEN: dict[str, Any] = {
    **{"model_name_or_path": "mine", "stage": "sft", "do_train": True, "finetuning_type": "lora"},
    **{"dataset": "talks", "template": "chatml", "output_dir": "saves/one/sft", "bf16": True},
    **{"learning_rate": 1e-4, "logging_steps": 1, "save_steps": 5, "seed": 7, "lora_target": "all"},
}


def shown(answer: Any) -> dict[str, Any]:
    assert answer.code == 0, answer.err
    config: dict[str, Any] = yaml.safe_load(answer.out)
    return config


def write(values: dict[str, Any], name: str = "mine.yaml") -> str:
    Path(name).write_text(yaml.safe_dump(values))
    return name


def test_an_error_names_a_key_as_it_stands_in_the_yaml(train: Caller) -> None:
    line = ("run", write({**WRITTEN, "learning_rat": 1e-4}))
    assert "--set" not in train.refused("learning_rat: .* Did you mean 'learning_rate'", *line)


def test_a_yaml_is_run_as_it_is_written(train: Caller) -> None:
    answer = train("run", write(WRITTEN), "--dry-run")
    config = shown(answer)
    where = {"model_name_or_path", "output_dir", "dataset_dir"}
    assert {k: v for k, v in WRITTEN.items() if k not in where}.items() <= config.items()
    assert all(Path(config[key]).is_absolute() for key in where)
    # What it leaves open is LLaMA-Factory's own, and nothing of a preset.
    assert (config["cutoff_len"], config["per_device_train_batch_size"]) == (2048, 8)
    assert not {"lora_rank", "save_total_limit", "plot_loss", "max_steps", "val_size"} & set(config)
    # 40 rows in batches of 8, three times.
    told = json.loads(train("run", "mine.yaml", "--dry-run", "--json").out)
    assert told["steps"] == 15
    assert "doctor: talks: 40 of 40 rows usable" in answer.err
    assert "GiB are needed" in answer.err


def test_what_is_set_beside_it_wins(train: Caller) -> None:
    typed = ("--set", "learning_rate=1e-5", "--output", "saves/b", "--dry-run")
    values = {key: value for key, value in WRITTEN.items() if key != "dataset"}
    train.refused("no dataset is named: .* name it there", "run", write(values), *typed)
    config = shown(train("run", "mine.yaml", *typed, "--set", "dataset=talks"))
    assert config["learning_rate"] == 1e-5
    assert config["output_dir"].endswith("saves/b")


PASTE = r"""CUDA_VISIBLE_DEVICES=0 llamafactory-cli train \
    --stage sft \
    --do_train \
    --model_name_or_path mine \
    --dataset talks \
    --template chatml \
    --evaluation_strategy steps --eval_steps=5 --val_size 0.1 \
    --learning_rate 5e-5 --num_train_epochs 1.0 \
    --output_dir saves/two \
    --overwrite_cache --bf16 True \
    --save_safetensors True \
"""


@pytest.mark.parametrize("ending", ["", " \\", "\r", "\n\n"])
def test_a_paste(train: Caller, ending: str) -> None:
    # As a shell hands it on, and as one text with its line ends.
    words = [*shlex.split(PASTE.replace("\\\n", " ")), ending]
    for typed in (words, [PASTE + ending], [PASTE.replace("\n", "\r\n")]):
        answer = train("run", "--dry-run", "--", *typed)
        config = shown(answer)
        assert (config["eval_strategy"], config["eval_steps"], config["val_size"]) == (
            *("steps", 5.0),
            0.1,
        )
        assert config["overwrite_cache"] is True
        assert "save_safetensors is left out" in answer.err
        assert answer.out.splitlines()[-1].startswith("# CUDA_VISIBLE_DEVICES=0 llamafactory-cli")


@pytest.mark.parametrize(
    "line",
    [
        "python src/train.py mine.yaml",
        "python -m llamafactory.cli train mine.yaml learning_rate=2e-5",
        "lmf train mine.yaml",
        "env NNODES=1 llamafactory-cli train mine.yaml",
    ],
)
def test_ways_to_start_it(train: Caller, line: str) -> None:
    write(WRITTEN)
    config = shown(train("run", "--dry-run", "--", *line.split()))
    assert config["learning_rate"] == (2e-5 if "2e-5" in line else 1e-4)


@pytest.mark.parametrize("before", ["$ ", "export CUDA_VISIBLE_DEVICES=0\n", "nohup "])
def test_what_may_stand_before_a_paste(train: Caller, before: str) -> None:
    write(WRITTEN)
    shown(train("run", "--dry-run", "--", f"{before}llamafactory-cli train mine.yaml"))


@pytest.mark.parametrize(
    ("paste", "told"),
    [
        ("cd LLaMA-Factory && {}", "'&&' is for a shell; paste the command"),
        ("{} > train.log 2>&1 &", "'>' is for a shell"),
        ("{} | tee log", "'|' is for a shell"),
        ("{} dataset='talks", "cannot be read (No closing quotation); paste it whole"),
    ],
)
def test_pastes_with_more_than_one_command(train: Caller, paste: str, told: str) -> None:
    write(WRITTEN)
    line = paste.format("llamafactory-cli train mine.yaml")
    train.refused(re.escape(told), "run", "--dry-run", "--", line)


def test_lists_and_mappings_of_a_yaml(train: Caller) -> None:
    registry = json.loads((Path("data") / "dataset_info.json").read_text())
    registry["others"] = registry["talks"]
    (Path("data") / "dataset_info.json").write_text(json.dumps(registry))
    zero = {"zero_optimization": {"stage": 3}}
    values = {**WRITTEN, "dataset": ["talks", "others"], "deepspeed": zero, "save_steps": 0.5}
    answer = train("run", write(values), "--dry-run")
    config = shown(answer)
    assert (config["dataset"], config["deepspeed"]) == ("talks,others", zero)
    assert "deepspeed needs the package deepspeed" in answer.err


def test_a_secret_before_a_paste_is_not_kept(train: Caller) -> None:
    write(WRITTEN)
    line = "WANDB_API_KEY=sk-secret llamafactory-cli train mine.yaml"
    answer = train("run", "--dry-run", "--", *line.split())
    assert "WANDB_API_KEY is left out: put it into the environment" in answer.err
    assert "sk-secret" not in answer.err + answer.out


REFUSED = [
    ("llamafactory-cli api mine.yaml", "`deploy serve MODEL`"),
    ("llamafactory-cli webui", "preview button"),
    ("torchrun --nproc_per_node 2 src/train.py", "give `llamafactory-cli train …`"),
    ("accelerate launch src/train.py mine.yaml", "its launcher starts a process for each GPU"),
    ("rm -rf mine", "'rm' is neither a YAML nor a command of LLaMA-Factory"),
    ("nothing.yaml", "nothing.yaml cannot be read"),
    ("llamafactory-cli train --stage sft", "no model_name_or_path is named"),
    ("llamafactory-cli train --model_name_or_path ${MODEL}", "is not replaced here"),
    ("llamafactory-cli export --model_name_or_path m", "a whole model needs no merging"),
    ("python -m torch.distributed.run src/train.py", "give `llamafactory-cli train …`"),
    ("llamafactory-cli train mine.yaml learning_rat=1", "Did you mean 'learning_rate'"),
    ("llamafactory-cli train mine.yaml stage=sftt", "Did you mean 'sft'"),
    ("llamafactory-cli train mine.yaml resume_from_checkpoint=x", "give --resume"),
]


@pytest.mark.parametrize(("line", "told"), REFUSED)
def test_what_is_refused(train: Caller, line: str, told: str) -> None:
    write(WRITTEN)
    train.refused(re.escape(told), "run", "--dry-run", "--", *line.split())


def test_an_export_is_answered_with_what_to_type(train: Caller) -> None:
    line = "llamafactory-cli export --export_dir my/merged --template default"
    merge = [*line.split(), "--model_name_or_path", "m", "--adapter_name_or_path", "saves/a b"]
    told = train.refused("that is done by", "run", "--", *merge)
    assert "`deploy merge 'saves/a b' --output my/merged`" in told
    quantise = "--export_quantization_bit 4 --export_quantization_dataset data/c4_demo.json "
    quantise += "--export_size 2 --export_device cpu --export_quantization_maxlen 512"
    typed = [*line.split(), "--model_name_or_path", "m", *quantise.split()]
    told = train.refused("that is done by", "run", "--", *typed)
    command = "deploy quantize m --bits 4 --max-length 512 --shard-size 2 --dataset c4_demo"
    assert f"`{command} --dataset-dir data --output my/merged`" in told


def test_an_adapter_that_is_gone_on_with_keeps_its_own(train: Caller) -> None:
    Path("old").mkdir()
    base = {"base_model_name_or_path": str(Path("mine").resolve())}
    (Path("old") / "adapter_config.json").write_text(json.dumps(base))
    values = {**WRITTEN, "adapter_name_or_path": "old", "lora_rank": 4}
    answer = train("run", write(values), "--dry-run")
    config = shown(answer)
    assert config["adapter_name_or_path"] == str(Path("old").resolve())
    assert not {"lora_rank", "lora_target", "ref_model"} & set(config)
    assert "the adapter keeps its own" in answer.err
    values["adapter_name_or_path"] = "nowhere"
    train.refused("nowhere: there is no adapter", "run", write(values), "--dry-run")


def test_variables_and_deepspeed_reach_the_launcher(
    train: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_TORCHRUN", "1")
    write({**WRITTEN, "per_device_train_batch_size": 2, "num_train_epochs": 1})
    line = "NPROC_PER_NODE=2 llamafactory-cli train mine.yaml"
    told = json.loads(train("run", "--dry-run", "--json", "--", *line.split()).out)
    # 40 rows, two at a time in two processes.
    assert told["steps"] == 10
    Path("z3.json").write_text(json.dumps({"zero_optimization": {"stage": 3}}))
    answer = train("run", "mine.yaml", "--set", "deepspeed=z3.json", "--dry-run")
    assert answer.out.splitlines()[-1].startswith("# FORCE_TORCHRUN=1 llamafactory-cli train")


def test_paths_that_the_launcher_would_split_are_refused(train: Caller) -> None:
    write({**WRITTEN, "output_dir": "my runs/x"})
    assert train("run", "mine.yaml", "--dry-run").code == 0
    refused = "my runs/x: with several processes LLaMA-Factory splits"
    line = "FORCE_TORCHRUN=1 llamafactory-cli train mine.yaml"
    train.refused(refused, "run", "--", *line.split())


@pytest.mark.long
@pytest.mark.skipif(not CHECKOUT, reason="LLAMAFACTORY_CHECKOUT names no checkout of v0.9.5")
@pytest.mark.parametrize("name", FACTS)
def test_the_examples_of_llamafactory(
    train: Caller, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(prepare, "detect", lambda *_: Hardware("cuda", 8, 80 << 30, True))
    Path("examples").symlink_to(Path(CHECKOUT) / "examples")
    registry = json.loads((Path("data") / "dataset_info.json").read_text())
    alike = {"talks": "identity alpaca_en_demo alpaca_zh_demo alpaca_zh mllm_demo med math"}
    alike |= {"pairs": "dpo_en_demo rlhf_v", "verdicts": "kto_en_demo", "books": "c4_demo"}
    alike["talks"] += " llava_1k_en llava_1k_zh"
    registry |= {new: registry[old] for old, names in alike.items() for new in names.split()}
    (Path("data") / "dataset_info.json").write_text(json.dumps(registry))
    answer = train("run", f"examples/{name}", "--dry-run")
    if FACTS[name]:
        assert FACTS[name] in answer.err
    else:
        assert answer.code == 0, answer.err
        assert yaml.safe_load(answer.out)["do_train"] is True


GUIDE = (ROOT / "train" / "guide.md").read_text(encoding="utf-8")
# The five commands of the tutorial as the guide has them, each with ours below it.
TUTORIAL = [
    part.rsplit("\n", 1)
    for part in re.findall(r"```bash\n(train run -- .*?)\n```", GUIDE, re.DOTALL)[0].split("\n\n")
]


def place_of_the_tutorial() -> None:
    """Write models and data sets under the tutorial's names into this folder."""
    alike = {"books": ("medical_book_zh", "train_encyclopedia"), "talks": ("firefly", "identity")}
    alike["pairs"] = ("dpo_en_10k", "dpo_zh_10k")
    data_in(Path("data"), rows=60)
    text = json.dumps({"text": "A book about the number one, and nothing else. " * 40})
    (Path("data") / "books.jsonl").write_text((text + "\n") * 60)
    info = Path("data") / "dataset_info.json"
    entries = json.loads(info.read_text())
    entries |= {name: entries[old] for old, names in alike.items() for name in names}
    info.write_text(json.dumps(entries))


def words_of(command: str) -> list[str]:
    return shlex.split(command.replace("\\\n", " "))[1:]


@pytest.mark.parametrize("place", [0, 1, 3])
def test_the_tutorials_trainings_and_ours_say_the_same(train: Caller, place: int) -> None:
    place_of_the_tutorial()
    for name in ("bigscience/bloom-7b1", "bloomz-7b1"):
        model_in(Path(name), "bloom")
    pasted, ours = TUTORIAL[place]
    flags = [word for word in words_of(pasted) if word.startswith("--") and word != "--"]
    names = {flag[2:].replace("evaluation_strategy", "eval_strategy") for flag in flags}
    typed = ["run", "--dry-run", "--yes", *words_of(pasted)[1:]]
    theirs = shown(train(*typed))
    assert names - {"overwrite_output_dir"} <= set(theirs)
    config = shown(train(*words_of(ours), "--dry-run", "--yes"))
    same = names & set(theirs) - {"output_dir"}
    assert {key: config[key] for key in same} == {key: theirs[key] for key in same}
    # As one text behind the dashes, with a stray backslash and spaces at its end, it is the same.
    text = pasted.removeprefix("train run -- ") + " \\ "
    assert shown(train("run", "--dry-run", "--yes", "--", text)) == theirs


@pytest.mark.parametrize("place", [2, 4])
def test_the_tutorials_exports_are_answered_with_ours(train: Caller, place: int) -> None:
    pasted, ours = TUTORIAL[place]
    assert f"that is done by `{ours}`" in train.refused("done by", *words_of(pasted))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_tutorials_commands_run_on_a_tiny_bloom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place_of_the_tutorial()
    for name in ("bigscience/bloom-7b1", "bloomz-7b1"):
        tiny_bloom(tmp_path / name)
    for pasted, ours in TUTORIAL[:4]:
        typed = words_of(pasted)
        if "export" in typed:
            command = [sys.executable, "-m", "deploy", *words_of(ours)]
            merged = training.train(tmp_path, command)
            assert merged.code == 0, merged.err
            continue
        command = [sys.executable, "-m", "train", "run", "--yes", "--json", *typed[1:]]
        answer = training.train(tmp_path, command).answer
        assert (answer["state"], answer["method"]) == ("done", "lora")
        assert answer["variables"] == {"CUDA_VISIBLE_DEVICES": "0"}
        assert (tmp_path / answer["folder"] / "adapter_model.safetensors").is_file()
    assert (tmp_path / "models" / "bloomz-7b1_sft" / "model.safetensors").is_file()


def tiny_bloom(folder: Path) -> None:
    """Write a seeded BLOOM of two layers with weights that mean nothing."""
    import torch
    from transformers import BloomConfig, BloomForCausalLM

    model_in(folder, "bloom", words=())
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=300, hidden_size=32, n_layer=2, n_head=4, bos_token_id=1)
    config.eos_token_id = config.pad_token_id = 1
    BloomForCausalLM(config).save_pretrained(folder)
