"""Settings against rows, steps, model and files: what would end late is refused at once, what would
only train badly is one note, and what is told of the rows is true."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.calling import Caller
from tests.train.making import CHATML, adapter_in, model_in

DIES = [
    ("val_size=40", r"val_size 40 of 40 rows .* from 2 to 39"),
    ("val_size=1", "val_size 1 of 40 rows"),
    ("val_size=0.9999", "leaves none to train on"),
    ("val_size=0.1 eval_dataset=talks", "do not go together"),
    ("max_samples=1 val_size=0.5", "val_size 0.5 of 1 rows"),
    ("max_steps=0", "max_steps=0 trains nothing"),
    ("eval_dataset=talk val_size=0", "no data set 'talk'. Did you mean 'talks'"),
    ("eval_dataset=pairs val_size=0", "stage sft wants instructions .* 'pairs' has pairs"),
    ("mask_history=true train_on_prompt=true", "mask_history=True and train_on_prompt=True: "),
    ("streaming=true max_steps=-1", "streaming=True and no max_steps: "),
    ("lr_scheduler_type=cosine_with_min_lr", "and no lr_scheduler_kwargs: "),
    ("use_dora=true finetuning_type=freeze", "finetuning_type=freeze and use_dora=True: "),
    (
        "mix_strategy=interleave_under interleave_probs=1,2",
        "one for each data set, and there are 1",
    ),
    ("adapter_name_or_path=nowhere", "adapter_name_or_path nowhere: there is no adapter"),
    ("deepspeed=ds.json", "deepspeed ds.json cannot be read"),
    ("deepspeed=list.json", "is no JSON object"),
    ("deepspeed=good.json", "deepspeed needs the package deepspeed"),
    ("eval_strategy=steps val_size=0", "no rows are held out to evaluate on"),
    ("load_best_model_at_end=true val_size=0", "save_strategy is steps, eval_strategy no"),
    ("eval_steps=3 save_steps=5", "save_steps 5 to be eval_steps 3 once or several times"),
    ("report_to=wandb", "report_to=wandb needs the package wandb"),
]


@pytest.mark.parametrize(("typed", "told"), DIES)
def test_what_would_end_after_loading(train: Caller, typed: str, told: str) -> None:
    Path("list.json").write_text("[]")
    Path("good.json").write_text("{}")
    sets = [part for pair in typed.split() for part in ("--set", pair)]
    answer = train("sft", "--model", "mine", *sets, "--dry-run")
    assert answer.code == 0, answer.err
    refused = [line for line in answer.err.splitlines() if line.startswith("would be refused")]
    assert len(refused) == 1, answer.err
    assert re.search(told, refused[0]), refused[0]


@pytest.mark.parametrize(
    "typed",
    [
        "lr_scheduler_type=warmup_stable_decay",  # LLaMA-Factory gives it its steps
        "pref_loss=ipo dpo_label_smoothing=0.1",  # looked at in stage dpo alone
        "preprocessing_batch_size=0",  # all rows at once
    ],
)
def test_what_llamafactory_takes_is_not_refused(train: Caller, typed: str) -> None:
    # What safetensors lie beside is not read.
    (Path("mine") / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1")
    sets = [part for pair in typed.split() for part in ("--set", pair)]
    answer = train("sft", "--model", "mine", *sets, "--dry-run")
    assert answer.code == 0, answer.err
    assert "would be refused" not in answer.err


@pytest.mark.parametrize(
    ("stage", "typed", "told"),
    [
        ("dpo", "pissa_init=true", "stage=dpo and pref_loss=sigmoid and pissa_init=True: "),
        ("dpo", "pissa_init=true pref_loss=ipo", "and pref_loss=ipo and pissa_init=True: "),
        ("dpo", "pissa_init=true pref_loss=simpo", ""),
        ("kto", "pissa_init=true", "stage=kto and pissa_init=True: "),
        ("ppo", "pissa_init=true", "stage=ppo and pissa_init=True: "),
        ("ppo", "finetuning_type=freeze", "finetuning_type=freeze and reward_model_type=lora: "),
        ("sft", "pissa_init=true", ""),
        ("sft", "use_asft_loss=true", "use_asft_loss=True and finetuning_type=lora and no ref_m"),
        ("sft", "use_asft_loss=true finetuning_type=full", ""),
        ("sft", "finetuning_type=freeze freeze_trainable_layers=0", "freeze_trainable_layers=0 "),
        *(
            ("sft", f"finetuning_type=freeze freeze_trainable_layers=0 {others}", "")
            for others in ("freeze_extra_modules=norm", "freeze_multi_modal_projector=false")
        ),
        ("sft", "pissa_init=true deepspeed=z3.json", "zero_stage=3 and pissa_init=True: "),
    ],
)
def test_what_a_stage_does_not_take(train: Caller, stage: str, typed: str, told: str) -> None:
    Path("z3.json").write_text('{"zero_optimization": {"stage": 3}}')
    reward = adapter_in(Path("saves") / "judge", "mine", stage="rm")
    (reward / "value_head.safetensors").touch()
    sets = [part for pair in typed.split() for part in ("--set", pair)]
    answer = train(stage, "--model", "mine", *sets, "--dry-run")
    assert answer.code == 0, answer.err
    refused = [line for line in answer.err.splitlines() if line.startswith("would be refused")]
    assert (told in "".join(refused)) if told else not refused, answer.err


def test_a_config_that_names_no_loss_has_the_usual_one(train: Caller) -> None:
    lines = ("stage: dpo", "model_name_or_path: mine", "dataset: pairs", "pissa_init: true")
    Path("my.yaml").write_text("\n".join((*lines, "template: chatml", "output_dir: saves/a")))
    told = train("run", "my.yaml", "--dry-run").err
    assert "stage=dpo and no pref_loss and pissa_init=True: LLaMA-Factory ends on them" in told


def test_seeds_and_betas_below_what_there_is(train: Caller) -> None:
    train.refused(
        "'--seed': Input should be greater than or equal to 0",
        "sft",
        "--model",
        "mine",
        "--seed",
        "-1",
    )
    train.refused("pref_beta=-1: allowed is more than 0", "dpo", "--set", "pref_beta=-1")


def test_folders_that_are_no_whole_model(train: Caller) -> None:
    whole = (Path("mine") / "model.safetensors").read_bytes()
    (Path("mine") / "model.safetensors").write_bytes(whole[:-8])
    typed = ("sft", "--model", "mine", "--dry-run")
    train.refused("is cut short or corrupt", *typed)
    (Path("mine") / "model.safetensors").write_bytes(whole)
    (Path("mine") / "tokenizer.json").unlink()
    told = train(*typed, "--template", "default").err
    assert "would be refused: " in told
    assert "has no tokenizer (tokenizer.json)" in told
    model_in(Path("mine"), chat=CHATML)
    index = {"weight_map": {"a": "model.safetensors", "b": "other.safetensors"}}
    (Path("mine") / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "lacks other.safetensors, which its index names" in train(*typed).err


def test_a_quantised_base(train: Caller) -> None:
    quantised: dict[str, Any] = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    model_in(Path("mine"), chat=CHATML, **quantised)
    typed = ("sft", "--model", "mine", "--dry-run")
    assert "is quantised (gptq), and training on it needs gptqmodel" in train(*typed).err
    assert "adapters alone can be trained" in train(*typed, "--method", "full").err
    assert "pissa_init takes none apart" in train(*typed, "--set", "pissa_init=true").err
    quantised = {"quantization_config": {"quant_method": "mxfp4"}}
    model_in(Path("mine"), chat=CHATML, **quantised)
    assert "would be refused" not in train(*typed, "--method", "full").err


def test_positions_end_some_models_and_worsen_others(train: Caller) -> None:
    rows = [{"instruction": "Say.", "input": "", "output": "word " * 40}] * 40
    (Path("data") / "talks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model_in(Path("mine"), chat=CHATML, max_position_embeddings=100)
    typed = ("sft", "--model", "mine", "--dry-run", "--set", "cutoff_len=150", "--yes")
    told = train(*typed)
    assert "rows are up to 150 tokens long, and the model was made for 100" in told.err
    assert "would be refused" not in told.err
    model_in(Path("mine"), "gpt2", chat=CHATML, n_positions=100)
    assert "more than the 100 positions that mine has" in train(*typed, "--force").err


def test_packed_rows_that_fill_no_block(train: Caller) -> None:
    rows = [{"text": "word " * 4}] * 30
    (Path("data") / "books.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    typed = ("pt", "--dataset", "books", "--model", "mine", "--template", "default", "--dry-run")
    blocks = ("--set", "packing=true", "--set", "cutoff_len=200", "--set", "val_size=3")
    told = train(*typed, *blocks, "--set", "preprocessing_num_workers=16").err
    assert "27 rows do not fill one block of 200 tokens in any of 16 processes" in told
    assert "--set preprocessing_num_workers=1, or a smaller" in told
    told = train(*typed, *blocks, "--set", "preprocessing_num_workers=1").err
    assert "3 rows do not fill one block of 200 tokens; give --set val_size=0" in told
    blocks = ("--set", "packing=true", "--set", "cutoff_len=70", "--set", "val_size=0")
    told = train(*typed, *blocks, "--set", "preprocessing_num_workers=8").err
    assert "of the tokens are left over when blocks of 70 are filled" in told
    told = train(*typed, *blocks, "--set", "preprocessing_num_workers=1").err
    assert "left over" not in told


def test_what_only_trains_badly_is_one_note_with_what_suits(train: Caller) -> None:
    large = ("warmup_steps=1000", "logging_steps=2000", "save_steps=2000", "eval_steps=2000")
    sets = [part for pair in (*large, "learning_rate=100") for part in ("--set", pair)]
    typed = ("sft", "--model", "mine", "--preset", "tutorial", "--dry-run")
    told = train(*typed, *sets).err
    (note,) = (line for line in told.splitlines() if "steps of this run" in line)
    for part in ("never rises", "nothing is logged", "nothing is evaluated", "forgets everything"):
        assert part in note
    # As it stands, the hint is taken, and there is nothing more to say.
    hint = re.findall(r"--set \w+_steps=\S+", note)
    pasted = [word for part in hint for word in shlex.split(part)]
    assert "steps of this run" not in train(*typed, *pasted).err


def test_rows_with_pictures_and_a_model_that_sees_none(train: Caller) -> None:
    row = {
        "messages": [
            {"role": "user", "content": "<image>What is it?"},
            {"role": "assistant", "content": "A cat."},
        ],
        "images": ["cat.jpg"],
    }
    (Path("data") / "cats.json").write_text(json.dumps([row] * 6))
    roles = {"role_tag": "role", "content_tag": "content", "user_tag": "user"}
    entry = {
        "file_name": "cats.json",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {**roles, "assistant_tag": "assistant"},
    }
    (Path("data") / "dataset_info.json").write_text(json.dumps({"cats": entry}))
    typed = ("sft", "--model", "mine", "--dry-run")
    assert "nothing of 'cats' (6 rows) can be used" in train(*typed).err


def test_the_longest_row_is_that_of_each_set(train: Caller) -> None:
    registry = json.loads((Path("data") / "dataset_info.json").read_text())
    registry["long"] = {"file_name": "long.json"}
    (Path("data") / "dataset_info.json").write_text(json.dumps(registry))
    row = {"instruction": "Say.", "input": "", "output": "word " * 10}
    (Path("data") / "long.json").write_text(json.dumps([row] * 20))
    longest = {}
    for order in ("long,talks", "talks,long"):
        told = train("sft", "--model", "mine", "--dataset", order, "--dry-run").err
        longest[order] = dict(re.findall(r"doctor: (\w+): .*longest row (\d+) tokens", told))
    assert longest["long,talks"] == longest["talks,long"]
    assert int(longest["long,talks"]["long"]) > int(longest["long,talks"]["talks"])


def test_what_is_wrong_with_an_entry_is_told(train: Caller) -> None:
    info = Path("data") / "dataset_info.json"
    info.write_bytes(b"\xef\xbb\xbf" + info.read_bytes())
    told = train.refused("begins with a byte order mark", "sft", "--model", "mine", "--dry-run")
    assert "save it as UTF-8 without one. `curate doctor" in told
    assert "README" not in told
    info.write_text(json.dumps({"talks": {}}))
    typed = ("sft", "--model", "mine", "--dry-run")
    assert "talks is for no stage" in train.refused("no data set in 'data' is for", *typed)


def test_few_rows_are_those_that_are_used(train: Caller) -> None:
    told = train("sft", "--model", "mine", "--set", "max_samples=5", "--dry-run").err
    assert "no rows are held out for evaluation: 5 rows are too few" in told
    assert "talks: 5 of 5 rows usable; 35 more are left out by max_samples: --set" in told


def test_blocks_are_of_the_rows_that_max_samples_leaves(train: Caller) -> None:
    # 10 rows of 9 tokens and an end, then long ones: 10 blocks of 10, 4 a step.
    rows = [{"text": "x" * (9 if place < 10 else 90)} for place in range(40)]
    (Path("data") / "books.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys = ("max_samples=10", "packing=true", "cutoff_len=10", "max_steps=-1", "val_size=0")
    keys += ("num_train_epochs=1", "per_device_train_batch_size=4", "gradient_accumulation_steps=1")
    sets = [part for pair in keys for part in ("--set", pair)]
    typed = ("pt", "--dataset", "books", "--model", "mine", "--template", "default", *sets)
    answer = train(*typed, "--dry-run", "--json")
    assert json.loads(answer.out.splitlines()[-1])["steps"] == 3, answer.err
    assert "longest row 10 tokens" in answer.err


def test_rows_that_num_samples_draws_are_counted(train: Caller) -> None:
    info = Path("data") / "dataset_info.json"
    entry = json.loads(info.read_text())["talks"]
    keys = ("max_steps=-1", "num_train_epochs=1", "val_size=0", "gradient_accumulation_steps=1")
    sets = [part for pair in keys for part in ("--set", pair)]
    for more, settings, steps in (
        ({"num_samples": 100}, (), 50),
        ({"num_samples": 100}, ("--set", "max_samples=10"), 5),
        ({"split": "train[:25%]"}, (), 5),
    ):
        info.write_text(json.dumps({"talks": {**entry, **more}}))
        answer = train("sft", "--model", "mine", *sets, *settings, "--dry-run", "--json")
        assert json.loads(answer.out.splitlines()[-1])["steps"] == steps, answer.err
    info.write_text(json.dumps({"talks": {**entry, "split": "train[50:]"}}))
    told = train.refused("no_rows: there are no rows.", "sft", "--model", "mine", "--dry-run")
    assert "corresponds to no data. To do: " in told


def test_the_doctors_command_can_be_pasted_and_says_the_same(
    train: Caller, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"instruction": "Say.", "input": "", "output": "word " * 20}] * 5
    with (Path("data") / "talks.jsonl").open("a") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    Path("data").rename("my data")
    folder = ("--dataset-dir", "my data")
    typed = ("sft", "--model", "mine", "--template", "alpaca", "--set", "cutoff_len=100")
    told = train(*typed, *folder, "--dry-run").err
    found = re.search(r"cut_response (\d+).*`curate (.+)` explains", told)
    assert found is not None, told
    answer = Caller(capsys)(*shlex.split(found[2]), "--json")
    rules = {each["rule"]: each["count"] for each in json.loads(answer.out)["findings"]}
    assert rules["cut_response"] == int(found[1])
