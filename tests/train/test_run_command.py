"""`train run`: YAMLs and command lines that were written for LLaMA-Factory."""

from __future__ import annotations

import json
import os
import re
import shlex
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


TUTORIAL = r"""CUDA_VISIBLE_DEVICES=0 llamafactory-cli train \
    --do_train {true}\
    --model_name_or_path bloom \
    --template default \
    --finetuning_type lora \
    --lora_target query_key_value \
    --dataset_dir data \
    --cutoff_len 1024 \
    --learning_rate 5e-05 \
    --per_device_train_batch_size 2 \
    --gradient_accumulation_steps 8 \
    --lr_scheduler_type cosine \
    --evaluation_strategy steps \
    --bf16 True \
    --plot_loss True \
    --preprocessing_num_workers 16 \
    {own} \ """
FLAGS = (
    "--flash_attn auto --max_grad_norm 1.0 --optim adamw_torch --report_to none --lora_dropout 0 "
)
OWN = {
    "pt": "--stage pt --dataset books --max_samples 100000 --num_train_epochs 3.0 "
    "--warmup_steps 0 --logging_steps 5 --save_steps 100 --eval_steps 100 --val_size 0.05 "
    f"--per_device_eval_batch_size 2 --lora_rank 8 --lora_alpha 16 --packing True {FLAGS}"
    "--output_dir saves/BLOOM-7B1/lora/train_2024-06-05-11-42-15",
    "sft": "--stage sft --dataset talks,others --max_samples 20000 --num_train_epochs 1.0 "
    "--warmup_steps 1000 --logging_steps 2000 --save_steps 2000 --eval_steps 2000 --val_size 0.1 "
    "--per_device_eval_batch_size 1 --overwrite_cache --overwrite_output_dir "
    "--load_best_model_at_end --output_dir saves/bloomz-7b1/lora_sft",
    "dpo": "--stage dpo --dataset pairs --max_samples 30000 --num_train_epochs 1.0 "
    "--warmup_steps 50 --logging_steps 100 --save_steps 100 --val_size 0.01 "
    "--per_device_eval_batch_size 1 --lora_rank 4 --lora_alpha 8 --pref_beta 0.1 --pref_ftx 0 "
    f"--pref_loss sigmoid {FLAGS}--output_dir saves/bloomz-7b1/lora/dpo",
}


def pasted(stage: str) -> str:
    return TUTORIAL.format(true="" if stage == "sft" else "True ", own=OWN[stage])


@pytest.mark.parametrize("stage", OWN)
def test_the_tutorials_commands_are_taken_whole(train: Caller, stage: str) -> None:
    model_in(Path("bloom"), "bloom")
    registry = json.loads((Path("data") / "dataset_info.json").read_text())
    registry["others"] = registry["talks"]
    (Path("data") / "dataset_info.json").write_text(json.dumps(registry))
    config = shown(train("run", "--dry-run", "--yes", "--", pasted(stage)))
    flags = shlex.split(pasted(stage).replace("\\\n", " ").rstrip(" \\"))
    names = {flag[2:] for flag in flags if flag.startswith("--")}
    gone = {"evaluation_strategy", "overwrite_output_dir"}
    assert names - gone <= set(config)
    assert (config["eval_strategy"], config["warmup_steps"]) == (
        "steps",
        {"pt": 0, "sft": 1000, "dpo": 50}[stage],
    )


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_tutorials_commands_run_on_a_tiny_bloom(tmp_path: Path) -> None:
    tiny_bloom(tmp_path / "bloom")
    data_in(tmp_path / "data", rows=60)
    info = tmp_path / "data" / "dataset_info.json"
    registry = json.loads(info.read_text())
    info.write_text(json.dumps({**registry, "others": registry["talks"]}))
    text = json.dumps({"text": "A book about the number one, and nothing else. " * 40})
    (tmp_path / "data" / "books.jsonl").write_text((text + "\n") * 30)
    for stage in OWN:
        command = [training.sys.executable, "-m", "train", "run", "--yes", "--json"]
        answer = training.train(tmp_path, [*command, "--", pasted(stage)]).answer
        assert (answer["state"], answer["stage"], answer["method"]) == ("done", stage, "lora")
        assert answer["variables"] == {"CUDA_VISIBLE_DEVICES": "0"}
        assert (tmp_path / answer["folder"] / "adapter_model.safetensors").is_file()
    # The fourth and the fifth: what they are answered with can be typed as it stands.
    line = "llamafactory-cli export --model_name_or_path bloom --export_dir merged"
    run = [training.sys.executable, "-m", "train", "run", "--"]
    adapter = ["--adapter_name_or_path", "saves/bloomz-7b1/lora_sft"]
    told = training.train(tmp_path, [*run, *line.split(), *adapter])
    found = re.search(r"`deploy (merge .+)`", told.err)
    assert found is not None
    assert told.code == 2
    typed = [training.sys.executable, "-m", "deploy", *shlex.split(found[1])]
    merged = training.train(tmp_path, typed)
    assert merged.code == 0, merged.err
    assert (tmp_path / "merged" / "model.safetensors").is_file()


def tiny_bloom(folder: Path) -> None:
    """Write a seeded BLOOM of two layers with weights that mean nothing."""
    import torch
    from transformers import BloomConfig, BloomForCausalLM

    model_in(folder, "bloom", words=())
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=300, hidden_size=32, n_layer=2, n_head=4, bos_token_id=1)
    config.eos_token_id = config.pad_token_id = 1
    BloomForCausalLM(config).save_pretrained(folder)
